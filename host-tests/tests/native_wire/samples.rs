//! At least one message of every kind and variant, beside postcard's encoding of the same.

use handfast_core::crypto::ed25519::KeyPair;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::crypto::x25519;
use handfast_core::entropy::Entropy;
use handfast_core::id::NodeId;
use handfast_core::limits::SETUP_TOKEN_CHARS;
use handfast_core::text::{Label, UNKNOWN};
use handfast_core::time::UnixTime;
use handfast_core::wire::json::Number;
use handfast_core::wire::native::link::{
    self, Admission, Bye, DispatchId, DispatchOutcome, Policy, Renew,
};
use handfast_core::wire::native::open::{ClearRefusal, Versions};
use handfast_core::wire::native::pair::{
    self, Ask, BootstrapToken, ChainBytes, GrantId, Method, NativeProfile, PairGrant, PairRefusal,
    Request, Selector,
};
use handfast_core::wire::native::part::{Object, Part};
use handfast_core::wire::native::{Bounded, CapabilityName, Features, Payload, ReasonText};
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::{Heartbeat, Profile};
use handfast_core::wire::token::Token;
use handfast_host_tests::native_wire::Kind;

use super::mirror;

pub(crate) const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
pub(crate) const HASH: HandshakeHash = HandshakeHash::from_recorded([7; 32]);

pub(crate) fn keys() -> KeyPair {
    KeyPair::generate(&Entropy::from_recorded([9; 32]))
}

pub(crate) fn label(text: &str) -> Label<'_> {
    Label::parse(text).expect("a label")
}

pub(crate) fn request<'b>() -> Request<'b> {
    Request {
        features: Features::APP.with(Features::PING),
        name: label("Küche"),
        room: UNKNOWN,
        profile: NativeProfile::new(Profile::parse(r#"{"board":"qemu"}"#).expect("an object"))
            .expect("short"),
        method: Method::Code { selector: Selector::parse("k7Qf").expect("a selector") },
        csr: Bounded::new(&[0x30; 200]),
    }
}

/// Returns postcard's form of a request with the same signature.
pub(crate) fn mirrored_ask<'b>(ask: &Ask<'b>) -> mirror::Ask<'b> {
    let mut out = [0; 1008];
    let written = pair::PairFromNode::Ask(*ask).write(&mut out).expect("it fits");
    let (_, signature) = written.split_last_chunk::<64>().expect("a signature");
    let half = |from: usize| core::array::from_fn(|at| signature[from + at]);
    mirror::Ask {
        features: 17,
        name: "Küche",
        room: "unknown",
        profile: r#"{"board":"qemu"}"#,
        method: mirror::Method::Code { selector: *b"K7QF" },
        csr: Some(&[0x30; 200]),
        signer: Some(mirror::Signer {
            ed25519: *keys().public().as_bytes(),
            signature: (half(0), half(32)),
        }),
    }
}

/// A message in bytes, with its kind.
pub(crate) type Sample = (Kind, Vec<u8>);

/// Adds a sample: checks that core reads its own encoding back as the same message, and that it
/// equals postcard's.
macro_rules! sample {
    ($all:ident, $kind:ident, $type:ty, $ours:expr, $theirs:expr) => {{
        let mut out = [0; 1008];
        let message: $type = $ours;
        let written = message.write(&mut out).expect("a sample fits");
        assert_eq!(written, mirror::bytes(&$theirs), "postcard writes {message:?} otherwise");
        assert_eq!(<$type>::parse(written).as_ref(), Ok(&message), "it is not read back");
        $all.push((Kind::$kind, written.to_vec()));
    }};
}

fn grant<'b>(token: bool, chain: Option<ChainBytes<'b>>) -> PairGrant<'b> {
    let token = token.then(|| Token::parse(TOKEN).expect("a token"));
    let (id, node_id) = (GrantId::from_bytes([1; 16]), NodeId::from_bytes([2; 16]));
    let message = if token.is_some() { ReasonText::parse("welcome") } else { None };
    PairGrant { id, node_id, room: label("hall"), token, chain, certificates: true, message }
}

fn mirrored_grant<'b>(token: bool, chain: Option<mirror::Chain<'b>>) -> mirror::Grant<'b> {
    let (token, message) = (token.then_some(TOKEN), token.then_some("welcome"));
    mirror::Grant {
        id: [1; 16],
        node_id: [2; 16],
        room: "hall",
        token,
        chain,
        certificates: true,
        message,
    }
}

fn part(object: Object, bytes: &[u8], at: usize) -> Part<'_> {
    Part::cut(object, bytes).expect("parts").nth(at).expect("so many parts")
}

