//! A gateway, a link and a node's board: power cuts and crashes at every step, cut links,
//! cancellations, deadlines, retries, and either side restored from a backup.

mod parts;

use handfast_core::link::board::{Board, Taken};
use handfast_core::link::dispatch::{
    DispatchAction, DispatchEnd, DispatchEvent, DispatchLife, DispatchState, Known, next_number,
};
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{Span, UnixTime};

use self::parts::{Job, Link, ToGateway, ToNode};
use super::{Condition, World};

pub use self::parts::Action;

/// The board of the node, which forgets soon.
pub type SmallBoard = Board<1>;

/// The functions that the actors call, and the node's order of storing and running.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The life of a dispatch at the gateway.
    pub step: fn(DispatchLife, DispatchEvent) -> (DispatchLife, Option<DispatchAction>),
    /// The decision of the node's board about a dispatch that arrives.
    pub take: fn(&mut SmallBoard, u64, DispatchId) -> Taken,
    /// The end of what ran when the node was switched off.
    pub after_boot: fn(&mut SmallBoard) -> bool,
    /// `true` if the node stores its board before it runs a task.
    pub stores_before_it_runs: bool,
}

/// The production functions.
pub const RULES: Rules = Rules {
    step: DispatchLife::step,
    take: SmallBoard::take,
    after_boot: SmallBoard::after_boot,
    stores_before_it_runs: true,
};

/// How much may go wrong in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Links that are cut.
    pub cuts: u8,
    /// Crashes of the gateway.
    pub crashes: u8,
    /// Power cuts of the node.
    pub power_cuts: u8,
    /// Cancellations by the operator.
    pub cancels: u8,
    /// Retries by the operator.
    pub retries: u8,
    /// Seconds that pass; a dispatch has one second.
    pub seconds: u8,
    /// Backups of the gateway that are restored.
    pub gateway_restores: u8,
    /// Backups of the node that are restored.
    pub node_restores: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Registry {
    lives: Vec<DispatchLife>,
    last_number: u64,
}

/// All that a run can change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u64,
    registry: Registry,
    link: Option<Link>,
    /// The stored board, and the one in the memory of a node that is switched on.
    stored: SmallBoard,
    running: Option<SmallBoard>,
    jobs: Vec<Job>,
    registry_backup: Option<Registry>,
    board_backup: Option<SmallBoard>,
    /// How often each task was begun.
    runs: Vec<u8>,
    budget: Budget,
}

/// A gateway with dispatches for one node.
#[derive(Clone, Debug)]
pub struct Dispatches {
    /// The functions that the actors call.
    pub rules: Rules,
    /// How much may go wrong.
    pub budget: Budget,
    /// The number of dispatches.
    pub count: usize,
    /// `true` if their capability may run twice.
    pub idempotent: bool,
}

fn id(which: usize) -> DispatchId {
    DispatchId::from_bytes([which.to_le_bytes()[0] + 1; 16])
}

fn time(now: u64) -> UnixTime {
    UnixTime::from_secs(now)
}

impl Dispatches {
    /// Puts an event to one dispatch, stores its new state, and returns the message that is due.
    fn put(&self, state: &mut State, which: usize, event: DispatchEvent) -> Option<ToNode> {
        let life = &mut state.registry.lives[which];
        let (next, action) = (self.rules.step)(*life, event);
        *life = next;
        let number = life.number;
        action.map(|action| match action {
            DispatchAction::Send { .. } => ToNode::Dispatch { which, number },
            DispatchAction::Cancel => ToNode::Cancel { which },
            DispatchAction::Query => ToNode::Query { which, number },
        })
    }

    fn put_to_all(&self, state: &mut State, event: DispatchEvent) -> Vec<ToNode> {
        (0..self.count).filter_map(|which| self.put(state, which, event)).collect()
    }

    /// Returns `true` if the event would change a life.
    fn changes(&self, state: &State, event: DispatchEvent) -> bool {
        state.registry.lives.iter().any(|life| (self.rules.step)(*life, event).0 != *life)
    }

    fn crash(&self, state: &mut State) {
        state.link = None;
        let _ = self.put_to_all(state, DispatchEvent::LinkLost);
    }

    fn power_cut(state: &mut State) {
        state.link = None;
        state.running = None;
        state.jobs.clear();
    }

    fn node_receives(&self, state: &mut State) {
        let Some(link) = &mut state.link else { return };
        let Some(board) = &mut state.running else { return };
        match link.to_node.remove(0) {
            ToNode::Dispatch { which, number } => {
                let answer = match (self.rules.take)(board, number, id(which)) {
                    Taken::Run => {
                        if self.rules.stores_before_it_runs {
                            state.stored = board.clone();
                        }
                        state.jobs.push(Job::Taken { which });
                        return;
                    }
                    Taken::Again(known) => ToGateway::Answer { which, known },
                    Taken::TooOld => ToGateway::Answer { which, known: Known::Forgotten },
                    Taken::Full => ToGateway::Outcome { which, end: DispatchEnd::Rejected },
                };
                link.to_gateway.push(answer);
            }
            ToNode::Query { which, number } => {
                let known = board.known(number, id(which));
                link.to_gateway.push(ToGateway::Answer { which, known });
            }
            ToNode::Cancel { which } => {
                let works = state
                    .jobs
                    .iter_mut()
                    .find(|job| job.which() == which && !matches!(job, Job::Ended { .. }));
                if let Some(job) = works {
                    let end = DispatchEnd::Cancelled;
                    board.finish(id(which), end, b"");
                    state.stored = board.clone();
                    *job = Job::Ended { which, end };
                }
            }
        }
    }

