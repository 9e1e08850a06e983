//! A request, and an operator at either gateway: both decide by what they have read, one of them
//! first; a gateway crashes in between; and the node waits at one gateway and hears of the other's
//! decision by the log, or asks again.

use handfast_core::flow::native::settle::{
    PolicyVerdict, Proven, SettleRequest, Settlement, settle,
};
use handfast_core::registry::lifecycle::{Change, Decision, decide};
use handfast_core::registry::record::{Cause, Credential, Mode, Standing};
use handfast_core::wire::native::pair::Method;
use handfast_core::{Refusal, UnixTime};

use super::super::{Condition, World};

/// The functions that the gateways call.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The outcome of a decision.
    pub decide: fn(&Standing, Decision, UnixTime) -> Result<Change, Refusal>,
    /// The outcome of a request.
    pub settle: fn(&SettleRequest<'_>, PolicyVerdict, UnixTime) -> Settlement,
    /// `true` if a decision that was made by this version of the record is stored over that one.
    pub stores_over: fn(read: u8, now: u8) -> bool,
    /// `true` if a gateway that reads the log has a node that waits look again.
    pub looks_again: bool,
}

/// The production functions. The registry stores a decision only over the version it was made by.
pub const RULES: Rules =
    Rules { decide, settle, stores_over: |read, now| read == now, looks_again: true };

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// The node is approved.
    Approve,
    /// The request is rejected.
    Reject,
}

/// What somebody was told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    Paired,
    Rejected,
}

/// The standings of the node in this world, which offer a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Short {
    Pending,
    Paired,
    Rejected,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Desk {
    /// A decision that is to be stored, and the version that it was made by.
    storing: Option<(Word, Short, u8)>,
    /// Number of changes that the gateway has read.
    read: u8,
    /// What its operator was told was done, for the present request.
    told: Option<Told>,
}

/// All that a run can change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    record: Option<Short>,
    /// Version of the record, which is also the length of the log.
    version: u8,
    desks: [Desk; 2],
    /// The gateway at which the node waits.
    waits_at: Option<usize>,
    /// What the node was told, for the present request.
    node: Option<Told>,
    was_refused: bool,
    left: Left,
}

/// How much may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Connections on which the node asks.
    pub asks: u8,
    /// Decisions of operators.
    pub words: u8,
    /// Crashes of gateways.
    pub crashes: u8,
}

/// A step of the node, an operator or a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node asks at a gateway, and leaves the other one.
    Ask(usize),
    /// An operator at a gateway reads the record, and decides.
    Decide(usize, Word),
    /// The decision is stored, or made once more because the record has changed.
    Store(usize),
    /// A gateway crashes, with what it was about to store and the connection of the node.
    Crash(usize),
    /// A gateway reads the log.
    Read(usize),
}

/// A node, two gateways and two operators.
#[derive(Clone, Debug)]
pub struct Approvals {
    /// The functions that the gateways call.
    pub rules: Rules,
    /// How much may happen.
    pub left: Left,
}

const NOW: UnixTime = UnixTime::from_secs(1_000);

fn standing(short: Short) -> Standing {
    match short {
        Short::Pending => Standing::Pending { expires: UnixTime::from_secs(2_000) },
        Short::Paired => Standing::Paired { credential: Credential::Keys, mode: Mode::Full },
        Short::Rejected => Standing::Revoked { cause: Cause::Rejected },
    }
}

const fn short(standing: &Standing) -> Short {
    match standing {
        Standing::Pending { .. } | Standing::Unapproved { .. } => Short::Pending,
        Standing::Paired { .. } | Standing::Muted { .. } => Short::Paired,
        Standing::Revoked { .. } => Short::Rejected,
    }
}

impl Approvals {
    /// An operator reads the record and decides; what is refused, they are told at once.
    fn decides(&self, state: &mut State, at: usize, word: Word) {
        let decision = match word {
            Word::Approve => Decision::Approve(Credential::Keys),
            Word::Reject => Decision::Reject,
        };
        let Some(record) = state.record else { return };
        match (self.rules.decide)(&standing(record), decision, NOW) {
            Ok(change) => {
                state.desks[at].storing = Some((word, short(&change.standing), state.version));
            }
            Err(_) => {
                (state.desks[at].storing, state.was_refused) = (None, true);
            }
        }
    }

    /// The node's request is settled, as it asks or as its gateway has it looked up again.
    fn settles(&self, state: &mut State, at: usize) {
        let record = state.record.map(standing);
        let asked = SettleRequest {
            standing: record.as_ref(),
            rejection: None,
            method: Method::Approval,
            proof: Proven::Key,
        };
        let settled = match (self.rules.settle)(&asked, PolicyVerdict::NotAsked, NOW) {
            Settlement::AskPolicy => (self.rules.settle)(&asked, PolicyVerdict::Asks, NOW),
            settled => settled,
        };
        state.waits_at = None;
        match settled {
            Settlement::AskOperator => {
                state.waits_at = Some(at);
                if state.record != Some(Short::Pending) {
                    // Another request: what was told of the last one is past.
                    state.record = Some(Short::Pending);
                    state.version += 1;
                    state.node = None;
                    state.desks.iter_mut().for_each(|desk| desk.told = None);
                }
            }
            Settlement::OfferAgain | Settlement::Pair => state.node = Some(Told::Paired),
            Settlement::Refuse(_) | Settlement::AskPolicy => state.node = Some(Told::Rejected),
        }
    }

