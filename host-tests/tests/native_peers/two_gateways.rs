//! A node between two gateways that share a registry.

use handfast_core::Span;
use handfast_core::flow::native::gateway::NativeConnection;
use handfast_core::registry::lifecycle::Decision;
use handfast_host_tests::native::World;

/// The longest time in which a gateway hears of a change though no hint comes.
const HEARD_WITHIN: Span = Span::from_millis(1_100);

/// Returns a world with a linked node, and the gateway that it is linked at.
fn linked() -> (World, usize) {
    let mut world = World::with_two_gateways(1, 7);
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).expect("a PIN is shown");
    world.type_pin(0, &pin);
    world.run();
    assert!(world.is_linked(0), "{}", world.story());
    let at = world.gateway_of(world.nodes[0].conn.expect("a connection"));
    (world, at)
}

fn is_heard(world: &World) -> bool {
    let seat = world.nodes[0].conn.and_then(|conn| world.seat(conn));
    seat.and_then(|seat| seat.machine.as_ref()).is_some_and(NativeConnection::receives)
}

fn decide(world: &mut World, desk: usize, decision: Decision) {
    world.desk = desk;
    let node_id = world.id_of(0).expect("the registry has it");
    assert!(world.decide(node_id, decision), "{}", world.story());
    world.pass(HEARD_WITHIN);
}

#[test]
fn a_node_is_muted_whichever_gateways_have_muted_and_unmuted_it_before() {
    let (mut world, here) = linked();
    let there = 1 - here;
    assert!(is_heard(&world));
    for (unmuted_at, muted_at) in [(here, there), (there, there), (there, here), (here, there)] {
        decide(&mut world, unmuted_at, Decision::Unmute);
        assert!(is_heard(&world), "{}", world.story());
        decide(&mut world, muted_at, Decision::Mute);
        assert!(!is_heard(&world), "{}", world.story());
    }
}

#[test]
fn a_node_that_is_revoked_at_one_gateway_loses_its_link_at_the_other() {
    let (mut world, here) = linked();
    decide(&mut world, 1 - here, Decision::Unpair);
    assert!(world.gateways.iter().all(|gateway| gateway.live.is_empty()), "{}", world.story());
}

#[test]
fn a_node_goes_to_the_other_gateway_once_its_own_is_cut_off_for_long() {
    let (mut world, here) = linked();
    world.cut_off(here, 600_000);
    world.pass(Span::from_secs(3));
    assert!(world.is_linked(0), "it is kept for a while: {}", world.story());
    world.pass(Span::from_secs(120));
    assert!(world.is_linked(0), "{}", world.story());
    let conn = world.nodes[0].conn.expect("a connection");
    assert_eq!(world.gateway_of(conn), 1 - here, "{}", world.story());
}