    fn gateway_receives(&self, state: &mut State) {
        let Some(link) = &mut state.link else { return };
        let now = time(state.now);
        let (which, event) = match link.to_gateway.remove(0) {
            ToGateway::Started { which } => (which, DispatchEvent::Started),
            ToGateway::Outcome { which, end } => (which, DispatchEvent::Outcome(end)),
            ToGateway::Answer { which, known } => (which, DispatchEvent::Answered { known, now }),
        };
        let message = self.put(state, which, event);
        if let Some(link) = &mut state.link {
            link.to_node.extend(message);
        }
    }

    fn is_quiet(state: &State) -> bool {
        let silent = state
            .link
            .as_ref()
            .is_some_and(|link| link.to_node.is_empty() && link.to_gateway.is_empty());
        silent && state.jobs.is_empty()
    }
}

impl World for Dispatches {
    type State = State;
    type Action = Action;

    fn begin(&self) -> State {
        let mut last = None;
        let mut lives = Vec::new();
        for _ in 0..self.count {
            let number = next_number(last, time(0));
            last = Some(number);
            let life = DispatchLife::queued(number, Span::default(), self.idempotent, time(0));
            lives.push(life);
        }
        let board = SmallBoard::new();
        State {
            now: 0,
            registry: Registry { lives, last_number: last.unwrap_or(0) },
            link: None,
            stored: board.clone(),
            running: Some(board),
            jobs: Vec::new(),
            registry_backup: None,
            board_backup: None,
            runs: vec![0; self.count],
            budget: self.budget,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let budget = &state.budget;
        match &state.link {
            None if state.running.is_some() => actions.push(Action::Connect),
            None => {}
            Some(link) => {
                if !link.to_node.is_empty() {
                    actions.push(Action::NodeReceives);
                }
                if !link.to_gateway.is_empty() {
                    actions.push(Action::GatewayReceives);
                }
                if budget.cuts > 0 {
                    actions.push(Action::Cut);
                }
            }
        }
        if state.link.is_none() && self.changes(state, DispatchEvent::LinkLost) {
            actions.push(Action::NoticeLostLink);
        }
        for (which, life) in state.registry.lives.iter().enumerate() {
            if life.state == DispatchState::Queued && state.link.is_some() {
                actions.push(Action::Push { which });
                if budget.crashes > 0 {
                    actions.push(Action::PushAndCrash { which });
                }
            }
            if budget.cancels > 0 && !life.state.is_over() && !life.cancelling {
                actions.push(Action::Cancel { which });
            }
            if budget.retries > 0 && life.state == DispatchState::Expired {
                actions.push(Action::Retry { which });
            }
        }
        if budget.crashes > 0 && state.link.is_some() {
            actions.push(Action::Crash);
        }
        if budget.seconds > 0 {
            actions.push(Action::SecondPasses);
        }
        if self.changes(state, DispatchEvent::Tick { now: time(state.now) }) {
            actions.push(Action::GatewayTicks);
        }
        for job in &state.jobs {
            let which = job.which();
            match job {
                Job::Taken { .. } => actions.push(Action::NodeBegins { which }),
                Job::Works { .. } => {
                    for end in [DispatchEnd::Succeeded, DispatchEnd::TimedOut] {
                        actions.push(Action::NodeEnds { which, end });
                    }
                }
                Job::Ended { .. } => actions.push(Action::NodeSends { which }),
            }
        }
        match &state.running {
            Some(_) if budget.power_cuts > 0 => actions.push(Action::PowerCut),
            Some(_) => {}
            None => actions.push(Action::Boot),
        }
        if budget.gateway_restores > 0 {
            match &state.registry_backup {
                None => actions.push(Action::BackUpRegistry),
                Some(_) => actions.push(Action::RestoreRegistry),
            }
        }
        if budget.node_restores > 0 {
            match &state.board_backup {
                None => actions.push(Action::BackUpNode),
                Some(_) => actions.push(Action::RestoreNode),
            }
        }
    }

    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Connect => {
                let to_node = self.put_to_all(&mut state, DispatchEvent::Linked);
                state.link = Some(Link { to_node, to_gateway: Vec::new() });
            }
            Action::Cut => {
                state.budget.cuts -= 1;
                state.link = None;
            }
            Action::NoticeLostLink => {
                let _ = self.put_to_all(&mut state, DispatchEvent::LinkLost);
            }
            Action::Push { which } => {
                let now = time(state.now);
                let message = self.put(&mut state, which, DispatchEvent::Pushed { now });
                state.link.as_mut()?.to_node.extend(message);
            }
            Action::PushAndCrash { which } => {
                state.budget.crashes -= 1;
                let now = time(state.now);
                let _ = self.put(&mut state, which, DispatchEvent::Pushed { now });
                self.crash(&mut state);
            }
            Action::GatewayReceives => self.gateway_receives(&mut state),
            Action::Crash => {
                state.budget.crashes -= 1;
                self.crash(&mut state);
            }
            Action::Cancel { which } => {
                state.budget.cancels -= 1;
                let message = self.put(&mut state, which, DispatchEvent::Cancel);
                if let Some(link) = &mut state.link {
                    link.to_node.extend(message);
                }
            }
            Action::Retry { which } => {
                state.budget.retries -= 1;
                let number = next_number(Some(state.registry.last_number), time(state.now));
                state.registry.last_number = number;
                let deadline = time(state.now + 1);
                let _ = self.put(&mut state, which, DispatchEvent::Retry { number, deadline });
            }
            Action::SecondPasses => {
                state.budget.seconds -= 1;
                state.now += 1;
            }
            Action::GatewayTicks => {
                let now = time(state.now);
                let _ = self.put_to_all(&mut state, DispatchEvent::Tick { now });
            }
            Action::NodeReceives => self.node_receives(&mut state),
            Action::NodeBegins { which } => {
                let job = state.jobs.iter_mut().find(|job| job.which() == which)?;
                *job = Job::Works { which };
                state.runs[which] += 1;
                if let Some(link) = &mut state.link {
                    link.to_gateway.push(ToGateway::Started { which });
                }
            }
            Action::NodeEnds { which, end } => {
                let job = state.jobs.iter_mut().find(|job| job.which() == which)?;
                *job = Job::Ended { which, end };
                let board = state.running.as_mut()?;
                board.finish(id(which), end, b"");
                state.stored = board.clone();
            }
            Action::NodeSends { which } => {
                let at = state.jobs.iter().position(|job| job.which() == which)?;
                let Job::Ended { end, .. } = state.jobs.remove(at) else { return None };
                if let Some(link) = &mut state.link {
                    link.to_gateway.push(ToGateway::Outcome { which, end });
                }
            }
            Action::PowerCut => {
                state.budget.power_cuts -= 1;
                Self::power_cut(&mut state);
            }
            Action::Boot => {
                let mut board = state.stored.clone();
                (self.rules.after_boot)(&mut board);
                state.stored = board.clone();
                state.running = Some(board);
            }
            Action::BackUpRegistry => state.registry_backup = Some(state.registry.clone()),
            Action::RestoreRegistry => {
                state.budget.gateway_restores -= 1;
                state.registry = state.registry_backup.take()?;
                self.crash(&mut state);
            }
            Action::BackUpNode => state.board_backup = Some(state.stored.clone()),
            Action::RestoreNode => {
                state.budget.node_restores -= 1;
                state.stored = state.board_backup.take()?;
                Self::power_cut(&mut state);
                let _ = self.put_to_all(&mut state, DispatchEvent::NodeRestored);
            }
        }
        Some(state)
    }

    fn invariants(&self) -> Vec<Condition<Self>> {
        let mut conditions: Vec<Condition<Self>> = vec![
            (AT_MOST_ONCE, |_, state| state.runs.iter().all(|runs| *runs <= 1)),
            ("what succeeded ran", |_, state| {
                let mut both = state.registry.lives.iter().zip(&state.runs);
                both.all(|(life, runs)| life.state != DispatchState::Succeeded || *runs > 0)
            }),
            (NOT_LEFT, |_, state| {
                !Self::is_quiet(state) || !state.registry.lives.iter().any(is_open)
            }),
        ];
        // A restored registry can take for unsent, and so for expired, what was sent and ran after
        // the backup.
        if self.budget.gateway_restores == 0 {
            conditions.push((NEVER_RAN, |_, state| {
                let mut both = state.registry.lives.iter().zip(&state.runs);
                both.all(|(life, runs)| !never_ran(life) || *runs == 0)
            }));
        }
        conditions
    }

    fn reachable(&self) -> Vec<Condition<Self>> {
        vec![("a dispatch succeeds", |_, state| {
            state.registry.lives.iter().any(|life| life.state == DispatchState::Succeeded)
        })]
    }
}

/// No task is begun twice.
pub const AT_MOST_ONCE: &str = "at most once";
/// What the gateway says of these states is true.
pub const NEVER_RAN: &str = "what is queued, expired or rejected never ran";
/// Once all messages have arrived and the node is idle, each dispatch has an end or waits.
pub const NOT_LEFT: &str = "on a quiet link nothing is left open";

/// Returns `true` if all dispatches are over.
#[must_use]
pub fn all_over(_: &Dispatches, state: &State) -> bool {
    state.registry.lives.iter().all(|life| life.state.is_over())
}

fn is_open(life: &DispatchLife) -> bool {
    life.state.is_under_way() || life.state == DispatchState::Unknown { for_good: false }
}

fn never_ran(life: &DispatchLife) -> bool {
    let never = matches!(
        life.state,
        DispatchState::Queued | DispatchState::Expired | DispatchState::Rejected
    );
    never && life.late.is_none()
}
