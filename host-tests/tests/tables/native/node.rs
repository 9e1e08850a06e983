//! The table of the node's machine.

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::flow::native::node::{
    self, CertificateWish, NativeMemory, NodeIdentity, PairMethod,
};
use handfast_core::limits::NATIVE_SETUP_SCRATCH;
use handfast_core::wire::native::CapabilityName;
use handfast_core::wire::native::link::{
    Announce, DispatchAnswer, DispatchId, DispatchOutcome, DispatchProgress, DispatchResult,
    KnownDispatch, Renew,
};
use handfast_core::wire::native::open::ClearRefusal;
use handfast_core::wire::native::pair;
use handfast_core::wire::path::Pattern;
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::{Entropy, Label, Machine};
use handfast_host_tests::native::World;
use handfast_host_tests::native::stranger::clear;
use handfast_host_tests::native::wires::{Item, Side};

use super::{
    Begin, app, by_pin, by_setup, by_typed_pin, code, dispatching, hearing, linking, marked,
    over_tls, reach, row,
};
use crate::tables::{Table, deadline};

fn node_is(world: &World, state: &str) -> bool {
    world.nodes[0].state() == state
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
    ("Linked, a mark comes", marked),
    ("Linked, a task comes", dispatching),
    ("Greeting", over_tls),
];

type NodeInput = for<'w> fn(&'w World, &'w mut Vec<u8>) -> node::Input<'w>;

fn own(world: &World) -> NodeIdentity<'_> {
    let label = |text| Label::parse(text).unwrap();
    let about = PairRequest { name: label("lamp"), room: label("hall"), profile: Profile::EMPTY };
    NodeIdentity {
        keys: &world.nodes[0].keys,
        about,
        setup: world.nodes[0].setup.as_deref().and_then(pair::BootstrapToken::new),
        wants: pair::AskedScopes::NONE,
        certificate: CertificateWish::X509(pair::Csr::new(&[0x30; 200]).unwrap()),
        dispatch: true,
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
    ("kept", |_, _| node::Input::Kept),
    ("kept without a certificate", |_, _| node::Input::KeptWithout),
    ("pair by approval", |_, _| node::Input::Pair(PairMethod::Approval, None)),
    ("pair by setup code", |world, _| {
        let gateway = Fingerprint::of(world.identity.keys.channel.public());
        node::Input::Pair(PairMethod::Setup, Some(gateway))
    }),
    ("pair by PIN", |_, _| node::Input::Pair(PairMethod::Pin, None)),
    ("code entered", |world, _| {
        node::Input::CodeEntered(code(), Entropy::from_recorded([1; 32]), own(world))
    }),
    ("application sends", |_, _| node::Input::App(app(&[1]))),
    ("application listens", |_, _| node::Input::Subscribe(Pattern::parse("/lights/*").unwrap())),
    ("connected over TLS, certified", |world, _| node::Input::ConnectedTls {
        exporter: HandshakeHash::from_recorded([7; 32]),
        certified: true,
        own: own(world),
    }),
    ("connected over TLS, not certified", |world, _| node::Input::ConnectedTls {
        exporter: HandshakeHash::from_recorded([7; 32]),
        certified: false,
        own: own(world),
    }),
    ("announce", |_, _| {
        let capability = CapabilityName::parse("echo").unwrap();
        let version = Label::UNKNOWN;
        let announce = Announce { capability, version, available: true, idempotent: false };
        node::Input::Announce(announce)
    }),
    ("outcome", |_, _| {
        let id = DispatchId::from_bytes([3; 16]);
        node::Input::Outcome(DispatchResult { id, outcome: DispatchOutcome::TimedOut })
    }),
    ("progress", |_, _| {
        let id = DispatchId::from_bytes([3; 16]);
        node::Input::Progress(DispatchProgress { id, percent: None, note: None })
    }),
    ("answer", |_, _| {
        let id = DispatchId::from_bytes([3; 16]);
        let known = KnownDispatch::NeverCame;
        node::Input::Answer(DispatchAnswer { id, number: 1, known })
    }),
    ("renew certificate", |world, _| node::Input::RenewCertificate(own(world))),
    ("redial", |_, _| node::Input::Redial),
    ("renew", |_, _| node::Input::Renew(Renew::Chain)),
    ("found", |_, _| node::Input::Found(2, Entropy::from_recorded([0, 128]))),
    ("forget", |_, _| node::Input::Forget),
];

fn node_brief(effect: &node::Effect<'_>, memory: &NativeMemory) -> String {
    use node::Effect;
    match effect {
        Effect::Connect => "Connect".to_owned(),
        Effect::Search(_) => "Search".to_owned(),
        Effect::ConnectFound(index) => format!("ConnectFound {index}"),
        Effect::KeepFound => "KeepFound".to_owned(),
        Effect::KeepAddresses(list) => format!("KeepAddresses, {}", list.as_str()),
        Effect::Send(frame) => format!("Send {} bytes", frame.len()),
        Effect::Close(_) => "Close".to_owned(),
        Effect::Part(_) => "Part".to_owned(),
        Effect::Chain(chain) => {
            format!("Chain, {}", if chain.is_some() { "inline" } else { "in parts" })
        }
        Effect::Keep => match memory {
            NativeMemory::Blank => "Keep Blank".to_owned(),
            NativeMemory::Asked { .. } => "Keep Asked".to_owned(),
            NativeMemory::Paired(_) => "Keep Paired".to_owned(),
        },
        Effect::Bearer(_) => "Bearer".to_owned(),
        Effect::App(_) => "App".to_owned(),
        Effect::Certificate => "Certificate".to_owned(),
        Effect::CertificateKey(_) => "CertificateKey".to_owned(),
        Effect::Time(_) => "Time".to_owned(),
        Effect::Dispatch(_) => "Dispatch".to_owned(),
        Effect::Cancel(_) => "Cancel".to_owned(),
        Effect::Query(..) => "Query".to_owned(),
        Effect::Tell(news) => {
            let news = format!("{news:?}");
            format!("Tell {}", news.split(['(', ' ']).next().unwrap_or_default())
        }
    }
}

#[test]
fn a_node_of_the_native_wire_does_in_every_state_what_its_table_says() {
    let mut table = Table::about("flow::native::node::Node");
    for (title, begin) in NODE {
        let state = &title.split(',').next().unwrap_or_default();
        for (at, (name, make)) in NODE_INPUTS.iter().enumerate() {
            let mut world = reach(*begin, Side::Client, state, node_is);
            let mut machine = world.nodes[0].machine.take().expect("there");
            let wire = world.nodes[0].conn.and_then(|conn| world.wires.get(&conn));
            let mut bytes = match wire.and_then(|wire| wire.to[Side::Client as usize].front()) {
                Some(Item::Frame(frame)) => frame.clone(),
                Some(Item::End) | None => Vec::new(),
            };
            if at == 0 {
                table.state(&format!("{title}{}", deadline(machine.deadline())));
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
            let brief = |effect| node_brief(effect, machine.memory());
            let effects: Vec<String> = effects.iter().map(brief).collect();
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
