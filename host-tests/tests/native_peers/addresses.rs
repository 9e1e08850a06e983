//! The addresses that a gateway tells its nodes.

use handfast_core::Span;
use handfast_core::registry::lifecycle::Decision;
use handfast_host_tests::native::World;

use super::{assert_linked, paired_by_pin};

const OLD: &str = "tcp://10.0.0.1:7331";
const NEW: &str = "tcp://10.0.0.2:7331 ws://gateway.local:8765";

fn confirmed(world: &World) -> Vec<&'static str> {
    let node_id = world.id_of(0).unwrap();
    let of = world.store.known_addresses.iter().filter(|(of, _)| *of == node_id);
    of.map(|(_, list)| *list).collect()
}

/// Returns a world with a linked node that keeps addresses.
fn keeping() -> World {
    let mut world = paired_by_pin();
    world.node_off(0);
    world.nodes[0].keeps_addresses = true;
    world.node_on(0);
    world.pass(Span::from_secs(100));
    assert_linked(&world);
    world
}

#[test]
fn a_linked_node_stores_what_it_is_told_and_says_so_over_the_same_link() {
    let mut world = keeping();
    let (conn, before) = (world.nodes[0].conn, world.nodes[0].memory);
    world.move_nodes(NEW);
    world.run();
    assert_eq!(world.nodes[0].addresses.as_deref(), Some(NEW), "{}", world.story());
    assert_eq!(confirmed(&world), [NEW], "{}", world.story());
    // Neither the link nor the key by which the node knows its gateway changes.
    assert_eq!((world.nodes[0].conn, world.nodes[0].memory), (conn, before));
}

#[test]
fn a_node_that_was_away_is_told_over_its_next_link() {
    let mut world = keeping();
    world.node_off(0);
    world.run();
    world.move_nodes(NEW);
    world.run();
    assert_eq!(confirmed(&world), Vec::<&str>::new());
    world.node_on(0);
    world.pass(Span::from_secs(100));
    assert_linked(&world);
    assert_eq!(world.nodes[0].addresses.as_deref(), Some(NEW), "{}", world.story());
    assert_eq!(confirmed(&world), [NEW]);
}

#[test]
fn of_two_lists_that_follow_each_other_the_last_one_is_confirmed_and_kept() {
    let mut world = keeping();
    world.move_nodes(OLD);
    world.move_nodes(NEW);
    world.run();
    assert_eq!(world.nodes[0].addresses.as_deref(), Some(NEW), "{}", world.story());
    assert_eq!(confirmed(&world), [NEW], "{}", world.story());
}

#[test]
fn a_node_that_keeps_no_addresses_is_told_none() {
    let mut world = paired_by_pin();
    world.pass(Span::from_secs(100));
    let conn = world.nodes[0].conn;
    world.move_nodes(NEW);
    world.pass(Span::from_secs(100));
    assert_eq!(world.nodes[0].addresses, None);
    assert_eq!(confirmed(&world), Vec::<&str>::new());
    assert_eq!(world.nodes[0].conn, conn, "{}", world.story());
}

#[test]
fn a_muted_node_hears_of_them_too() {
    let mut world = keeping();
    let node_id = world.id_of(0).unwrap();
    assert!(world.decide(node_id, Decision::Mute));
    world.move_nodes(NEW);
    world.run();
    assert_eq!(confirmed(&world), [NEW], "{}", world.story());
}

#[test]
fn a_node_that_loses_power_while_it_is_told_has_the_list_in_the_end() {
    for fuel in 0..8 {
        let mut world = keeping();
        world.nodes[0].fuel = Some(fuel);
        world.move_nodes(NEW);
        world.pass(Span::from_secs(400));
        world.nodes[0].fuel = None;
        world.pass(Span::from_secs(400));
        assert_linked(&world);
        assert_eq!(world.nodes[0].addresses.as_deref(), Some(NEW), "{fuel}: {}", world.story());
        assert_eq!(confirmed(&world).last(), Some(&NEW), "{fuel}");
    }
}
