//! A node and a gateway of the native wire, both real, with no attacker in between.

mod addresses;
mod gateway_key;
mod grants;
mod identity;
mod links;
mod marks;
mod pairing;
mod tasks;
mod two_gateways;

use handfast_core::flow::native::node::NativeMemory;
use handfast_core::registry::grants::{GrantId, State};
use handfast_host_tests::native::World;

fn paired_by_pin() -> World {
    let mut world = World::new(1, 7);
    world.identity.marks = true;
    world.open_window();
    world.pair_by_pin(0);
    world.run();
    let pin = world.pin_for(0).expect("a PIN is shown");
    world.type_pin(0, &pin);
    world.run();
    world
}

fn grant_of(world: &World, node: usize) -> GrantId {
    match world.nodes[node].memory {
        NativeMemory::Paired(paired) => paired.grant,
        other => panic!("{}{other:?}", world.story()),
    }
}

fn state_of(world: &World, grant: GrantId) -> State {
    world.store.grants.iter().find(|kept| kept.id == grant).expect("the registry has it").state
}

fn assert_linked(world: &World) {
    world.expect(world.is_linked(0), || format!("not linked but {}", world.nodes[0].state()));
    assert_eq!(state_of(world, grant_of(world, 0)), State::Active);
}