    /// A waiting node hears of a decision: a rejection as such, and anything else as it settles.
    fn hears(&self, state: &mut State, at: usize) {
        match state.record {
            _ if state.waits_at != Some(at) => {}
            // It may ask again only later.
            Some(Short::Rejected) => {
                (state.waits_at, state.node) = (None, Some(Told::Rejected));
            }
            Some(Short::Pending | Short::Paired) | None => self.settles(state, at),
        }
    }
}

impl World for Approvals {
    type State = State;
    type Action = Action;

    fn begin(&self) -> State {
        let desk = || Desk { storing: None, read: 0, told: None };
        State {
            record: None,
            version: 0,
            desks: [desk(), desk()],
            waits_at: None,
            node: None,
            was_refused: false,
            left: self.left,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for at in 0..2 {
            let desk = &state.desks[at];
            if state.left.asks > 0 {
                actions.push(Action::Ask(at));
            }
            match desk.storing {
                Some(_) => actions.push(Action::Store(at)),
                None if state.left.words > 0 && state.record.is_some() => {
                    actions.extend([Word::Approve, Word::Reject].map(|it| Action::Decide(at, it)));
                }
                None => {}
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(at));
            }
            if desk.read < state.version {
                actions.push(Action::Read(at));
            }
        }
    }

    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Ask(at) => {
                state.left.asks -= 1;
                self.settles(&mut state, at);
            }
            Action::Decide(at, word) => {
                state.left.words -= 1;
                self.decides(&mut state, at, word);
            }
            Action::Store(at) => {
                let (word, after, read) = state.desks[at].storing.take()?;
                if (self.rules.stores_over)(read, state.version) {
                    state.record = Some(after);
                    state.version += 1;
                    state.desks[at].told = Some(match word {
                        Word::Approve => Told::Paired,
                        Word::Reject => Told::Rejected,
                    });
                    self.hears(&mut state, at);
                } else {
                    self.decides(&mut state, at, word);
                }
            }
            Action::Crash(at) => {
                state.left.crashes -= 1;
                state.desks[at].storing = None;
                if state.waits_at == Some(at) {
                    state.waits_at = None;
                }
            }
            Action::Read(at) => {
                state.desks[at].read = state.version;
                if self.rules.looks_again {
                    self.hears(&mut state, at);
                }
            }
        }
        (state != *before).then_some(state)
    }

    fn invariants(&self) -> Vec<Condition<Self>> {
        vec![
            (ONE_OUTCOME, |_, state| {
                let [one, other] = &state.desks;
                one.told.is_none() || other.told.is_none()
            }),
            (OPERATORS_HEAR, |_, state| {
                state.desks.iter().all(|desk| desk.told.is_none_or(|told| holds(state, told)))
            }),
            (NODE_HEARS, |_, state| state.node.is_none_or(|told| holds(state, told))),
            (NOT_LEFT, |_, state| {
                let hears = state.waits_at.is_some_and(|at| state.desks[at].read == state.version);
                !hears || state.record == Some(Short::Pending)
            }),
        ]
    }

    fn reachable(&self) -> Vec<Condition<Self>> {
        vec![
            ("an operator is told that the other one was first", |_, state| {
                state.was_refused && state.desks.iter().any(|desk| desk.told.is_some())
            }),
            ("a node hears of a decision that was made where it does not wait", |_, state| {
                let elsewhere = |at: usize| {
                    state.desks[at].told.is_some() && state.desks[1 - at].read == state.version
                };
                state.node.is_some() && (elsewhere(0) || elsewhere(1))
            }),
        ]
    }
}

fn holds(state: &State, told: Told) -> bool {
    state.record
        == Some(match told {
            Told::Paired => Short::Paired,
            Told::Rejected => Short::Rejected,
        })
}

/// Of an approval and a rejection one is done, and the other one refused.
pub const ONE_OUTCOME: &str = "of two decisions about a request one is done";
/// Operators hear the truth.
pub const OPERATORS_HEAR: &str = "what an operator is told was done is done";
/// The node hears the same as the operators.
pub const NODE_HEARS: &str = "what the node is told holds";
/// No node waits for what is decided.
pub const NOT_LEFT: &str = "once its gateway has read all, a node waits only for a decision";

/// Returns `true` if a decision may still be made and heard.
#[must_use]
pub fn may_decide(_: &Approvals, state: &State) -> bool {
    let waits = state.record == Some(Short::Pending);
    waits && state.left.asks > 0 && state.left.words > 0
}

/// Returns `true` if the node was told the outcome.
#[must_use]
pub fn is_told(_: &Approvals, state: &State) -> bool {
    state.node.is_some()
}
