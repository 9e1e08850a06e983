//! A gateway and the machines that hold one node's state: the original, a copy of it, links that
//! are cut anywhere, first messages that come late, a gateway restored from a backup, and the
//! operator who releases.

use handfast_core::flow::identity::clone_counter::{
    CloneCondition, CloneCounter, LinkVerdict, Shown,
};
use handfast_core::limits::{CLONE_MARK_EVERY, LINK_BEGINS_WITHIN};
use handfast_core::{Span, UnixTime};

use super::{Condition, World};

/// The functions that the gateway calls.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The decision about a link.
    pub linked: fn(CloneCounter, Shown, UnixTime) -> (CloneCounter, LinkVerdict),
    /// The operator's release.
    pub release: fn(CloneCounter, UnixTime) -> CloneCounter,
}

/// The production functions.
pub const RULES: Rules = Rules { linked: CloneCounter::linked, release: CloneCounter::release };

/// A link of a machine, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Link {
    /// The first message is under way.
    Begins { shown: Option<u64>, since: u64 },
    /// The gateway has sent a mark.
    Offered { value: u64 },
    /// The machine has stored it, and its answer is under way.
    Stored { value: u64 },
    /// Nothing is under way.
    Open,
}

/// A machine with the node's key: the mark that it has stored, its present link, and the first
/// message of an earlier link, which the network may still deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Machine {
    mark: Option<u64>,
    link: Option<Link>,
    late: Option<(Option<u64>, u64)>,
}

/// All that a run can change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u64,
    counter: CloneCounter,
    backup: Option<CloneCounter>,
    machines: Vec<Machine>,
    /// The highest value that this life of the gateway knows to be confirmed, and since when.
    confirmed: Option<(u64, u64)>,
    alarms: u8,
    /// What a property has to remember.
    copied: bool,
    restored: bool,
    called_older: bool,
    /// A machine with an older value was let go on as if nothing were.
    missed: bool,
    freed_itself: bool,
    /// The operator has released the node, and no machine has linked since.
    released: bool,
    refused_after_release: bool,
    left: Left,
}

/// How much may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Links that machines open.
    pub links: u8,
    /// Hours that pass.
    pub hours: u8,
    /// Some seconds that pass.
    pub seconds: u8,
    /// Copies of the node's state.
    pub copies: u8,
    /// Backups of the gateway that are restored.
    pub restores: u8,
    /// Releases by the operator.
    pub releases: u8,
}

/// A step of a machine, the gateway, the operator or the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A machine opens a link, and its earlier one is gone for it.
    Open {
        /// The machine.
        which: usize,
    },
    /// The link of a machine is cut; its first message may still arrive late.
    Cut {
        /// The machine.
        which: usize,
    },
    /// The first message of a machine's link arrives.
    HelloArrives {
        /// The machine.
        which: usize,
    },
    /// The first message of an earlier link arrives.
    LateHelloArrives {
        /// The machine.
        which: usize,
    },
    /// A machine receives a mark and stores it.
    MarkArrives {
        /// The machine.
        which: usize,
    },
    /// The gateway learns that a mark is stored.
    ConfirmationArrives {
        /// The machine.
        which: usize,
    },
    /// An hour passes, after which a new value is made.
    HourPasses,
    /// Some seconds pass.
    SecondsPass,
    /// The node's state is copied to another machine.
    Copy,
    /// The gateway is backed up.
    BackUp,
    /// The gateway is put back to its backup.
    Restore,
    /// The operator releases the node.
    Release,
}

/// A gateway and the machines that hold one node's state.
#[derive(Clone, Debug)]
pub struct Copies {
    /// The functions that the gateway calls.
    pub rules: Rules,
    /// How much may happen.
    pub left: Left,
}