/// Returns all samples; each is checked against postcard.
pub(crate) fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    pairing(&mut all);
    from_linked_node(&mut all);
    from_linking_gateway(&mut all);
    sample!(all, Admission, Admission, Admission::Welcome, mirror::Admission::Welcome);
    sample!(all, Admission, Admission, Admission::NotPaired, mirror::Admission::NotPaired);
    sample!(all, Admission, Admission, Admission::Expired, mirror::Admission::Expired);
    sample!(all, Clear, ClearRefusal<'_>, ClearRefusal::Refused, mirror::Clear::Refused);
    let versions = Versions::new(&[1, 2, 200]).expect("rising");
    sample!(
        all,
        Clear,
        ClearRefusal<'_>,
        ClearRefusal::Unsupported { versions },
        mirror::Clear::Unsupported { versions: &[1, 2, 200] }
    );
    all
}

fn pairing(all: &mut Vec<Sample>) {
    use mirror::{
        PairFromGateway as TheirGateway, PairFromNode as Theirs, Refusal as TheirRefusal,
    };
    use pair::{PairFromGateway, PairFromNode};
    macro_rules! node {
        ($ours:expr, $theirs:expr) => {
            sample!(all, PairFromNode, PairFromNode<'_>, $ours, $theirs)
        };
    }
    macro_rules! gateway {
        ($ours:expr, $theirs:expr) => {
            sample!(all, PairFromGateway, PairFromGateway<'_>, $ours, $theirs)
        };
    }
    macro_rules! refused {
        ($ours:expr, $theirs:expr) => {
            gateway!(PairFromGateway::Refused($ours), TheirGateway::Refused($theirs))
        };
    }

    let ask = Ask::sign(request(), &keys(), &HASH);
    node!(PairFromNode::Ask(ask), Theirs::Ask(mirrored_ask(&ask)));
    for (method, theirs) in [
        (Method::Approval, mirror::Method::Approval),
        (Method::Pin, mirror::Method::Pin),
        (Method::Setup, mirror::Method::Setup),
    ] {
        let ask = Ask::sign(Request { method, csr: None, ..request() }, &keys(), &HASH);
        node!(
            PairFromNode::Ask(ask),
            Theirs::Ask(mirror::Ask { method: theirs, csr: None, ..mirrored_ask(&ask) })
        );
    }
    let plain = Request { csr: None, ..request() };
    node!(
        PairFromNode::Ask(Ask::unsigned(plain)),
        Theirs::Ask(mirror::Ask { csr: None, signer: None, ..mirrored_ask(&ask) })
    );
    node!(PairFromNode::Ya([3; 32]), Theirs::Ya([3; 32]));
    node!(PairFromNode::Ta([4; 64]), Theirs::Ta(([4; 32], [4; 32])));
    node!(PairFromNode::Stored(GrantId::from_bytes([1; 16])), Theirs::Stored([1; 16]));
    let longest = "e".repeat(SETUP_TOKEN_CHARS);
    for token in ["e30.AAAA", "ä", &longest] {
        node!(
            PairFromNode::SetupCode(BootstrapToken::new(token).expect("a token")),
            Theirs::SetupCode(token)
        );
    }
    for expires_in in [0, 127, 128, 300, u32::MAX] {
        gateway!(PairFromGateway::Waiting { expires_in }, TheirGateway::Waiting { expires_in });
    }
    gateway!(
        PairFromGateway::PinShown { expires_in: 300, attempts: 255 },
        TheirGateway::PinShown { expires_in: 300, attempts: 255 }
    );
    gateway!(PairFromGateway::Yb([5; 32]), TheirGateway::Yb([5; 32]));
    gateway!(PairFromGateway::Tb([6; 64]), TheirGateway::Tb(([6; 32], [6; 32])));
    refused!(
        PairRefusal::WrongCode { attempts_left: 4 },
        TheirRefusal::WrongCode { attempts_left: 4 }
    );
    refused!(PairRefusal::Expired, TheirRefusal::Expired);
    refused!(PairRefusal::Locked, TheirRefusal::Locked);
    refused!(PairRefusal::Closed, TheirRefusal::Closed);
    refused!(
        PairRefusal::Denied { reason: ReasonText::parse("not today") },
        TheirRefusal::Denied { reason: Some("not today") }
    );
    refused!(PairRefusal::Denied { reason: None }, TheirRefusal::Denied { reason: None });
    refused!(PairRefusal::Revoked, TheirRefusal::Revoked);
    refused!(PairRefusal::Busy { retry_in: 1000 }, TheirRefusal::Busy { retry_in: 1000 });
    refused!(PairRefusal::Protocol, TheirRefusal::Protocol);
    refused!(PairRefusal::Spent, TheirRefusal::Spent);
    refused!(PairRefusal::CannotStore { retry_in: 5 }, TheirRefusal::CannotStore { retry_in: 5 });
    refused!(PairRefusal::Unsigned, TheirRefusal::Unsigned);
    let certificates = [8; 2001];
    let theirs = |index, last, bytes| mirror::Part {
        object: mirror::Object::Certificates,
        index,
        last,
        bytes,
    };
    gateway!(
        PairFromGateway::Part(part(Object::Certificates, &certificates, 1)),
        TheirGateway::Part(theirs(1, false, &certificates[..1000]))
    );
    gateway!(
        PairFromGateway::Part(part(Object::Certificates, &certificates, 2)),
        TheirGateway::Part(theirs(2, true, &[8]))
    );
    let here = Bounded::new(&[5; 448]).expect("short");
    let chain = Some(mirror::Chain::Here(&[5; 448]));
    gateway!(
        PairFromGateway::Grant(grant(true, Some(ChainBytes::Here(here)))),
        TheirGateway::Grant(mirrored_grant(true, chain))
    );
    gateway!(
        PairFromGateway::Grant(grant(false, None)),
        TheirGateway::Grant(mirrored_grant(false, None))
    );
    gateway!(PairFromGateway::Active(GrantId::from_bytes([1; 16])), TheirGateway::Active([1; 16]));
    gateway!(PairFromGateway::NotPaired, TheirGateway::NotPaired);
}

fn from_linked_node(all: &mut Vec<Sample>) {
    use link::FromNode;
    use mirror::LinkFromNode as Theirs;
    macro_rules! node {
        ($ours:expr, $theirs:expr) => {
            sample!(all, LinkFromNode, FromNode<'_>, $ours, $theirs)
        };
    }

    let full = Heartbeat {
        occupancy: Some(true),
        noise_level: Number::parse("-0.25e3"),
        wake_word_fp: Some(false),
    };
    node!(
        FromNode::Heartbeat(full),
        Theirs::Heartbeat {
            occupancy: Some(true),
            noise_level: Some("-0.25e3"),
            wake_word_fp: Some(false)
        }
    );
    node!(
        FromNode::Heartbeat(Heartbeat::default()),
        Theirs::Heartbeat { occupancy: None, noise_level: None, wake_word_fp: None }
    );
    let capability = CapabilityName::parse("system.health").expect("a name");
    node!(
        FromNode::Announce(link::Announce { capability, version: label("1.2.3"), available: true }),
        Theirs::Announce { capability: "system.health", version: "1.2.3", available: true }
    );
    let reason = ReasonText::parse("no such pin").expect("a reason");
    for (outcome, theirs) in [
        (DispatchOutcome::AwaitingMediation, mirror::Outcome::AwaitingMediation),
        (
            DispatchOutcome::Succeeded(Payload::new(&[0; 864]).expect("a payload")),
            mirror::Outcome::Succeeded(&[0; 864]),
        ),
        (DispatchOutcome::Failed(reason), mirror::Outcome::Failed("no such pin")),
        (DispatchOutcome::Rejected(reason), mirror::Outcome::Rejected("no such pin")),
        (DispatchOutcome::TimedOut, mirror::Outcome::TimedOut),
    ] {
        let ours = link::DispatchResult { id: DispatchId::from_bytes([3; 16]), outcome };
        node!(
            FromNode::DispatchResult(ours),
            Theirs::DispatchResult { id: [3; 16], outcome: theirs }
        );
    }
    let csr = Bounded::new(&[0x30; 512]).expect("a request");
    node!(FromNode::Renew(Renew::Token), Theirs::Renew(mirror::Renew::Token));
    node!(FromNode::Renew(Renew::Chain), Theirs::Renew(mirror::Renew::Chain));
    node!(
        FromNode::Renew(Renew::Certificate { csr }),
        Theirs::Renew(mirror::Renew::Certificate { csr: &[0x30; 512] })
    );
    let here = Bounded::new(&[5; 300]).expect("short");
    node!(
        FromNode::Present { chain: ChainBytes::Here(here) },
        Theirs::Present { chain: mirror::Chain::Here(&[5; 300]) }
    );
    node!(
        FromNode::Present { chain: ChainBytes::InParts },
        Theirs::Present { chain: mirror::Chain::InParts }
    );
    let address = Address::parse("/lights/room1").expect("an address");
    for (action, theirs) in [
        (Action::Read, mirror::Action::Read),
        (Action::Write, mirror::Action::Write),
        (Action::Admin, mirror::Action::Admin),
    ] {
        let bytes = Payload::new(b"on").expect("a payload");
        let theirs = mirror::App { action: theirs, address: "/lights/room1", bytes: b"on" };
        node!(FromNode::App(link::App { action, address, bytes }), Theirs::App(theirs));
    }
    let pattern = Pattern::parse("/lights/**/level").expect("a pattern");
    node!(FromNode::Subscribe { pattern }, Theirs::Subscribe { pattern: "/lights/**/level" });
    for (object, theirs) in
        [(Object::Chain, mirror::Object::Chain), (Object::Profile, mirror::Object::Profile)]
    {
        let theirs = mirror::Part { object: theirs, index: 0, last: true, bytes: &[1; 200] };
        node!(FromNode::Part(part(object, &[1; 200], 0)), Theirs::Part(theirs));
    }
    node!(FromNode::Stored(GrantId::from_bytes([1; 16])), Theirs::Stored([1; 16]));
    for (bye, theirs) in [
        (Bye::Done, mirror::Bye::Done),
        (Bye::ShuttingDown, mirror::Bye::ShuttingDown),
        (Bye::Replaced, mirror::Bye::Replaced),
        (Bye::Protocol, mirror::Bye::Protocol),
        (Bye::Busy, mirror::Bye::Busy),
        (Bye::Internal, mirror::Bye::Internal),
    ] {
        node!(FromNode::Bye(bye), Theirs::Bye(theirs));
    }
}

fn from_linking_gateway(all: &mut Vec<Sample>) {
    use link::FromGateway;
    use mirror::LinkFromGateway as Theirs;
    macro_rules! gateway {
        ($ours:expr, $theirs:expr) => {
            sample!(all, LinkFromGateway, FromGateway<'_>, $ours, $theirs)
        };
    }

    for time in [None, Some(0), Some(1_700_000_000), Some(u64::MAX)] {
        gateway!(
            FromGateway::Heartbeat { time: time.map(UnixTime::from_secs) },
            Theirs::Heartbeat { time }
        );
    }
    let key = x25519::PublicKey::parse(&[9; 32]).expect("a key");
    for (policy, theirs) in [
        (Policy::Mute, mirror::Policy::Mute),
        (Policy::Unmute, mirror::Policy::Unmute),
        (Policy::Unpair, mirror::Policy::Unpair),
        (Policy::GatewayKey(key), mirror::Policy::GatewayKey([9; 32])),
    ] {
        gateway!(FromGateway::Policy(policy), Theirs::Policy(theirs));
    }
    let ours = link::Dispatch {
        id: DispatchId::from_bytes([3; 16]),
        capability: CapabilityName::parse("echo").expect("a name"),
        timeout: 86_400,
        max_payload: 864,
        input: Payload::new(&[]).expect("a payload"),
    };
    gateway!(
        FromGateway::Dispatch(ours),
        Theirs::Dispatch {
            id: [3; 16],
            capability: "echo",
            timeout: 86_400,
            max_payload: 864,
            input: &[]
        }
    );
    let (address, bytes) =
        (Address::parse("/").expect("an address"), Payload::new(&[0xff; 200]).expect("a payload"));
    let theirs = mirror::App { action: mirror::Action::Write, address: "/", bytes: &[0xff; 200] };
    gateway!(
        FromGateway::App(link::App { action: Action::Write, address, bytes }),
        Theirs::App(theirs)
    );
    let pattern = Pattern::from(address);
    gateway!(
        FromGateway::NotAllowed { action: Action::Admin, pattern },
        Theirs::NotAllowed { action: mirror::Action::Admin, pattern: "/" }
    );
    gateway!(
        FromGateway::Admission(Admission::Welcome),
        Theirs::Admission(mirror::Admission::Welcome)
    );
    let theirs =
        mirror::Part { object: mirror::Object::Chain, index: 1, last: true, bytes: &[1; 500] };
    gateway!(FromGateway::Part(part(Object::Chain, &[1; 1500], 1)), Theirs::Part(theirs));
    let chain = Some(mirror::Chain::InParts);
    gateway!(
        FromGateway::Grant(grant(true, Some(ChainBytes::InParts))),
        Theirs::Grant(mirrored_grant(true, chain))
    );
    gateway!(FromGateway::NotRenewed, Theirs::NotRenewed);
    gateway!(FromGateway::Active(GrantId::from_bytes([1; 16])), Theirs::Active([1; 16]));
    gateway!(FromGateway::Bye(Bye::Replaced), Theirs::Bye(mirror::Bye::Replaced));
}
