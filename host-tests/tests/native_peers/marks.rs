//! Marks on nodes' states: links that break at any moment are no alarm, a copied state is one.

use handfast_core::flow::native::gateway::NativeConnection;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::link::dispatch::DispatchState;
use handfast_core::wire::native::link::CloneMark;
use handfast_host_tests::native::World;
use handfast_host_tests::native::node::NodeIn;
use handfast_host_tests::prng::Prng;

use super::{assert_linked, paired_by_pin};

/// Time after which the next link brings a new mark, in milliseconds.
const AN_HOUR: u64 = 3_700_000;

fn mark_of(world: &World) -> Option<CloneMark> {
    match world.nodes[0].memory {
        NativeMemory::Paired(paired) => paired.mark,
        other => panic!("{}{other:?}", world.story()),
    }
}

/// Cuts the link, lets an hour pass, and links again.
fn an_hour_later(world: &mut World) {
    if let Some(conn) = world.nodes[0].conn {
        world.cut(conn);
    }
    world.run();
    world.now += AN_HOUR;
    let states = |world: &World| world.is_linked(0);
    assert!(world.run_until(states), "{}", world.story());
    world.run();
}

#[test]
fn a_node_stores_each_mark_before_it_confirms_it_and_shows_it_on_its_next_link() {
    let mut world = paired_by_pin();
    let first = mark_of(&world).expect("the first link brings one");
    assert_eq!(world.counter_of(0).confirmed, Some(1));
    an_hour_later(&mut world);
    let second = mark_of(&world).expect("there is one");
    assert_ne!(first, second);
    assert_eq!((world.counter_of(0).confirmed, world.gateways[0].alarms), (Some(2), 0));
}

#[test]
fn links_that_are_cut_at_any_moment_of_the_exchange_of_marks_raise_no_alarm_a_thousand_times() {
    let (mut cuts, mut confirmed) = (0, 0);
    for seed in 0..25 {
        let mut world = paired_by_pin();
        let mut chance = Prng::new(seed);
        for _ in 0..40 {
            world.now += AN_HOUR;
            // A link takes some thirty events from its call to the confirmation of its mark.
            let events = chance.below(40);
            let _ = world.run_until(|world| world.nodes[0].conn.is_some());
            for _ in 0..events {
                world.happen();
            }
            match chance.below(4) {
                0 => world.node_off(0),
                _ => {
                    if let Some(conn) = world.nodes[0].conn {
                        world.cut(conn);
                    }
                }
            }
            cuts += 1;
            world.run();
            assert_eq!(world.gateways[0].alarms, 0, "{}", world.story());
        }
        world.now += AN_HOUR;
        assert!(world.run_until(|world| world.is_linked(0)), "{}", world.story());
        confirmed += world.counter_of(0).confirmed.unwrap_or_default();
        assert!(!world.counter_of(0).is_quarantined());
    }
    assert_eq!(cuts, 1000);
    assert!(confirmed > 250, "the exchange gets through often enough: {confirmed}");
}

#[test]
fn a_gateway_restored_from_yesterday_takes_its_nodes_marks_over_and_alarms_nobody() {
    let mut world = paired_by_pin();
    let yesterday = world.store.clones.clone();
    for _ in 0..3 {
        an_hour_later(&mut world);
    }
    world.store.clones = yesterday;
    an_hour_later(&mut world);
    assert_eq!((world.gateways[0].alarms, world.gateways[0].older), (0, 1), "{}", world.story());
    an_hour_later(&mut world);
    assert_eq!((world.gateways[0].alarms, world.gateways[0].older), (0, 1));
    assert_linked(&world);
}

#[test]
fn a_paired_node_that_asks_to_be_paired_once_more_keeps_its_mark_and_is_no_copy() {
    let mut world = paired_by_pin();
    an_hour_later(&mut world);
    let mark = mark_of(&world);
    assert!(mark.is_some());
    // The operator decides nothing: the node is paired, and is offered its grant again.
    world.pair_by_approval(0);
    assert!(world.run_until(|world| world.is_linked(0)), "{}", world.story());
    world.run();
    assert_eq!((mark_of(&world), world.gateways[0].alarms), (mark, 0), "{}", world.story());
}

/// Runs a node, copies its state, lets the original go on, and starts the copy.
fn copied() -> World {
    let mut world = paired_by_pin();
    world.copy_state(0);
    for _ in 0..2 {
        an_hour_later(&mut world);
    }
    world.run_copy(0);
    world.now += AN_HOUR;
    assert!(world.run_until(|world| world.is_linked(0)), "{}", world.story());
    world.run();
    world
}

#[test]
fn a_copied_state_raises_the_alarm_and_its_link_is_muted_and_given_no_task_and_no_renewal() {
    let mut world = copied();
    assert_eq!(world.gateways[0].alarms, 1, "{}", world.story());
    let conn = world.nodes[0].conn.unwrap();
    assert_eq!(world.gateways[0].seats[&conn].state(), "Quarantined");
    assert!(world.nodes[0].heard("Muted"));
    let grant = super::grant_of(&world, 0);
    let id = world.dispatch(0);
    world.feed_node(0, NodeIn::Renew(true));
    world.feed_node(0, NodeIn::Renew(false));
    world.run();
    assert_eq!((world.task(id), world.nodes[0].ran.len()), (DispatchState::Queued, 0));
    assert_eq!((super::grant_of(&world, 0), world.nodes[0].bearers.len()), (grant, 0));
    let receives =
        world.gateways[0].seats[&conn].machine.as_ref().is_some_and(NativeConnection::receives);
    assert!(!receives);
}

#[test]
fn a_released_node_goes_on_with_a_new_mark_and_the_older_state_alarms_again() {
    let mut world = copied();
    world.copy_state(0);
    world.release(0);
    an_hour_later(&mut world);
    assert_linked(&world);
    assert!(!world.counter_of(0).is_quarantined());
    let id = world.dispatch(0);
    world.run();
    assert_eq!(world.task(id), DispatchState::Succeeded);
    an_hour_later(&mut world);
    world.run_copy(0);
    world.now += AN_HOUR;
    assert!(world.run_until(|world| world.gateways[0].alarms == 2), "{}", world.story());
}