fn time(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

impl Copies {
    /// The gateway reads the first message of a link that began at a time.
    fn hello(&self, state: &mut State, shown: Option<u64>, since: u64) -> LinkVerdict {
        let before = state.counter;
        let value = shown.map_or(Shown::Nothing, Shown::Value);
        let (counter, verdict) = (self.rules.linked)(before, value, time(state.now));
        state.counter = counter;
        state.alarms += u8::from(verdict.alarm);
        state.called_older |= verdict.gateway_is_older;
        let is_older = |newest: u64| shown.is_none_or(|shown| shown < newest);
        let proves_a_copy =
            state.confirmed.is_some_and(|(newest, at)| is_older(newest) && at < since);
        let normal = before.condition == CloneCondition::Normal;
        state.missed |= normal && proves_a_copy && !verdict.alarm && !verdict.overtaken;
        state.refused_after_release |= state.released && verdict.quarantined;
        state.released = false;
        self.remember(state, before);
        verdict
    }

    fn remember(&self, state: &mut State, before: CloneCounter) {
        state.freed_itself |= before.is_quarantined() && !state.counter.is_quarantined();
        if let Some(value) = state.counter.confirmed
            && state.confirmed.is_none_or(|(known, _)| known < value)
        {
            state.confirmed = Some((value, state.now));
        }
    }
}

impl World for Copies {
    type State = State;
    type Action = Action;

    fn begin(&self) -> State {
        State {
            now: 0,
            counter: CloneCounter::default(),
            backup: None,
            machines: vec![Machine::default()],
            confirmed: None,
            alarms: 0,
            copied: false,
            restored: false,
            called_older: false,
            missed: false,
            freed_itself: false,
            released: false,
            refused_after_release: false,
            left: self.left,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for (which, machine) in state.machines.iter().enumerate() {
            if left.links > 0 {
                actions.push(Action::Open { which });
            }
            match machine.link {
                Some(Link::Begins { .. }) => actions.push(Action::HelloArrives { which }),
                Some(Link::Offered { .. }) => actions.push(Action::MarkArrives { which }),
                Some(Link::Stored { .. }) => actions.push(Action::ConfirmationArrives { which }),
                Some(Link::Open) | None => {}
            }
            if machine.link.is_some() {
                actions.push(Action::Cut { which });
            }
            if machine.late.is_some() {
                actions.push(Action::LateHelloArrives { which });
            }
        }
        if left.hours > 0 {
            actions.push(Action::HourPasses);
        }
        if left.seconds > 0 {
            actions.push(Action::SecondsPass);
        }
        if left.copies > 0 {
            actions.push(Action::Copy);
        }
        if left.restores > 0 {
            actions.push(if state.backup.is_none() { Action::BackUp } else { Action::Restore });
        }
        if left.releases > 0 && state.counter.is_quarantined() {
            actions.push(Action::Release);
        }
    }

    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Open { which } => {
                state.left.links -= 1;
                let now = state.now;
                let machine = &mut state.machines[which];
                if let Some(Link::Begins { shown, since }) = machine.link {
                    machine.late = Some((shown, since));
                }
                machine.link = Some(Link::Begins { shown: machine.mark, since: now });
            }
            Action::Cut { which } => {
                let machine = &mut state.machines[which];
                if let Some(Link::Begins { shown, since }) = machine.link {
                    machine.late = Some((shown, since));
                }
                machine.link = None;
            }
            Action::HelloArrives { which } => {
                let Some(Link::Begins { shown, since }) = state.machines[which].link else {
                    return None;
                };
                let verdict = self.hello(&mut state, shown, since);
                state.machines[which].link = match verdict.offer {
                    _ if verdict.overtaken => None,
                    Some(value) => Some(Link::Offered { value }),
                    None => Some(Link::Open),
                };
            }
            Action::LateHelloArrives { which } => {
                let (shown, since) = state.machines[which].late.take()?;
                // The gateway ends a link whose first message is overdue, and whatever it sends on
                // this one is lost.
                if time(state.now) <= time(since).after(LINK_BEGINS_WITHIN) {
                    let _ = self.hello(&mut state, shown, since);
                }
            }
            Action::MarkArrives { which } => {
                let machine = &mut state.machines[which];
                let Some(Link::Offered { value }) = machine.link else { return None };
                machine.mark = Some(value);
                machine.link = Some(Link::Stored { value });
            }
            Action::ConfirmationArrives { which } => {
                let Some(Link::Stored { value }) = state.machines[which].link else {
                    return None;
                };
                state.machines[which].link = Some(Link::Open);
                let earlier = state.counter;
                state.counter = earlier.stored(value, time(state.now));
                self.remember(&mut state, earlier);
            }
            Action::HourPasses => {
                state.left.hours -= 1;
                state.now += CLONE_MARK_EVERY.as_secs();
            }
            Action::SecondsPass => {
                state.left.seconds -= 1;
                state.now += Span::from_secs(4).as_secs();
            }
            Action::Copy => {
                state.left.copies -= 1;
                state.copied = true;
                let mark = state.machines[0].mark;
                state.machines.push(Machine { mark, link: None, late: None });
            }
            Action::BackUp => state.backup = Some(state.counter),
            Action::Restore => {
                state.left.restores -= 1;
                state.restored = true;
                // The backup may be from before a release.
                state.released = false;
                state.counter = state.backup.take()?;
                // The restored gateway knows no more than its backup.
                state.confirmed = state.counter.confirmed.map(|value| (value, state.now));
                for machine in &mut state.machines {
                    machine.link = None;
                    machine.late = None;
                }
            }
            Action::Release => {
                state.left.releases -= 1;
                state.counter = (self.rules.release)(state.counter, time(state.now));
                state.released = true;
            }
        }
        Some(state)
    }

    fn invariants(&self) -> Vec<Condition<Self>> {
        vec![
            (NOBODY_ALARMED, |_, state| state.copied || state.alarms == 0),
            (NOT_OLDER, |_, state| state.restored || !state.called_older),
            (ALWAYS_ALARMS, |_, state| !state.missed),
            (GOES_ON, |_, state| !state.refused_after_release),
            ("quarantine ends by the operator alone", |_, state| !state.freed_itself),
            ("values rise", |_, state| {
                let CloneCounter { confirmed, offered, .. } = state.counter;
                offered.is_none() || offered > confirmed
            }),
        ]
    }

    fn reachable(&self) -> Vec<Condition<Self>> {
        let mut conditions: Vec<Condition<Self>> =
            vec![("a mark is confirmed", |_, state| state.counter.confirmed.is_some())];
        if self.left.copies > 0 {
            conditions.push(("a copy alarms", |_, state| state.alarms > 0));
        }
        if self.left.restores > 0 {
            conditions.push(("a gateway is older", |_, state| state.called_older));
        }
        conditions
    }
}

