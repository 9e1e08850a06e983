//! A code, and a connection that guesses it at either gateway: both at once, with gateways that
//! crash between any two steps.

use handfast_core::UnixTime;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::limits::{GUESSES_PER_CODE, GUESSES_PER_SOURCE};
use handfast_core::registry::codes::{Counted, Kind, NoGuess, Reserved, Window, reserve, spend};
use handfast_core::wire::native::pair::Selector;

use super::super::{Condition, World};

/// The code, the window and the count of the source once a code is spent.
pub type Spent = (Counted, Window, u8);

/// The functions that the gateways call.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The reservation of a guess.
    pub reserve: fn(&Counted, &Window, u8, UnixTime) -> Result<Reserved, NoGuess>,
    /// The spending of a code that was guessed.
    pub spend: fn(&Counted, &Window, u8, UnixTime) -> Option<Spent>,
    /// `true` if a gateway reads the counts in the step that writes them, and not before.
    pub reads_as_it_writes: bool,
}

/// The production functions. The registry carries them out in one transaction.
pub const RULES: Rules = Rules { reserve, spend, reads_as_it_writes: true };

/// The counts of the code, of the window and of the one source.
type Counts = (u8, u8, u8, u8);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Idle,
    /// The peer knows the code (`true`), or guesses.
    Shows(bool),
    Reserved(bool),
    Right,
    Spent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Gateway {
    stage: Stage,
    /// The counts as they were when the connection opened.
    seen: Counts,
}

/// All that a run can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    counts: Counts,
    gateways: [Gateway; 2],
    wrong: u8,
    spent: u8,
    granted: u8,
    /// A peer that knows the code was told that another one has spent it.
    came_second: bool,
    is_locked: bool,
    left: Left,
}

/// How much may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Connections of peers that guess.
    pub guesses: u8,
    /// Connections of peers that know the code.
    pub shows: u8,
    /// Crashes of gateways.
    pub crashes: u8,
}

/// A step of a peer or a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A peer opens a connection, and knows the code (`true`) or not.
    Open(usize, bool),
    /// A gateway reserves a guess.
    Reserve(usize),
    /// A gateway compares.
    Compare(usize),
    /// A gateway spends the code.
    Spend(usize),
    /// A gateway grants what the code was for.
    Grant(usize),
    /// A gateway crashes.
    Crash(usize),
}

/// Two gateways and a code.
#[derive(Clone, Debug)]
pub struct Codes {
    /// The functions that the gateways call.
    pub rules: Rules,
    /// How much may happen.
    pub left: Left,
    /// `true` for a PIN, which counts for its window and its source as well.
    pub is_pin: bool,
}

const NOW: UnixTime = UnixTime::from_secs(1_000);

impl Codes {
    fn counted(&self, (guesses, uses_left, ..): Counts) -> Counted {
        let selector = Selector::parse("K7QF").expect("a selector");
        let kind = match self.is_pin {
            true => Kind::Pin(PublicKey::parse(&[9; 32]).expect("a key")),
            false => Kind::Code(selector),
        };
        Counted { kind, expires: UnixTime::from_secs(2_000), guesses, uses_left }
    }

    fn window(&self, (_, _, guesses, _): Counts) -> Window {
        Window { guesses, ..Window::open(UnixTime::from_secs(500), None) }
    }

    fn counts(&self, state: &State, at: usize) -> Counts {
        match self.rules.reads_as_it_writes {
            true => state.counts,
            false => state.gateways[at].seen,
        }
    }

    fn reserves(&self, state: &mut State, at: usize, knows: bool) {
        let counts = self.counts(state, at);
        let (counted, window) = (self.counted(counts), self.window(counts));
        match (self.rules.reserve)(&counted, &window, counts.3, NOW) {
            Ok(Reserved { guesses, window, of_source, .. }) => {
                state.counts = (guesses, counts.1, window.guesses, of_source);
                state.gateways[at].stage = Stage::Reserved(knows);
            }
            Err(why) => {
                state.is_locked |= why == NoGuess::Locked;
                state.came_second |= knows && why == NoGuess::Expired;
                state.gateways[at].stage = Stage::Idle;
            }
        }
    }

    fn spends(&self, state: &mut State, at: usize) {
        let counts = self.counts(state, at);
        let (counted, window) = (self.counted(counts), self.window(counts));
        match (self.rules.spend)(&counted, &window, counts.3, NOW) {
            Some((counted, window, of_source)) => {
                state.counts = (counted.guesses, counted.uses_left, window.guesses, of_source);
                state.spent += 1;
                state.gateways[at].stage = Stage::Spent;
            }
            None => {
                state.came_second = true;
                state.gateways[at].stage = Stage::Idle;
            }
        }
    }
}

