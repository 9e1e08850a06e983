//! Keys of a gateway that nobody has proven.

use handfast_core::Span;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::wire::native::link::{FromGateway, Policy};
use handfast_host_tests::native::World;
use handfast_host_tests::native::raw::keys;
use handfast_host_tests::native::wires::{ConnId, Side};

use super::{but, frames, linked};

/// Returns the message by which a gateway names another key: here that of an attacker.
fn news() -> Vec<u8> {
    let key = *keys(66).channel.public();
    let message = FromGateway::Policy(Policy::GatewayKey(key));
    message.write(&mut [0; MESSAGE_BYTES]).unwrap().to_vec()
}

/// Asserts that the node knows the gateway by the key of before, and links with it.
fn assert_unmoved(world: &mut World, before: NativeMemory, story: &str) {
    world.on_the_way = None;
    world.pass(Span::from_secs(900));
    let (NativeMemory::Paired(before), NativeMemory::Paired(now)) = (before, world.nodes[0].memory)
    else {
        panic!("{story}: {}", world.story())
    };
    assert_eq!(before.gateway, now.gateway, "{story}");
    assert!(world.is_linked(0), "{story}: {}", world.story());
}

fn conn(world: &World) -> ConnId {
    world.nodes[0].conn.unwrap()
}

#[test]
fn a_node_takes_no_key_that_was_not_sealed_over_its_link() {
    let mut world = linked();
    let before = world.nodes[0].memory;
    let link = conn(&world);
    world.inject(link, Side::Client, news());
    world.run();
    assert_unmoved(&mut world, before, "in clear");
}

#[test]
fn a_node_takes_no_key_that_was_sealed_over_another_link() {
    let mut world = linked();
    world.pass(Span::from_secs(100));
    // The genuine news of a rotation, as an attacker records them.
    let earlier = conn(&world);
    world.rotate_gateway_key();
    world.pass(Span::from_secs(200));
    let recorded = frames(&world, earlier, Side::Client);
    let before = world.nodes[0].memory;
    for frame in recorded {
        world.cut(conn(&world));
        world.pass(Span::from_secs(60));
        let link = conn(&world);
        world.inject(link, Side::Client, frame);
        world.run();
        world.pass(Span::from_secs(60));
    }
    assert_unmoved(&mut world, before, "recorded");
}

#[test]
fn a_gateway_with_another_key_answers_no_call_and_so_tells_none() {
    let mut world = linked();
    let before = world.nodes[0].memory;
    world.cut(conn(&world));
    // Whatever it answers in place of the handshake's second message, the node takes nothing of it.
    for instead in [news(), vec![0; 59], Vec::new()] {
        world.on_the_way = Some(Box::new(but(conn_after(&world), Side::Client, 0, move |_| {
            vec![instead.clone()]
        })));
        world.pass(Span::from_secs(20));
    }
    assert_unmoved(&mut world, before, "another gateway");
}

/// Returns the connection that the node opens next.
fn conn_after(world: &World) -> ConnId {
    world.wires.keys().next_back().copied().unwrap_or(0) + 1
}