/// Cut links, late messages and restored gateways are no copies.
pub const NOBODY_ALARMED: &str = "without a copy nobody is alarmed";
/// What a gateway says of itself is true.
pub const NOT_OLDER: &str = "without a restored backup no gateway is called older";
/// The operator's release has its effect.
pub const GOES_ON: &str = "after a release the machine that links next goes on";
/// A copy cannot go on beside the original.
pub const ALWAYS_ALARMS: &str = "an older value after a newer one was confirmed always alarms";

/// Returns `true` if a machine is linked as usual, and nothing waits to be confirmed.
#[must_use]
pub fn goes_on(_: &Copies, state: &State) -> bool {
    let CloneCounter { condition, offered, .. } = state.counter;
    let normal = condition == CloneCondition::Normal && offered.is_none();
    normal && state.machines.iter().any(|machine| machine.link == Some(Link::Open))
}

/// Returns `true` if this run has a link left, and a release if it needs one.
#[must_use]
pub fn may_go_on(_: &Copies, state: &State) -> bool {
    let kept_out = state.counter.is_quarantined() && state.left.releases == 0;
    state.left.links > 0 && !kept_out
}

/// Returns `true` in quarantine, if this run has a release and a link left.
#[must_use]
pub fn may_be_released(world: &Copies, state: &State) -> bool {
    state.counter.is_quarantined() && may_go_on(world, state)
}
