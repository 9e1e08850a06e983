//! The table of the gateway's machine.

use handfast_core::budget::NoPlace;
use handfast_core::flow::native::gateway::{
    self, CloneStanding, Confirmation, FrameContext, IssuedCertificate, KnownPeer, Offer,
    PairVerdict, Prepared,
};
use handfast_core::limits::NATIVE_SCRATCH;
use handfast_core::registry::ceiling::InForce;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::native::link::{Dispatch, DispatchId};
use handfast_core::wire::native::part::Object;
use handfast_core::wire::native::{CapabilityName, Payload, pair};
use handfast_core::wire::path::Pattern;
use handfast_core::{Entropy, Label, Machine, Refusal, Span};
use handfast_host_tests::native::World;
use handfast_host_tests::native::wires::{Item, Side};

use super::{
    Begin, app, by_approval, by_forged_setup, by_pin, by_setup, by_setup_too_late, by_typed_pin,
    by_wrong_pin, certified, code, delegates, linking, muted, over_tls, over_tls_signed,
    quarantined, reach, renewing, row, talking, with_certificate,
};
use crate::tables::{Table, deadline};

fn gateway_is(world: &World, state: &str) -> bool {
    world.gateways[0].seats.values().any(|seat| seat.state() == state)
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
    ("Issuing, while pairing", with_certificate),
    ("Issuing, on a link", certified),
    ("Quarantined", quarantined),
    ("AwaitTls, with a certificate", over_tls),
    ("AwaitTls, without", over_tls_signed),
    ("FindingTls, with a certificate", over_tls),
    ("FindingTls, without", over_tls_signed),
    ("Proving, over TLS", over_tls_signed),
    ("Attaching, over TLS", over_tls),
    ("Confirming, over TLS", over_tls),
];

type GatewayInput = for<'w> fn(&'w World, &'w mut Vec<u8>) -> gateway::Input<'w>;

fn frame<'w>(world: &'w World, bytes: &'w mut Vec<u8>) -> gateway::Input<'w> {
    let around = FrameContext {
        keys: &world.identity.keys,
        older: None,
        in_force: Some(InForce::of(&world.store.scopes)),
        setup: &world.identity.setup,
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
        clone: CloneStanding::default(),
    }))
}

