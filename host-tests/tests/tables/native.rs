//! Tables of both machines of the native wire: each state is reached in a world of its own, and
//! given each input.

use handfast_core::budget::NoPlace;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::gateway::{
    self, Confirmation, FrameContext, KnownPeer, Offer, PairVerdict, Prepared,
};
use handfast_core::flow::native::node::{self, NativeMemory, NodeIdentity, PairMethod};
use handfast_core::limits::{NATIVE_SCRATCH, NATIVE_SETUP_SCRATCH};
use handfast_core::registry::ceiling::InForce;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::{Decision, Notice};
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::{App, Renew};
use handfast_core::wire::native::open::{ClearRefusal, Intent};
use handfast_core::wire::native::pair;
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::{Entropy, Label, Machine, Refusal, Span};
use handfast_host_tests::native::gateway::GateIn;
use handfast_host_tests::native::node::NodeIn;
use handfast_host_tests::native::raw::{Raw, keys};
use handfast_host_tests::native::stranger::clear;
use handfast_host_tests::native::wires::{Item, Side};
use handfast_host_tests::native::{World, setup_key};

use super::{Table, deadline};

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
    world.gateway.setup = vec![setup_key(77)];
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
    begin(&mut world);
    let _ = world.run_until(|world| world.now > 2_000 || comes(world));
    if comes(&world) {
        return world;
    }
    let mut world = World::new(1, 7);
    begin(&mut world);
    let reached = world.run_until(|world| is_there(world, state));
    assert!(reached, "{}{state} is not reached", world.story());
    world
}

fn gateway_is(world: &World, state: &str) -> bool {
    world.gateway.seats.values().any(|seat| seat.state() == state)
}

fn node_is(world: &World, state: &str) -> bool {
    world.nodes[0].state() == state
}

const CONNECTION: &[(&str, Begin)] = &[
    ("AwaitOpen", by_pin),
    ("AwaitFirst", by_pin),
    ("AwaitThird", by_pin),
    ("AwaitAsk", by_pin),
    ("Preparing", by_pin),
    ("AwaitSetup", by_setup),
    ("AwaitSetup, its time is over", by_setup_too_late),
    ("AwaitSetup, signed by nobody", by_forged_setup),
    ("AwaitYa", by_typed_pin),
    ("AwaitTa", by_typed_pin),
    ("Reserving", by_typed_pin),
    ("Reserving, a wrong PIN", by_wrong_pin),
    ("Spending", by_typed_pin),
    ("Settling", by_typed_pin),
    ("Waiting", by_approval),
    ("AwaitStored", by_typed_pin),
    ("Activating", by_typed_pin),
    ("AwaitFirst, of a link", linking),
    ("Finding", linking),
    ("Entering", linking),
    ("Proving", linking),
    ("Attaching", linking),
    ("Confirming", linking),
    ("Linked", talking),
    ("Muted", muted),
    ("Renewing", renewing),
    ("AwaitChain", delegates),
];

type GatewayInput = for<'w> fn(&'w World, &'w mut Vec<u8>) -> gateway::Input<'w>;

fn frame<'w>(world: &'w World, bytes: &'w mut Vec<u8>) -> gateway::Input<'w> {
    let around = FrameContext {
        keys: &world.gateway.keys,
        in_force: Some(InForce::of(&world.store.scopes)),
        setup: &world.gateway.setup,
        subscriptions_left: 16,
        now: world.unix(),
    };
    gateway::Input::Frame { bytes, entropy: Entropy::from_recorded([1; 32]), around }
}

/// Returns the entry of the node in the world's registry.
fn known(world: &World) -> Result<Option<KnownPeer<'_>>, Refusal> {
    Ok(world.store.records.values().next().map(|record| KnownPeer {
        record,
        grants: &world.store.grants,
        ceiling: None,
    }))
}

fn offer(world: &World) -> Offer<'_> {
    let node_id = handfast_core::NodeId::from_bytes([2; 16]);
    let chain = world.nodes[0].chain.as_deref().or(Some(&[1; 600]));
    Offer {
        id: GrantId::from_bytes([1; 16]),
        node_id,
        room: Label::UNKNOWN,
        token: None,
        chain,
        message: None,
    }
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

