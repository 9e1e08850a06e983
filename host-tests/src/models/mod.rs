//! Worlds of the identity flow, of dispatches, and of gateways that share a registry. The actors in
//! them call the production functions of core; a world keeps only the durable and the volatile
//! values around them, the messages under way, and what an invariant has to remember. The tests visit every state of the small ones, and
//! the fuzzer plays long runs in large ones.
//!
//! A world takes the functions that it calls as a field, so a test can put a wrong one in the place
//! of a right one and see it found.

pub mod clone_counter;
pub mod dispatch;
pub mod identity;
pub mod sharing;
pub mod two_gateways;

use core::fmt::Debug;

/// A condition of a world's state, with its name.
pub type Condition<W> = (&'static str, fn(&W, &<W as World>::State) -> bool);

/// A closed system of actors, in which nothing happens by chance but the choice of the next action.
pub trait World: Sized {
    /// All that a run can change.
    type State: Clone + Debug + Eq;
    /// A step of one actor, or of the world around them.
    type Action: Clone + Debug + PartialEq;

    /// Returns the state in which every run begins.
    fn begin(&self) -> Self::State;

    /// Adds the actions that are possible in a state.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// Returns the state after an action; `None` if it changes nothing.
    fn next(&self, state: &Self::State, action: Self::Action) -> Option<Self::State>;

    /// Returns the conditions that hold in every state.
    fn invariants(&self) -> Vec<Condition<Self>>;

    /// Returns the conditions that hold in some state, without which a world proves little.
    fn reachable(&self) -> Vec<Condition<Self>>;
}

/// Plays one run: each byte chooses among the actions that are possible. Checks the invariants after
/// each step.
///
/// # Panics
/// If an invariant does not hold.
pub fn play<W: World>(world: &W, bytes: &[u8]) {
    let mut state = world.begin();
    let invariants = world.invariants();
    let mut actions = Vec::new();
    for byte in bytes {
        actions.clear();
        world.actions(&state, &mut actions);
        let Some(which) = usize::from(*byte).checked_rem(actions.len()) else { return };
        let action = actions.swap_remove(which);
        let Some(next) = world.next(&state, action.clone()) else { continue };
        for (name, holds) in &invariants {
            assert!(holds(world, &next), "{name}: {action:?} leads from {state:?} to {next:?}");
        }
        state = next;
    }
}

/// Plays a run of dispatches: the first byte says how many there are and whether they may run twice.
///
/// # Panics
/// If an invariant does not hold.
pub fn dispatches(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    // A restored gateway excludes retries and a restored node: then nobody remembers what ran after
    // the backup.
    let restores = u8::from(first & 2 != 0);
    let budget = dispatch::Budget {
        cuts: 50,
        crashes: 50,
        power_cuts: 50,
        cancels: 20,
        retries: if restores == 0 { 20 } else { 0 },
        seconds: 20,
        gateway_restores: restores,
        node_restores: 1 - restores,
    };
    let (count, idempotent) = (1 + usize::from(first >> 2) % 6, first & 1 != 0);
    play(&dispatch::Dispatches { rules: dispatch::RULES, budget, count, idempotent }, bytes);
}

/// Plays a run of a node and its copies: the first byte says how many copies and restored gateways
/// there are.
///
/// # Panics
/// If an invariant does not hold.
pub fn copies(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let left = clone_counter::Left {
        links: 200,
        hours: 200,
        seconds: 200,
        copies: first % 4,
        restores: first / 4 % 4,
        releases: 200,
    };
    play(&clone_counter::Copies { rules: clone_counter::RULES, left }, bytes);
}

/// Plays a run of two gateways over one registry: the first byte says how often one is cut off and
/// how many claims fail.
///
/// # Panics
/// If an invariant does not hold.
pub fn two_gateways(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let left = sharing::Left {
        links: 100,
        seconds: 100,
        cuts: first % 8,
        failures: first / 8 % 8,
        revocations: u8::from(first & 64 != 0),
    };
    play(&sharing::Shared { rules: sharing::RULES, left }, bytes);
}
