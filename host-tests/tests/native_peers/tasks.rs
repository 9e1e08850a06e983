//! Tasks of linked nodes: each runs once, and its outcome is told, whatever fails in between.

use handfast_core::link::dispatch::DispatchState;
use handfast_core::registry::lifecycle::Decision;
use handfast_host_tests::native::World;
use handfast_host_tests::native::node::NodeIn;
use handfast_host_tests::prng::Prng;

use super::paired_by_pin;

#[test]
fn a_task_is_pushed_at_once_and_its_outcome_comes_back() {
    let mut world = paired_by_pin();
    world.feed_node(0, NodeIn::Announce("echo"));
    world.run();
    let id = world.dispatch(0);
    world.run();
    assert_eq!(
        (world.task(id), world.nodes[0].ran.as_slice()),
        (DispatchState::Succeeded, &[id][..])
    );
    assert!(world.store.announced.iter().any(|(_, name)| name == "echo"));
}

#[test]
fn a_task_waits_for_the_nodes_link_and_none_is_sent_while_the_node_is_muted() {
    let mut world = paired_by_pin();
    let node_id = world.id_of(0).unwrap();
    assert!(world.decide(node_id, Decision::Mute));
    world.run();
    let id = world.dispatch(0);
    world.run();
    assert_eq!((world.task(id), world.nodes[0].ran.len()), (DispatchState::Queued, 0));
    assert!(world.decide(node_id, Decision::Unmute));
    world.cut(world.nodes[0].conn.unwrap());
    assert!(world.run_until(|world| world.task(id) == DispatchState::Succeeded));
    assert_eq!(world.nodes[0].ran, [id]);
}

#[test]
fn only_the_node_that_a_task_is_for_reports_its_outcome() {
    let mut world = World::new(2, 11);
    for at in 0..2 {
        world.pair_by_approval(at);
        world.run();
        assert!(world.approve(at));
        assert!(world.run_until(|world| world.is_linked(at)));
    }
    // The link is cut before the task is read, so it stays unanswered.
    let id = world.dispatch(0);
    world.cut(world.nodes[0].conn.unwrap());
    world.feed_node(1, NodeIn::Outcome(id, true));
    world.run();
    assert_eq!(world.gateways[0].meddled, 1);
    assert!(!matches!(world.task(id), DispatchState::Succeeded), "{:?}", world.task(id));
}

#[test]
fn a_task_whose_link_is_cut_at_any_moment_runs_once_at_most_and_is_never_lost() {
    for seed in 0..200 {
        let mut world = paired_by_pin();
        let mut chance = Prng::new(seed);
        let id = world.dispatch(0);
        for _ in 0..3 {
            for _ in 0..chance.below(12) {
                world.happen();
            }
            match (chance.below(3), world.nodes[0].conn) {
                (0, _) => world.node_off(0),
                (1, _) => world.gateway_off(0),
                (_, Some(conn)) => world.cut(conn),
                (_, None) => {}
            }
        }
        let over = |world: &World| world.task(id).is_over() && world.is_linked(0);
        assert!(world.run_until(over), "{}{:?}", world.story(), world.task(id));
        let ran = world.nodes[0].ran.len();
        assert!(ran <= 1, "{}it ran {ran} times", world.story());
        match world.task(id) {
            DispatchState::Succeeded => assert_eq!(ran, 1),
            DispatchState::Expired => assert_eq!(ran, 0, "{}", world.story()),
            // The power failed before its board had a result.
            DispatchState::Failed => {}
            other => panic!("{}{other:?}", world.story()),
        }
    }
}