const GATEWAY_INPUTS: &[(&str, GatewayInput)] = &[
    ("frame, the peer's next", frame),
    ("frame, forged", |world, bytes| {
        *bytes = vec![7; 64];
        frame(world, bytes)
    }),
    ("repeated", |_, _| gateway::Input::Repeated),
    ("entered", |_, _| gateway::Input::Entered(Ok(()))),
    ("not entered, repeated", |_, _| gateway::Input::Entered(Err(NoPlace::Repeated))),
    ("not entered, full", |_, _| gateway::Input::Entered(Err(NoPlace::Full))),
    ("found", |world, _| {
        gateway::Input::Found(known(world), world.unix(), Entropy::from_recorded([2; 32]))
    }),
    ("found nothing", |world, _| {
        gateway::Input::Found(Ok(None), world.unix(), Entropy::from_recorded([2; 32]))
    }),
    ("not found, store failed", |world, _| {
        gateway::Input::Found(
            Err(Refusal::StoreFailed),
            world.unix(),
            Entropy::from_recorded([2; 32]),
        )
    }),
    ("attached", |world, _| gateway::Input::Attached(known(world), world.unix())),
    ("attached nothing", |world, _| gateway::Input::Attached(Ok(None), world.unix())),
    ("not attached, at capacity", |world, _| {
        gateway::Input::Attached(Err(Refusal::AtCapacity), world.unix())
    }),
    ("prepared: refused", |_, _| {
        gateway::Input::Prepared(Prepared::Refused(pair::PairRefusal::Closed))
    }),
    ("prepared: PIN", |_, _| {
        gateway::Input::Prepared(Prepared::Pin {
            id: CodeId::from_bytes([1; 16]),
            code: code(),
            expires_in: 300,
            attempts: 5,
        })
    }),
    ("prepared: code", |_, _| gateway::Input::Prepared(Prepared::Code { id: None, code: code() })),
    ("prepared: setup", |_, _| gateway::Input::Prepared(Prepared::Setup)),
    ("prepared: settle", |_, _| gateway::Input::Prepared(Prepared::Settle)),
    ("reserved", |_, _| gateway::Input::Reserved(Ok(4))),
    ("reserved, the last", |_, _| gateway::Input::Reserved(Ok(0))),
    ("not reserved, locked", |_, _| gateway::Input::Reserved(Err(NoGuess::Locked))),
    ("spent", |_, _| gateway::Input::Spent(Ok(true))),
    ("spent by another", |_, _| gateway::Input::Spent(Ok(false))),
    ("not spent, store failed", |_, _| gateway::Input::Spent(Err(Refusal::StoreFailed))),
    ("settled: offered", |world, _| gateway::Input::Settled(PairVerdict::Offered(offer(world)))),
    ("settled: waits", |_, _| gateway::Input::Settled(PairVerdict::Waits { expires_in: 600 })),
    ("settled: spent", |_, _| {
        gateway::Input::Settled(PairVerdict::Refused(pair::PairRefusal::Spent))
    }),
    ("settled: refused", |_, _| {
        gateway::Input::Settled(PairVerdict::Refused(pair::PairRefusal::Denied { reason: None }))
    }),
    ("activated", |world, _| {
        gateway::Input::Activated(Ok(Confirmation::Active(None)), world.unix())
    }),
    ("activated nothing", |world, _| {
        gateway::Input::Activated(Ok(Confirmation::NotThere), world.unix())
    }),
    ("not activated, store failed", |world, _| {
        gateway::Input::Activated(Err(Refusal::StoreFailed), world.unix())
    }),
    ("presented", |world, _| {
        gateway::Input::Presented(Some(world.unix().after(Span::from_secs(600))), world.unix())
    }),
    ("presented nothing", |world, _| gateway::Input::Presented(None, world.unix())),
    ("renewed", |world, _| gateway::Input::Renewed(Some(offer(world)))),
    ("not renewed", |_, _| gateway::Input::Renewed(None)),
    ("deliver", |world, _| gateway::Input::Deliver(app(&[1]), world.unix())),
    ("push muted", |_, _| gateway::Input::Push(Notice::Muted)),
    ("push unmuted", |_, _| gateway::Input::Push(Notice::Unmuted)),
    ("push unpaired", |_, _| gateway::Input::Push(Notice::Unpaired)),
    ("push replaced", |_, _| gateway::Input::Push(Notice::Replaced)),
    ("push decided", |_, _| gateway::Input::Push(Notice::Decided)),
    ("push permissions", |_, _| gateway::Input::Push(Notice::Permissions)),
    ("bounded", |world, _| gateway::Input::Bounded {
        until: None,
        renews: false,
        unix: world.unix(),
    }),
    ("bounded to renewing", |world, _| gateway::Input::Bounded {
        until: None,
        renews: true,
        unix: world.unix(),
    }),
    ("ping", |_, _| gateway::Input::Ping(7)),
    ("unsubscribed", |_, _| {
        gateway::Input::Unsubscribed(Pattern::parse("/lights/*").expect("a pattern"))
    }),
    ("tick at the deadline", |world, _| gateway::Input::Tick(world.unix())),
    ("shutdown", |_, _| gateway::Input::Shutdown),
    ("store failed", |_, _| gateway::Input::StoreFailed),
    ("evict", |_, _| gateway::Input::Evict),
    ("closed", |_, _| gateway::Input::Closed),
];