impl World for Codes {
    type State = State;
    type Action = Action;

    fn begin(&self) -> State {
        let counts = (0, 1, 0, 0);
        State {
            counts,
            gateways: [Gateway { stage: Stage::Idle, seen: counts }; 2],
            wrong: 0,
            spent: 0,
            granted: 0,
            came_second: false,
            is_locked: false,
            left: self.left,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, gateway) in state.gateways.iter().enumerate() {
            match gateway.stage {
                Stage::Idle => {
                    if state.left.guesses > 0 {
                        actions.push(Action::Open(at, false));
                    }
                    if state.left.shows > 0 {
                        actions.push(Action::Open(at, true));
                    }
                    continue;
                }
                Stage::Shows(_) => actions.push(Action::Reserve(at)),
                Stage::Reserved(_) => actions.push(Action::Compare(at)),
                Stage::Right => actions.push(Action::Spend(at)),
                Stage::Spent => actions.push(Action::Grant(at)),
            }
            if state.left.crashes > 0 {
                actions.push(Action::Crash(at));
            }
        }
    }

    fn next(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        match action {
            Action::Open(at, knows) => {
                let left = &mut state.left;
                *if knows { &mut left.shows } else { &mut left.guesses } -= 1;
                state.gateways[at] = Gateway { stage: Stage::Shows(knows), seen: state.counts };
            }
            Action::Reserve(at) => {
                let Stage::Shows(knows) = state.gateways[at].stage else { return None };
                self.reserves(&mut state, at, knows);
            }
            Action::Compare(at) => {
                let Stage::Reserved(knows) = state.gateways[at].stage else { return None };
                state.wrong += u8::from(!knows);
                state.gateways[at].stage = if knows { Stage::Right } else { Stage::Idle };
            }
            Action::Spend(at) => self.spends(&mut state, at),
            Action::Grant(at) => {
                state.granted += 1;
                state.gateways[at].stage = Stage::Idle;
            }
            Action::Crash(at) => {
                state.left.crashes -= 1;
                state.gateways[at].stage = Stage::Idle;
            }
        }
        Some(state)
    }

    fn invariants(&self) -> Vec<Condition<Self>> {
        vec![
            (SPENT_ONCE, |_, state| state.spent <= 1 && state.granted <= state.spent),
            (COUNTED, |_, state| state.wrong <= GUESSES_PER_CODE.min(GUESSES_PER_SOURCE)),
            (NOT_LOCKED_BY_ITS_OWNER, |world, state| {
                let (guesses, ..) = state.counts;
                let under_way = state
                    .gateways
                    .iter()
                    .filter(|gateway| matches!(gateway.stage, Stage::Reserved(_) | Stage::Right));
                // A crash costs the guess that it interrupts, which may have been right.
                let crashed = world.left.crashes - state.left.crashes;
                // One that comes second keeps its guess, of a code that is spent.
                state.came_second
                    || usize::from(guesses)
                        <= usize::from(state.wrong + crashed) + under_way.count()
            }),
        ]
    }

    fn reachable(&self) -> Vec<Condition<Self>> {
        let mut conditions: Vec<Condition<Self>> = vec![
            ("a node comes second", |_, state| state.came_second && state.granted == 1),
            ("a code is spent and granted", |_, state| state.granted == 1),
        ];
        if self.left.crashes > 0 {
            conditions.push(("a gateway crashes between spending and granting", |_, state| {
                let at_work = state.gateways.iter().any(|it| it.stage != Stage::Idle);
                state.spent == 1 && state.granted == 0 && !at_work
            }));
        }
        if self.left.guesses > GUESSES_PER_CODE.min(GUESSES_PER_SOURCE) {
            conditions.push(("wrong guesses at both gateways lock it", |_, state| state.is_locked));
        }
        conditions
    }
}

/// A code is spent once, whichever gateways it is shown at.
pub const SPENT_ONCE: &str = "a code is spent once, and nothing is granted without that";
/// Guesses count wherever they are made.
pub const COUNTED: &str = "there are no more wrong guesses than one gateway would let through";
/// Right guesses are given back.
pub const NOT_LOCKED_BY_ITS_OWNER: &str = "only wrong guesses and those under way are counted";
