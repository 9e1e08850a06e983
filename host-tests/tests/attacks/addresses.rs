//! Addresses of a gateway that the gateway did not tell.

use handfast_core::Span;
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::native::link::{FromGateway, Policy};
use handfast_host_tests::native::World;
use handfast_host_tests::native::wires::{ConnId, Side};

use super::{but, frames, linked};

const EVIL: &str = "tcp://10.6.6.6:666";

/// Returns the message by which a gateway names its addresses: here that of an attacker.
fn claim() -> Vec<u8> {
    let list = GatewayAddresses::parse(EVIL).unwrap();
    let message = FromGateway::Policy(Policy::GatewayAddress(list));
    message.write(&mut [0; MESSAGE_BYTES]).unwrap().to_vec()
}

fn conn(world: &World) -> ConnId {
    world.nodes[0].conn.unwrap()
}

/// Returns a world with a linked node that keeps addresses.
fn keeping() -> World {
    let mut world = linked();
    world.node_off(0);
    world.nodes[0].keeps_addresses = true;
    world.node_on(0);
    world.pass(Span::from_secs(100));
    assert!(world.is_linked(0), "{}", world.story());
    world
}

/// Asserts that the node was told nothing, and links with its gateway.
fn assert_unmoved(world: &mut World, story: &str) {
    world.on_the_way = None;
    world.pass(Span::from_secs(900));
    assert_eq!(world.nodes[0].addresses, None, "{story}: {}", world.story());
    assert!(world.is_linked(0), "{story}: {}", world.story());
}

#[test]
fn a_liar_on_the_network_that_claims_addresses_before_the_proof_changes_nothing() {
    let mut world = keeping();
    world.cut(conn(&world));
    // In place of the handshake's second message, or ahead of it.
    for ahead in [true, false] {
        let next = world.wires.keys().next_back().copied().unwrap_or(0) + 1;
        world.on_the_way = Some(Box::new(but(next, Side::Client, 0, move |genuine| {
            if ahead { vec![claim(), genuine.to_vec()] } else { vec![claim()] }
        })));
        world.pass(Span::from_secs(20));
    }
    assert_unmoved(&mut world, "before the proof");
}

#[test]
fn a_node_takes_no_addresses_that_were_not_sealed_over_its_link() {
    let mut world = keeping();
    let link = conn(&world);
    world.inject(link, Side::Client, claim());
    world.run();
    assert_unmoved(&mut world, "in clear");
}

#[test]
fn a_node_takes_no_addresses_that_were_sealed_over_an_earlier_link() {
    let mut world = keeping();
    world.pass(Span::from_secs(100));
    let earlier = conn(&world);
    world.move_nodes(EVIL);
    world.run();
    assert_eq!(world.nodes[0].addresses.as_deref(), Some(EVIL), "{}", world.story());
    let recorded = frames(&world, earlier, Side::Client);
    // The operator has taken them back.
    (world.nodes[0].addresses, world.identity.addresses) = (None, None);
    for frame in recorded {
        world.cut(conn(&world));
        world.pass(Span::from_secs(60));
        let link = conn(&world);
        world.inject(link, Side::Client, frame);
        world.run();
        world.pass(Span::from_secs(60));
    }
    assert_unmoved(&mut world, "recorded");
}
