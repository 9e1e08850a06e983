//! Tasks of a node that goes from one gateway to the other: pushes of a gateway whose link is gone
//! without its knowledge, gateways that lose the registry, and writes that were made unheard.

use handfast_core::Span;
use handfast_core::UnixTime;
use handfast_core::link::board::{Board, Taken};
use handfast_core::link::dispatch::{
    DispatchAction, DispatchEnd, DispatchEvent, DispatchLife, DispatchState, Known, next_number,
};
use handfast_core::wire::native::link::DispatchId;

use super::super::{Condition, World};

/// The board of the node.
pub type SmallBoard = Board<1>;

/// The functions that the actors call, and the gateways' order of storing and sending.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The life of a task.
    pub step: fn(DispatchLife, DispatchEvent) -> (DispatchLife, Option<DispatchAction>),
    /// The decision of the node's board about a task that arrives.
    pub take: fn(&mut SmallBoard, u64, DispatchId) -> Taken,
    /// `true` if a task is stored as sent by the step that reads it as queued, and before it leaves.
    pub stores_before_it_sends: bool,
    /// `true` if a gateway whose link is gone counts what was sent as lost, though another gateway
    /// has the node's link.
    pub disturbs_others: bool,
}

/// The production functions.
pub const RULES: Rules = Rules {
    step: DispatchLife::step,
    take: SmallBoard::take,
    stores_before_it_sends: true,
    disturbs_others: false,
};

/// How much may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Times that the node leaves its gateway.
    pub moves: u8,
    /// Times that a gateway loses the registry.
    pub cuts: u8,
    /// Writes that are made, and of which the gateway does not hear.
    pub unheard: u8,
    /// Power cuts of the node.
    pub power_cuts: u8,
    /// Seconds that pass; a task has one second.
    pub seconds: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ToNode {
    Task { number: u64 },
    Query { number: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ToGateway {
    Started,
    Ended,
    Answer { number: u64, known: Known },
}

/// The link of the node, as a gateway has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Link {
    has_asked: bool,
    /// The task as the gateway read it, if it reads before it writes.
    seen: Option<DispatchLife>,
    to_node: Vec<ToNode>,
    to_gateway: Vec<ToGateway>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Gateway {
    is_cut: bool,
    link: Option<Link>,
}

/// What the node does with the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Job {
    Taken,
    Works,
    Ended,
}

/// All that a run can change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u64,
    life: DispatchLife,
    gateways: [Gateway; 2],
    /// The gateway at which the node is, which has its newest link.
    node_at: Option<usize>,
    board: SmallBoard,
    job: Option<Job>,
    runs: u8,
    /// Times that the task was sent over a link that the node still had.
    sent: u8,
    moved_under_way: bool,
    left: Left,
}

/// A step of the node, a gateway, the registry's connection or the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node links at a gateway. The one before may not know.
    Link(usize),
    /// The node is gone from its gateway.
    Leave,
    /// A gateway notices that its link is gone, or that the other one has a newer one.
    Notice(usize),
    /// A gateway asks about what earlier links left open.
    Ask(usize),
    /// A gateway reads the task.
    See(usize),
    /// A gateway stores that the task is sent, and sends it.
    Push(usize),
    /// It is stored, and the gateway does not hear so: nothing is sent.
    PushUnheard(usize),
    /// A gateway loses the registry.
    Cut(usize),
    /// It is back.
    Mend(usize),
    /// A gateway receives the next message.
    GatewayReceives(usize),
    /// The node receives the next message.
    NodeReceives,
    /// The node's handler begins.
    Begin,
    /// It ends, and its end is stored.
    End,
    /// The node sends the end.
    Send,
    /// The node loses its power, and starts again.
    PowerCut,
    /// A second passes.
    SecondPasses,
    /// A gateway looks at the deadline.
    Tick(usize),
}

/// A task, a node and two gateways.
#[derive(Clone, Debug)]
pub struct Tasks {
    /// The functions that the actors call.
    pub rules: Rules,
    /// How much may happen.
    pub left: Left,
    /// `true` if the task's capability may run twice.
    pub idempotent: bool,
}

fn id() -> DispatchId {
    DispatchId::from_bytes([1; 16])
}

fn time(now: u64) -> UnixTime {
    UnixTime::from_secs(now)
}

impl Tasks {
    fn put(&self, state: &mut State, event: DispatchEvent) -> Option<DispatchAction> {
        let (life, action) = (self.rules.step)(state.life, event);
        state.life = life;
        action
    }

    /// Hands a message to the link of a gateway; over one that is gone it arrives nowhere.
    fn hand_over(state: &mut State, at: usize, action: Option<DispatchAction>) {
        let number = state.life.number;
        let message = match action {
            Some(DispatchAction::Send { .. }) => ToNode::Task { number },
            Some(DispatchAction::Query) => ToNode::Query { number },
            Some(DispatchAction::Cancel) | None => return,
        };
        let arrives = state.node_at == Some(at);
        if let (Some(link), true) = (&mut state.gateways[at].link, arrives) {
            link.to_node.push(message);
            state.sent += u8::from(matches!(message, ToNode::Task { .. }));
        }
    }

