//! Attacks that must fail, each by its name.

mod addresses;
mod codes;
mod gateway_key;
mod inbound;
mod links;
mod middle;
mod offline;
mod opening;
mod setup;
mod tampering;
mod tokens;

use handfast_core::flow::native::node::NativeMemory;
use handfast_host_tests::native::World;
use handfast_host_tests::native::wires::{ConnId, Passing, Side};

/// Runs pairing by PIN with an attacker in between. The owner types the right PIN if one is
/// requested.
fn pairing_by_pin(somebody: impl FnMut(&Passing<'_>) -> Vec<Vec<u8>> + 'static) -> World {
    let mut world = World::new(1, 7);
    world.open_window();
    world.on_the_way = Some(Box::new(somebody));
    pair_by_pin(&mut world);
    world
}

fn pair_by_pin(world: &mut World) {
    world.pair_by_pin(0);
    world.run();
    if let Some(pin) = world.pin_for(0).filter(|_| world.nodes[0].state() == "AwaitCode") {
        world.type_pin(0, &pin);
        world.run();
    }
}

/// Returns a world with a paired and linked node.
fn linked() -> World {
    let world = pairing_by_pin(|passing| vec![passing.bytes.to_vec()]);
    assert!(world.is_linked(0), "{}", world.story());
    world
}

fn is_paired(world: &World) -> bool {
    matches!(world.nodes[0].memory, NativeMemory::Paired(_))
}

/// Returns the overheard frames of a connection to one side.
fn frames(world: &World, of: ConnId, side: Side) -> Vec<Vec<u8>> {
    let frames = world.overheard.iter().filter(|(conn, to, _)| *conn == of && *to == side);
    frames.map(|(.., bytes)| bytes.clone()).collect()
}

/// Returns an attacker that replaces one frame and passes on all others.
fn but(
    conn: ConnId,
    to: Side,
    number: usize,
    instead: impl Fn(&[u8]) -> Vec<Vec<u8>>,
) -> impl FnMut(&Passing<'_>) -> Vec<Vec<u8>> {
    move |passing| {
        let it = passing.conn == conn && passing.to == to && passing.number == number;
        if it { instead(passing.bytes) } else { vec![passing.bytes.to_vec()] }
    }
}
