//! The rotation of the gateway's static key.

use handfast_core::Span;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::registry::lifecycle::Decision;
use handfast_host_tests::native::World;

use super::{assert_linked, paired_by_pin};

/// Returns the key by which the node knows its gateway.
fn known_to_node(world: &World) -> PublicKey {
    match world.nodes[0].memory {
        NativeMemory::Paired(paired) => paired.gateway,
        other => panic!("{}{other:?}", world.story()),
    }
}

fn gateway_key(world: &World) -> PublicKey {
    *world.identity.keys.channel.public()
}

/// Returns `true` if the gateway has seen the node prove that it knows the present key.
fn is_confirmed(world: &World) -> bool {
    let node_id = world.id_of(0).unwrap();
    world.store.known_keys.contains(&(node_id, gateway_key(world)))
}

#[test]
fn a_linked_node_stores_the_new_key_and_says_so_without_losing_its_link() {
    let mut world = paired_by_pin();
    world.pass(Span::from_secs(100));
    let conn = world.nodes[0].conn;
    world.rotate_gateway_key();
    assert!(!is_confirmed(&world) && known_to_node(&world) != gateway_key(&world));
    world.pass(Span::from_secs(200));
    assert_eq!(world.nodes[0].conn, conn, "{}", world.story());
    assert_eq!(known_to_node(&world), gateway_key(&world), "{}", world.story());
    assert!(is_confirmed(&world), "{}", world.story());
    // Nothing of the older key is needed any more.
    world.identity.older_key = None;
    world.cut(conn.unwrap());
    world.pass(Span::from_secs(30));
    assert_linked(&world);
}

#[test]
fn a_node_that_was_away_links_with_the_older_key_and_is_told_the_new_one() {
    let mut world = paired_by_pin();
    world.node_off(0);
    world.run();
    world.rotate_gateway_key();
    world.pass(Span::from_secs(10 * 86_400));
    world.node_on(0);
    world.pass(Span::from_secs(200));
    assert_linked(&world);
    assert_eq!(known_to_node(&world), gateway_key(&world), "{}", world.story());
    assert!(is_confirmed(&world));
}

#[test]
fn a_node_that_comes_after_the_end_of_the_overlap_gets_no_link_and_forgets_nothing() {
    let mut world = paired_by_pin();
    let before = known_to_node(&world);
    world.node_off(0);
    world.run();
    world.rotate_gateway_key();
    world.identity.older_key = None;
    world.node_on(0);
    world.pass(Span::from_secs(300));
    assert!(!world.is_linked(0) && known_to_node(&world) == before, "{}", world.story());
    assert!(!is_confirmed(&world));
}

#[test]
fn a_node_that_loses_power_while_it_stores_the_key_has_one_of_both_and_links() {
    for fuel in 0..12 {
        let mut world = paired_by_pin();
        world.pass(Span::from_secs(100));
        world.rotate_gateway_key();
        world.nodes[0].fuel = Some(fuel);
        world.pass(Span::from_secs(400));
        world.nodes[0].fuel = None;
        world.pass(Span::from_secs(400));
        assert_linked(&world);
        assert_eq!(known_to_node(&world), gateway_key(&world), "{fuel}: {}", world.story());
    }
}

#[test]
fn a_muted_node_takes_the_key_too_and_a_second_rotation_is_told_over_the_same_link() {
    let mut world = paired_by_pin();
    world.pass(Span::from_secs(100));
    let node_id = world.id_of(0).unwrap();
    assert!(world.decide(node_id, Decision::Mute));
    let conn = world.nodes[0].conn;
    for _ in 0..2 {
        world.rotate_gateway_key();
        world.pass(Span::from_secs(200));
        assert_eq!(known_to_node(&world), gateway_key(&world), "{}", world.story());
        assert!(is_confirmed(&world));
    }
    assert_eq!(world.nodes[0].conn, conn);
}

#[test]
fn nobody_is_told_a_key_while_there_is_one() {
    let mut world = paired_by_pin();
    world.pass(Span::from_secs(600));
    let key = gateway_key(&world);
    assert_eq!(known_to_node(&world), key);
    assert_eq!(world.store.known_keys.len(), 1, "once a link: {:?}", world.store.known_keys);
}