    fn push(&self, state: &mut State, at: usize, is_heard: bool) {
        let event = DispatchEvent::Pushed { now: time(state.now) };
        let action = match state.gateways[at].link.as_mut().and_then(|link| link.seen.take()) {
            // What was read before is written over what is there.
            Some(seen) => {
                let (life, action) = (self.rules.step)(seen, event);
                state.life = life;
                action
            }
            None => self.put(state, event),
        };
        if is_heard {
            Self::hand_over(state, at, action);
        }
    }

    fn leave(state: &mut State) {
        if let Some(at) = state.node_at.take()
            && let Some(link) = &mut state.gateways[at].link
        {
            link.to_node.clear();
            state.moved_under_way |= state.life.state.is_under_way();
        }
    }

    fn node_receives(&self, state: &mut State) -> Option<()> {
        let at = state.node_at?;
        let link = state.gateways[at].link.as_mut()?;
        match link.to_node.remove(0) {
            ToNode::Task { number } => {
                let known = match (self.rules.take)(&mut state.board, number, id()) {
                    Taken::Run => {
                        state.job = Some(Job::Taken);
                        return Some(());
                    }
                    Taken::Again(known) => known,
                    Taken::TooOld | Taken::Full => Known::Forgotten,
                };
                link.to_gateway.push(ToGateway::Answer { number, known });
            }
            ToNode::Query { number } => {
                let known = state.board.known(number, id());
                link.to_gateway.push(ToGateway::Answer { number, known });
            }
        }
        Some(())
    }

    fn gateway_receives(&self, state: &mut State, at: usize) -> Option<()> {
        let message = state.gateways[at].link.as_mut()?.to_gateway.remove(0);
        // What cannot be written was not heard, and what a replaced link still delivers is dropped.
        if state.gateways[at].is_cut || state.node_at != Some(at) {
            // The gateway asks anew once it has the registry back.
            state.gateways[at].link.as_mut()?.has_asked = false;
            return Some(());
        }
        let event = match message {
            ToGateway::Started => DispatchEvent::Started,
            ToGateway::Ended => DispatchEvent::Outcome(DispatchEnd::Succeeded),
            ToGateway::Answer { number, .. } if number != state.life.number => return Some(()),
            ToGateway::Answer { known, .. } => {
                DispatchEvent::Answered { known, now: time(state.now) }
            }
        };
        let action = self.put(state, event);
        Self::hand_over(state, at, action);
        Some(())
    }

    fn tell(state: &mut State, message: ToGateway) {
        if let Some(at) = state.node_at
            && let Some(link) = &mut state.gateways[at].link
        {
            link.to_gateway.push(message);
        }
    }
}

impl World for Tasks {
    type State = State;
    type Action = Action;

