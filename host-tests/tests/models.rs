//! Visits every state of the worlds in `handfast_host_tests::models`: their invariants hold, what
//! has to be possible is, and a wrong function in the place of a right one is found. The tests that
//! take long are ignored; `host-tests/all.sh --long` runs them.

mod clone_counter;
mod dispatch;
mod identity;
mod sharing;
mod two_gateways;

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use handfast_host_tests::models::{Condition, World};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// A world as the model checker takes it.
struct Checked<W: World> {
    world: W,
    invariants: Vec<Condition<W>>,
    reachable: Vec<Condition<W>>,
}

impl<W: World> Checked<W> {
    fn new(world: W) -> Self {
        let (invariants, reachable) = (world.invariants(), world.reachable());
        assert!(invariants.len() <= 8 && reachable.len() <= 8, "the table of functions is longer");
        Self { world, invariants, reachable }
    }
}

/// The checker takes plain functions, so the number of a condition is a part of its type.
fn invariant<W: World, const N: usize>(checked: &Checked<W>, state: &W::State) -> bool {
    checked.invariants[N].1(&checked.world, state)
}

fn reached<W: World, const N: usize>(checked: &Checked<W>, state: &W::State) -> bool {
    checked.reachable[N].1(&checked.world, state)
}

macro_rules! numbered {
    ($function:ident) => {
        [
            $function::<W, 0>,
            $function::<W, 1>,
            $function::<W, 2>,
            $function::<W, 3>,
            $function::<W, 4>,
            $function::<W, 5>,
            $function::<W, 6>,
            $function::<W, 7>,
        ]
    };
}

impl<W: World> Model for Checked<W> {
    type State = W::State;
    type Action = W::Action;

    fn init_states(&self) -> Vec<W::State> {
        vec![self.world.begin()]
    }

    fn actions(&self, state: &W::State, actions: &mut Vec<W::Action>) {
        self.world.actions(state, actions);
    }

    fn next_state(&self, state: &W::State, action: W::Action) -> Option<W::State> {
        self.world.next(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always: [fn(&Self, &W::State) -> bool; 8] = numbered!(invariant);
        let sometimes: [fn(&Self, &W::State) -> bool; 8] = numbered!(reached);
        let always = self.invariants.iter().zip(always);
        let sometimes = self.reachable.iter().zip(sometimes);
        always
            .map(|((name, _), holds)| Property::<Self>::always(name, holds))
            .chain(sometimes.map(|((name, _), holds)| Property::<Self>::sometimes(name, holds)))
            .collect()
    }
}

/// Visits every state of a world, checks its conditions, and returns the number of states.
fn every_state<W>(world: W) -> usize
where
    W: World + Send + Sync + 'static,
    W::State: Hash + Send + Sync + 'static,
{
    let checker = Checked::new(world).checker().spawn_bfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

/// Asserts that a world with a wrong function violates this invariant.
fn is_found<W>(world: W, invariant: &'static str)
where
    W: World + Send + Sync + 'static,
    W::State: Hash + Send + Sync + 'static,
{
    let wanted = HasDiscoveries::AnyOf([invariant].into_iter().collect());
    let checker = Checked::new(world).checker().finish_when(wanted).spawn_bfs().join();
    let path = checker.assert_any_discovery(invariant);
    assert!(!path.into_actions().is_empty(), "no world violates it from the start");
}

/// Asserts that from every state where `from` holds some way leads to one where `goal` holds, and
/// returns the number of all states. (The checker's own `eventually` is about paths that end.)
fn always_possible<W>(
    world: &W,
    from: fn(&W, &W::State) -> bool,
    goal: fn(&W, &W::State) -> bool,
) -> usize
where
    W: World,
    W::State: Hash,
{
    match without_a_way(world, from, goal) {
        Ok(count) => count,
        Err((count, steps)) => panic!("no way out, {count} states visited:\n{}", steps.join("\n")),
    }
}

/// Returns the number of states, or a shortest way to a state from which no way leads to the goal.
fn without_a_way<W>(
    world: &W,
    from: fn(&W, &W::State) -> bool,
    goal: fn(&W, &W::State) -> bool,
) -> Result<usize, (usize, Vec<String>)>
where
    W: World,
    W::State: Hash,
{
    // States are told apart by their hashes, as the checker does, and kept only until they are
    // expanded: what is remembered of each is small.
    let mut numbers = HashMap::from([(hashed(&world.begin()), 0)]);
    let mut open = VecDeque::from([world.begin()]);
    let mut leads = vec![goal(world, &world.begin())];
    let mut obliged = vec![from(world, &world.begin())];
    // For each state those before it, and the first of them with the action that led on.
    let mut before: Vec<Vec<u32>> = vec![Vec::new()];
    let mut found_by: Vec<Option<(u32, W::Action)>> = vec![None];
    let (mut at, mut actions) = (0_u32, Vec::new());
    while let Some(state) = open.pop_front() {
        world.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = world.next(&state, action.clone()) else { continue };
            let number = *numbers.entry(hashed(&next)).or_insert_with(|| {
                leads.push(goal(world, &next));
                obliged.push(from(world, &next));
                before.push(Vec::new());
                found_by.push(Some((at, action)));
                open.push_back(next);
                leads.len() - 1
            });
            before[number].push(at);
        }
        at += 1;
    }
    let mut open: Vec<usize> = (0..leads.len()).filter(|number| leads[*number]).collect();
    while let Some(number) = open.pop() {
        for earlier in &before[number] {
            let earlier = *earlier as usize;
            if !leads[earlier] {
                leads[earlier] = true;
                open.push(earlier);
            }
        }
    }
    match leads.iter().zip(&obliged).position(|(leads, obliged)| !leads && *obliged) {
        None => Ok(leads.len()),
        Some(stuck) => {
            let (mut steps, mut number) = (Vec::new(), stuck);
            while let Some((from, action)) = &found_by[number] {
                steps.push(format!("{action:?}"));
                number = *from as usize;
            }
            steps.reverse();
            Err((leads.len(), steps))
        }
    }
}

fn hashed(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}
