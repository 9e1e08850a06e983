//! Tables of both machines of the native wire: each state is reached in a world of its own, and
//! given each input.

mod gateway;
mod node;

use handfast_core::Span;
use handfast_core::crypto::code::Code;
use handfast_core::flow::identity::clone_counter::{CloneCondition, CloneCounter};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::App;
use handfast_core::wire::native::open::Intent;
use handfast_core::wire::path::{Action, Address};
use handfast_host_tests::native::gateway::GateIn;
use handfast_host_tests::native::node::NodeIn;
use handfast_host_tests::native::raw::{Raw, keys};
use handfast_host_tests::native::wires::{Item, Side};
use handfast_host_tests::native::{World, setup_key};

use super::Table;

type Begin = fn(&mut World);

fn by_pin(world: &mut World) {
    world.open_window();
    world.pair_by_pin(0);
}

fn by_typed_pin(world: &mut World) {
    by_pin(world);
    world.run();
    let pin = world.pin_for(0).unwrap();
    world.type_pin(0, &pin);
}

fn by_wrong_pin(world: &mut World) {
    by_pin(world);
    world.run();
    world.type_wrong_pin(0);
}

fn by_approval(world: &mut World) {
    world.pair_by_approval(0);
}

fn by_setup(world: &mut World) {
    let token = world.issue_setup(Span::from_secs(600));
    world.pair_by_setup(0, &token);
}

fn by_setup_too_late(world: &mut World) {
    let token = world.issue_setup(Span::from_secs(30));
    world.now += 30_000;
    world.pair_by_setup(0, &token);
}

fn by_forged_setup(world: &mut World) {
    let token = world.issue_setup(Span::from_secs(600));
    world.identity.setup = vec![setup_key(77)];
    world.pair_by_setup(0, &token);
}

fn linked(world: &mut World) {
    by_typed_pin(world);
    world.run();
    assert!(world.is_linked(0));
}

fn talking(world: &mut World) {
    linked(world);
    world.feed_node(0, NodeIn::App(Action::Write, "/lights/1".to_owned(), vec![1]));
}

fn hearing(world: &mut World) {
    linked(world);
    let conn = world.nodes[0].conn.unwrap();
    world.feed_gateway(conn, GateIn::Deliver(Action::Write, "/lights/1".to_owned(), vec![1]));
}

fn linking(world: &mut World) {
    linked(world);
    world.cut(world.nodes[0].conn.unwrap());
}

fn muted(world: &mut World) {
    linked(world);
    let node_id = world.id_of(0).unwrap();
    assert!(world.decide(node_id, Decision::Mute));
    world.run();
}

fn renewing(world: &mut World) {
    linked(world);
    world.feed_node(0, NodeIn::Renew(true));
}

fn with_certificate(world: &mut World) {
    world.identity.issues = true;
    world.identity.name = Some("home");
    world.nodes[0].csr = Some(vec![0x30; 200]);
    by_typed_pin(world);
}

fn certified(world: &mut World) {
    with_certificate(world);
    world.run();
    world.feed_node(0, NodeIn::RenewCertificate);
}

fn over_tls(world: &mut World) {
    linked(world);
    world.nodes[0].tls = Some(true);
    world.cut(world.nodes[0].conn.unwrap());
}

fn over_tls_signed(world: &mut World) {
    linked(world);
    world.nodes[0].tls = Some(false);
    world.cut(world.nodes[0].conn.unwrap());
}

fn quarantined(world: &mut World) {
    linked(world);
    let key = *world.nodes[0].keys.channel.public().as_bytes();
    let condition = CloneCondition::Quarantined;
    world.store.clones.insert(key, CloneCounter { condition, ..CloneCounter::default() });
    world.cut(world.nodes[0].conn.unwrap());
}

fn marked(world: &mut World) {
    linking(world);
    world.now += 3_700_000;
}

fn dispatching(world: &mut World) {
    linked(world);
    world.dispatch(0);
}

fn delegates(world: &mut World) {
    let _ = Raw::introduces_itself(world, Intent::Delegate, &keys(99));
}

/// Returns a world in which one side is in a certain state. The peer's next frame waits there, if
/// one comes soon.
fn reach(begin: Begin, side: Side, state: &str, is_there: fn(&World, &str) -> bool) -> World {
    let comes = |world: &World| {
        let waits = |queue: &std::collections::VecDeque<Item>| {
            matches!(queue.front(), Some(Item::Frame(_)))
        };
        is_there(world, state)
            && world.wires.get(&world.opened()).is_some_and(|wire| waits(&wire.to[side as usize]))
    };
    let mut world = World::new(1, 7);
    world.identity.marks = true;
    begin(&mut world);
    let _ = world.run_until(|world| world.now > 2_000 || comes(world));
    if comes(&world) {
        return world;
    }
    let mut world = World::new(1, 7);
    world.identity.marks = true;
    begin(&mut world);
    let reached = world.run_until(|world| is_there(world, state));
    assert!(reached, "{}{state} is not reached", world.story());
    world
}

fn app(bytes: &[u8]) -> App<'_> {
    App {
        action: Action::Write,
        address: Address::parse("/lights/1").unwrap(),
        bytes: Payload::new(bytes).unwrap(),
    }
}

fn code() -> Code {
    Code::parse("847291").unwrap()
}

fn row(
    table: &mut Table,
    input: &'static str,
    (unchanged, next): (bool, &str),
    effects: &[String],
) {
    if unchanged && effects.is_empty() {
        table.ignored(input);
    } else {
        table.row(input, next, effects);
    }
}