fn brief(effect: &gateway::Effect<'_>) -> String {
    use gateway::{Effect, Proof};
    match effect {
        Effect::Send(frame) => format!("Send {} bytes", frame.len()),
        Effect::Close(close) => format!("Close {} {:?}", close.code, close.reason),
        Effect::Refund => "Refund".to_owned(),
        Effect::Find(_) => "Find".to_owned(),
        Effect::Enter(..) => "Enter".to_owned(),
        Effect::Attach(_) => "Attach".to_owned(),
        Effect::Detach => "Detach".to_owned(),
        Effect::Ask(_, asked) => format!("Ask, {:?}", asked.request().method),
        Effect::Reserve(id) => {
            format!("Reserve, {}", if id.is_some() { "a code" } else { "nobody's" })
        }
        Effect::GuessWrong { left } => format!("GuessWrong, {left} left"),
        Effect::Spend(_) => "Spend".to_owned(),
        Effect::Settle(Proof::Nothing) => "Settle, nothing shown".to_owned(),
        Effect::Settle(Proof::Setup(_)) => "Settle, a setup code verified".to_owned(),
        Effect::Settle(Proof::Code(..)) => "Settle, a code proven".to_owned(),
        Effect::Activate(_) => "Activate".to_owned(),
        Effect::Observe(_) => "Observe".to_owned(),
        Effect::Part(_) => "Part".to_owned(),
        Effect::Present(chain) => {
            format!("Present, {}", if chain.is_some() { "inline" } else { "in parts" })
        }
        Effect::App(_) => "App".to_owned(),
        Effect::Subscribe(_) => "Subscribe".to_owned(),
        Effect::Renew(renew) => format!("Renew({renew:?})"),
        Effect::Ponged(_, answer) => format!("Ponged({answer:?})"),
    }
}

#[test]
fn a_connection_of_the_native_wire_does_in_every_state_what_its_table_says() {
    let mut table = Table::about("flow::native::gateway::Connection");
    for (title, begin) in CONNECTION {
        let state = &title.split(',').next().unwrap_or_default();
        for (at, (name, make)) in GATEWAY_INPUTS.iter().enumerate() {
            let mut world = reach(*begin, Side::Gateway, state, gateway_is);
            let conn = *world
                .gateway
                .seats
                .iter()
                .find(|(_, seat)| seat.state() == *state)
                .expect("there")
                .0;
            let mut machine = world
                .gateway
                .seats
                .get_mut(&conn)
                .and_then(|seat| seat.machine.take())
                .expect("there");
            let mut bytes = match world.wires[&conn].to[Side::Gateway as usize].front() {
                Some(Item::Frame(frame)) => frame.clone(),
                Some(Item::End) | None => Vec::new(),
            };
            let due = machine.deadline().filter(|(due, _)| due.as_millis() < u64::MAX);
            if at == 0 {
                table.state(&format!("{title}{}", deadline(due)));
            }
            if bytes.is_empty() && name.ends_with("the peer's next") {
                continue;
            }
            if name.starts_with("tick") {
                world.now = due.map_or(world.now, |(due, _)| due.as_millis());
            }
            let unchanged = format!("{machine:?}");
            let mut scratch = [0; NATIVE_SCRATCH];
            let now = world.instant();
            let effects = machine.step(now, make(&world, &mut bytes), &mut scratch);
            let effects: Vec<String> = effects.iter().map(brief).collect();
            row(
                &mut table,
                name,
                (unchanged == format!("{machine:?}"), machine.state_name()),
                &effects,
            );
        }
    }
    table.check("native_connection.txt");
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

const NODE: &[(&str, Begin)] = &[
    ("Idle", |_| {}),
    ("Waiting", by_pin),
    ("Opening", by_pin),
    ("Introducing", by_pin),
    ("AwaitAnswer", by_pin),
    ("AwaitSettled", by_setup),
    ("AwaitCode", by_pin),
    ("AwaitYb", by_typed_pin),
    ("AwaitTb", by_typed_pin),
    ("Keeping", by_typed_pin),
    ("AwaitGrant", by_typed_pin),
    ("AwaitActive", by_typed_pin),
    ("Closing", by_typed_pin),
    ("Calling", linking),
    ("Linked", hearing),
];

type NodeInput = for<'w> fn(&'w World, &'w mut Vec<u8>) -> node::Input<'w>;

fn own(world: &World) -> NodeIdentity<'_> {
    let label = |text| Label::parse(text).unwrap();
    let about = PairRequest { name: label("lamp"), room: label("hall"), profile: Profile::EMPTY };
    NodeIdentity {
        keys: &world.nodes[0].keys,
        about,
        setup: world.nodes[0].setup.as_deref().and_then(pair::BootstrapToken::new),
    }
}