fn task<'b>(remaining_ms: u32) -> Dispatch<'b> {
    Dispatch {
        id: DispatchId::from_bytes([3; 16]),
        number: 1,
        capability: CapabilityName::parse("echo").expect("a name"),
        remaining_ms,
        max_payload: 10,
        input: Payload::new(b"x").expect("a payload"),
    }
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
    ("push PIN ended, its code is locked", |_, _| {
        gateway::Input::Push(Notice::PinEnded(NoGuess::Locked))
    }),
    ("push PIN ended, the window is closed", |_, _| {
        gateway::Input::Push(Notice::PinEnded(NoGuess::Closed))
    }),
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
    ("issued", |_, _| {
        let (number, object, bytes) = (7, Object::Certificates, &[1; 3000]);
        gateway::Input::Issued(Ok(Some(IssuedCertificate { number, object, bytes })))
    }),
    ("issued nothing", |_, _| gateway::Input::Issued(Ok(None))),
    ("not issued, store failed", |_, _| gateway::Input::Issued(Err(Refusal::StoreFailed))),
    ("name", |_, _| gateway::Input::Name(Label::parse("home").expect("a label"))),
    ("addresses", |_, _| {
        gateway::Input::Addresses(GatewayAddresses::parse("tcp://a:1").expect("a list"))
    }),
    ("dispatch", |world, _| gateway::Input::Dispatch(task(1), world.unix())),
    ("dispatch, its time is over", |world, _| gateway::Input::Dispatch(task(0), world.unix())),
    ("cancel", |_, _| gateway::Input::Cancel(DispatchId::from_bytes([3; 16]))),
    ("query", |_, _| gateway::Input::Query(DispatchId::from_bytes([3; 16]), 1)),
    ("push quarantined", |_, _| gateway::Input::Push(Notice::Quarantined)),
    ("push released", |_, _| gateway::Input::Push(Notice::Released)),
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
    use gateway::{Effect, NativeRequest, Peer, Proof};
    match effect {
        Effect::Send(frame) => format!("Send {} bytes", frame.len()),
        Effect::Close(close) => format!("Close {} {:?}", close.code, close.reason),
        Effect::Request(NativeRequest::Refund) => "Refund".to_owned(),
        Effect::Request(NativeRequest::Find(_)) => "Find".to_owned(),
        Effect::Request(NativeRequest::Enter(..)) => "Enter".to_owned(),
        Effect::Request(NativeRequest::FindNode(_)) => "FindNode".to_owned(),
        Effect::Request(NativeRequest::Attach(_, mark)) => {
            format!("Attach, {}", if mark.is_some() { "a mark shown" } else { "no mark" })
        }
        Effect::Request(NativeRequest::Detach) => "Detach".to_owned(),
        Effect::Ask(_, asked) => format!("Ask, {:?}", asked.request().method),
        Effect::Request(NativeRequest::Reserve(id)) => {
            format!("Reserve, {}", if id.is_some() { "a code" } else { "nobody's" })
        }
        Effect::Request(NativeRequest::GuessWrong { left }) => format!("GuessWrong, {left} left"),
        Effect::Request(NativeRequest::Spend(_)) => "Spend".to_owned(),
        Effect::Settle(Proof::Nothing) => "Settle, nothing shown".to_owned(),
        Effect::Settle(Proof::Setup(_)) => "Settle, a setup code verified".to_owned(),
        Effect::Settle(Proof::Code(..)) => "Settle, a code proven".to_owned(),
        Effect::Request(NativeRequest::Activate(_)) => "Activate".to_owned(),
        Effect::Request(NativeRequest::Linked(Peer::Node(_))) => "Linked, a node".to_owned(),
        Effect::Request(NativeRequest::Linked(Peer::Delegate(_))) => {
            "Linked, a delegate".to_owned()
        }
        Effect::Observe(_) => "Observe".to_owned(),
        Effect::Part(_) => "Part".to_owned(),
        Effect::Present(chain) => {
            format!("Present, {}", if chain.is_some() { "inline" } else { "in parts" })
        }
        Effect::App(_) => "App".to_owned(),
        Effect::Subscribe(_) => "Subscribe".to_owned(),
        Effect::Request(NativeRequest::Renew(renew)) => format!("Renew({renew:?})"),
        Effect::Request(NativeRequest::Ponged(_, answer)) => format!("Ponged({answer:?})"),
        Effect::Issue(gateway::Issue::Asked) => "Issue, as asked".to_owned(),
        Effect::Issue(gateway::Issue::Renewal(renewal)) => {
            format!("Issue, {}", if renewal.csr().is_some() { "X.509" } else { "compact" })
        }
        Effect::Request(NativeRequest::CertificateStored(number)) => {
            format!("CertificateStored, {number}")
        }
        Effect::Request(NativeRequest::MarkStored(_)) => "MarkStored".to_owned(),
        Effect::Request(NativeRequest::KnowsKey(_)) => "KnowsKey".to_owned(),
        Effect::Request(NativeRequest::Name) => "Name".to_owned(),
        Effect::Request(NativeRequest::Addresses) => "Addresses".to_owned(),
        Effect::Request(NativeRequest::KnowsAddresses) => "KnowsAddresses".to_owned(),
        Effect::Announced(announce) => format!("Announced, {}", announce.capability.as_str()),
        Effect::Outcome(result) => format!("Outcome, {:?}", result.outcome),
        Effect::Progress(_) => "Progress".to_owned(),
        Effect::Answered(answer) => format!("Answered, {:?}", answer.known),
        Effect::Request(NativeRequest::NotDispatched(_)) => "NotDispatched".to_owned(),
    }
}

#[test]
fn a_connection_of_the_native_wire_does_in_every_state_what_its_table_says() {
    let mut table = Table::about("flow::native::gateway::Connection");
    for (title, begin) in CONNECTION {
        let state = &title.split(',').next().unwrap_or_default();
        for (at, (name, make)) in GATEWAY_INPUTS.iter().enumerate() {
            let mut world = reach(*begin, Side::Gateway, state, gateway_is);
            let conn = *world.gateways[0]
                .seats
                .iter()
                .find(|(_, seat)| seat.state() == *state)
                .expect("there")
                .0;
            let mut machine = world.gateways[0]
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