    fn begin(&self) -> State {
        let number = next_number(None, time(0));
        State {
            now: 0,
            life: DispatchLife::queued(number, Span::default(), self.idempotent, time(0)),
            gateways: Default::default(),
            node_at: None,
            board: SmallBoard::new(),
            job: None,
            runs: 0,
            sent: 0,
            moved_under_way: false,
            left: self.left,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        match state.node_at {
            None => actions.extend([Action::Link(0), Action::Link(1)]),
            Some(at) => {
                if left.moves > 0 {
                    actions.push(Action::Leave);
                }
                if left.power_cuts > 0 {
                    actions.push(Action::PowerCut);
                }
                if state.gateways[at].link.as_ref().is_some_and(|link| !link.to_node.is_empty()) {
                    actions.push(Action::NodeReceives);
                }
            }
        }
        for (at, gateway) in state.gateways.iter().enumerate() {
            match gateway.is_cut {
                true => actions.push(Action::Mend(at)),
                false if left.cuts > 0 => actions.push(Action::Cut(at)),
                false => {}
            }
            if !gateway.is_cut && state.life.deadline <= time(state.now) {
                actions.push(Action::Tick(at));
            }
            let Some(link) = &gateway.link else { continue };
            if !link.to_gateway.is_empty() {
                actions.push(Action::GatewayReceives(at));
            }
            if state.node_at != Some(at) {
                actions.push(Action::Notice(at));
            }
            if gateway.is_cut {
                continue;
            }
            if !link.has_asked {
                actions.push(Action::Ask(at));
                continue;
            }
            if !self.rules.stores_before_it_sends && link.seen.is_none() {
                actions.push(Action::See(at));
                continue;
            }
            let is_queued =
                link.seen.as_ref().unwrap_or(&state.life).state == DispatchState::Queued;
            if is_queued {
                actions.push(Action::Push(at));
                if left.unheard > 0 {
                    actions.push(Action::PushUnheard(at));
                }
            }
        }
        match state.job {
            Some(Job::Taken) => actions.push(Action::Begin),
            Some(Job::Works) => actions.push(Action::End),
            Some(Job::Ended) => actions.push(Action::Send),
            None => {}
        }
        if left.seconds > 0 {
            actions.push(Action::SecondPasses);
        }
    }

    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Link(at) => {
                // A gateway that is cut off admits nobody.
                if state.gateways[at].is_cut {
                    return None;
                }
                state.gateways[at].link = Some(Link::default());
                state.node_at = Some(at);
            }
            Action::Leave => {
                state.left.moves -= 1;
                Self::leave(&mut state);
            }
            Action::Notice(at) => {
                state.gateways[at].link = None;
                let is_elsewhere = state.node_at.is_some();
                if !state.gateways[at].is_cut && (!is_elsewhere || self.rules.disturbs_others) {
                    let _ = self.put(&mut state, DispatchEvent::LinkLost);
                }
            }
            Action::Ask(at) => {
                state.gateways[at].link.as_mut()?.has_asked = true;
                let action = self.put(&mut state, DispatchEvent::Linked);
                Self::hand_over(&mut state, at, action);
            }
            Action::See(at) => {
                let life = state.life;
                state.gateways[at].link.as_mut()?.seen = Some(life);
            }
            Action::Push(at) => self.push(&mut state, at, true),
            Action::PushUnheard(at) => {
                state.left.unheard -= 1;
                self.push(&mut state, at, false);
            }
            Action::Cut(at) => {
                state.left.cuts -= 1;
                state.gateways[at].is_cut = true;
            }
            Action::Mend(at) => state.gateways[at].is_cut = false,
            Action::GatewayReceives(at) => self.gateway_receives(&mut state, at)?,
            Action::NodeReceives => self.node_receives(&mut state)?,
            Action::Begin => {
                state.runs += 1;
                state.job = Some(Job::Works);
                Self::tell(&mut state, ToGateway::Started);
            }
            Action::End => {
                state.board.finish(id(), DispatchEnd::Succeeded, b"");
                state.job = Some(Job::Ended);
            }
            Action::Send => {
                state.job = None;
                Self::tell(&mut state, ToGateway::Ended);
            }
            Action::PowerCut => {
                state.left.power_cuts -= 1;
                Self::leave(&mut state);
                state.job = None;
                state.board.after_boot();
            }
            Action::SecondPasses => {
                state.left.seconds -= 1;
                state.now += 1;
            }
            Action::Tick(_) => {
                let now = time(state.now);
                let _ = self.put(&mut state, DispatchEvent::Tick { now });
            }
        }
        (state != *before).then_some(state)
    }

    fn invariants(&self) -> Vec<Condition<Self>> {
        vec![
            (AT_MOST_ONCE, |_, state| state.runs <= 1),
            (SENT_BY_ONE, |_, state| {
                let links = state.gateways.iter().filter_map(|gateway| gateway.link.as_ref());
                let tasks = links.flat_map(|link| &link.to_node);
                let under_way = tasks.filter(|it| matches!(it, ToNode::Task { .. })).count();
                under_way + usize::from(state.job == Some(Job::Taken)) <= 1
            }),
            (NEVER_RAN, |_, state| {
                let never = matches!(
                    state.life.state,
                    DispatchState::Queued | DispatchState::Expired | DispatchState::Rejected
                );
                !never || state.life.late.is_some() || state.runs == 0
            }),
            (RAN, |_, state| state.life.state != DispatchState::Succeeded || state.runs == 1),
        ]
    }

    fn reachable(&self) -> Vec<Condition<Self>> {
        let mut conditions: Vec<Condition<Self>> =
            vec![("a task succeeds", |_, state| state.life.state == DispatchState::Succeeded)];
        if self.left.moves > 0 {
            conditions.push(("a node moves while a task is under way, and it succeeds", {
                |_, state| state.moved_under_way && state.life.state == DispatchState::Succeeded
            }));
        }
        if self.left.moves > 0 && self.idempotent {
            conditions.push(("a task that never came is sent again", |_, state| {
                state.sent == 2 && state.life.state == DispatchState::Succeeded
            }));
        }
        conditions
    }
}

/// No task is begun twice.
pub const AT_MOST_ONCE: &str = "at most once";
/// One gateway sends it: whatever a link that is gone has sent does not arrive.
pub const SENT_BY_ONE: &str = "of one task no two messages are on the way to the node";
/// What is said of a task that did not run is true.
pub const NEVER_RAN: &str = "what is queued, expired or rejected never ran";
/// What is said of a task that ran is true.
pub const RAN: &str = "what succeeded ran";

/// Returns `true` if the task is over.
#[must_use]
pub fn is_over(_: &Tasks, state: &State) -> bool {
    state.life.state.is_over()
}

/// Returns `true` if the deadline of the task can still come.
#[must_use]
pub fn ends_by_time(_: &Tasks, state: &State) -> bool {
    state.left.seconds >= 2 && state.left.moves > 0
}