fn to_node<'w>(world: &'w World, bytes: &'w mut Vec<u8>) -> node::Input<'w> {
    node::Input::Frame { bytes, entropy: Entropy::from_recorded([1; 32]), own: own(world) }
}

const NODE_INPUTS: &[(&str, NodeInput)] = &[
    ("frame, the peer's next", to_node),
    ("frame, forged", |world, bytes| {
        *bytes = vec![7; 64];
        to_node(world, bytes)
    }),
    ("frame, refusal in clear", |world, bytes| {
        *bytes = clear(&ClearRefusal::Refused);
        to_node(world, bytes)
    }),
    ("tick at the deadline", |_, _| node::Input::Tick(Heartbeat::default())),
    ("connected", |world, _| node::Input::Connected(Entropy::from_recorded([1; 32]), own(world))),
    ("disconnected", |_, _| node::Input::Disconnected(Entropy::from_recorded([0, 128]))),
    ("kept blank", |_, _| node::Input::Kept(NativeMemory::Blank)),
    ("kept asked", |world, _| {
        node::Input::Kept(NativeMemory::Asked { gateway: *world.gateway.keys.channel.public() })
    }),
    ("pair by approval", |_, _| node::Input::Pair(PairMethod::Approval, None)),
    ("pair by setup code", |world, _| {
        let gateway = Fingerprint::of(world.gateway.keys.channel.public());
        node::Input::Pair(PairMethod::Setup, Some(gateway))
    }),
    ("pair by PIN", |_, _| node::Input::Pair(PairMethod::Pin, None)),
    ("code entered", |world, _| {
        node::Input::CodeEntered(code(), Entropy::from_recorded([1; 32]), own(world))
    }),
    ("application sends", |_, _| node::Input::App(app(&[1]))),
    ("application listens", |_, _| node::Input::Subscribe(Pattern::parse("/lights/*").unwrap())),
    ("renew", |_, _| node::Input::Renew(Renew::Chain)),
    ("forget", |_, _| node::Input::Forget),
];

fn node_brief(effect: &node::Effect<'_>) -> String {
    use node::Effect;
    let kind = |memory: &NativeMemory| match memory {
        NativeMemory::Blank => "Blank",
        NativeMemory::Asked { .. } => "Asked",
        NativeMemory::Paired(_) => "Paired",
    };
    match effect {
        Effect::Connect => "Connect".to_owned(),
        Effect::Send(frame) => format!("Send {} bytes", frame.len()),
        Effect::Close(_) => "Close".to_owned(),
        Effect::Part(_) => "Part".to_owned(),
        Effect::Chain(chain) => {
            format!("Chain, {}", if chain.is_some() { "inline" } else { "in parts" })
        }
        Effect::Keep(memory) => format!("Keep {}", kind(memory)),
        Effect::Bearer(_) => "Bearer".to_owned(),
        Effect::App(_) => "App".to_owned(),
        Effect::Tell(news) => {
            let news = format!("{news:?}");
            format!("Tell {}", news.split(['(', ' ']).next().unwrap_or_default())
        }
    }
}

#[test]
fn a_node_of_the_native_wire_does_in_every_state_what_its_table_says() {
    let mut table = Table::about("flow::native::node::Node");
    for (state, begin) in NODE {
        for (at, (name, make)) in NODE_INPUTS.iter().enumerate() {
            let mut world = reach(*begin, Side::Client, state, node_is);
            let mut machine = world.nodes[0].machine.take().expect("there");
            let wire = world.nodes[0].conn.and_then(|conn| world.wires.get(&conn));
            let mut bytes = match wire.and_then(|wire| wire.to[Side::Client as usize].front()) {
                Some(Item::Frame(frame)) => frame.clone(),
                Some(Item::End) | None => Vec::new(),
            };
            if at == 0 {
                table.state(&format!("{state}{}", deadline(machine.deadline())));
            }
            if bytes.is_empty() && name.ends_with("the peer's next") {
                continue;
            }
            if name.starts_with("tick") {
                world.now = machine.deadline().map_or(world.now, |(due, _)| due.as_millis());
            }
            let unchanged = format!("{machine:?}");
            let mut scratch = [0; NATIVE_SETUP_SCRATCH];
            let now = world.instant();
            let effects = machine.step(now, make(&world, &mut bytes), &mut scratch);
            let effects: Vec<String> = effects.iter().map(node_brief).collect();
            row(
                &mut table,
                name,
                (unchanged == format!("{machine:?}"), machine.state_name()),
                &effects,
            );
        }
    }
    table.check("native_node.txt");
}
