//! At least one message of every kind and variant, as core writes it. The committed file
//! `vectors/native-messages.json` holds the same bytes for clients in other languages.

use handfast_core::crypto::ed25519::KeyPair;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::crypto::x25519;
use handfast_core::limits::SETUP_TOKEN_CHARS;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::json::Number;
use handfast_core::wire::native::link::{
    self, Admission, Admitted, Bye, CertificateRenewal, CloneMark, DispatchAnswer, DispatchId,
    DispatchOutcome, DispatchProgress, FinalOutcome, Hello, Identify, KnownDispatch, Percent,
    Policy, Renew,
};
use handfast_core::wire::native::open::{ClearRefusal, Versions};
use handfast_core::wire::native::pair::{
    self, Ask, AskedScopes, BootstrapToken, ChainBytes, GrantId, Method, NativeProfile, PairGrant,
    PairRefusal, Request, Selector,
};
use handfast_core::wire::native::part::{Object, Part};
use handfast_core::wire::native::signer::SignerKey;
use handfast_core::wire::native::{Bounded, CapabilityName, Features, Payload, ReasonText};
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::{Heartbeat, Profile};
use handfast_core::wire::token::Token;
use handfast_core::{Entropy, Label, NodeId, UnixTime};
use handfast_host_tests::native_wire::Kind;

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
        room: Label::UNKNOWN,
        profile: NativeProfile::new(Profile::parse(r#"{"board":"qemu"}"#).expect("an object"))
            .expect("short"),
        method: Method::Code { selector: Selector::parse("k7Qf").expect("a selector") },
        wants: AskedScopes::parse("read:/lights/**\nwrite:/doors/*\n").expect("permissions"),
        csr: Bounded::new(&[0x30; 200]),
    }
}

/// A message with its kind, its description and its bytes.
pub(crate) struct Sample {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
}

/// Adds a sample, which core reads back as the same message.
macro_rules! sample {
    ($all:ident, $kind:ident, $type:ty, $what:expr, $message:expr) => {{
        let mut out = [0; 1008];
        let message: $type = $message;
        let written = message.write(&mut out).expect("a sample fits");
        assert_eq!(<$type>::parse(written).as_ref(), Ok(&message), "it is not read back");
        let (what, bytes) = (String::from($what), written.to_vec());
        $all.push(Sample { kind: Kind::$kind, what, bytes });
    }};
}

fn grant<'b>(token: bool, chain: Option<ChainBytes<'b>>) -> PairGrant<'b> {
    let token = token.then(|| Token::parse(TOKEN).expect("a token"));
    let (id, node_id) = (GrantId::from_bytes([1; 16]), NodeId::from_bytes([2; 16]));
    let message = if token.is_some() { ReasonText::parse("welcome") } else { None };
    PairGrant { id, node_id, room: label("hall"), token, chain, certificates: true, message }
}

fn part(object: Object, bytes: &[u8], at: usize) -> Part<'_> {
    Part::cut(object, bytes).expect("parts").nth(at).expect("so many parts")
}

/// Returns all samples.
pub(crate) fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    from_pairing_node(&mut all);
    from_pairing_gateway(&mut all);
    from_linked_node(&mut all);
    from_linking_gateway(&mut all);
    let features = Features::APP.with(Features::SUBSCRIBE);
    for (what, admission) in [
        ("welcome; app, subscribe", Admission::Welcome),
        ("not paired; app, subscribe", Admission::NotPaired),
        ("expired; app, subscribe", Admission::Expired),
    ] {
        sample!(all, Admitted, Admitted, what, Admitted { admission, features });
    }
    sample!(all, Clear, ClearRefusal<'_>, "Refused", ClearRefusal::Refused);
    let versions = Versions::new(&[1, 2, 200]).expect("rising");
    sample!(
        all,
        Clear,
        ClearRefusal<'_>,
        "Unsupported, versions 1, 2 and 200",
        ClearRefusal::Unsupported { versions }
    );
    all
}

fn from_pairing_node(all: &mut Vec<Sample>) {
    use pair::PairFromNode;
    macro_rules! node {
        ($what:expr, $message:expr) => {
            sample!(all, PairFromNode, PairFromNode<'_>, $what, $message)
        };
    }

    node!(
        "Ask; app, ping; Küche, unknown, {\"board\":\"qemu\"}, code K7QF, wants read:/lights/** and \
         write:/doors/*, csr of 200 times 30, signed by the key of seed 32 times 09 for h of 32 times 07",
        PairFromNode::Ask(Ask::sign(request(), &keys(), &HASH))
    );
    for (what, method) in [
        ("Ask, approval, no csr, signed", Method::Approval),
        ("Ask, pin, no csr, signed", Method::Pin),
        ("Ask, setup, no csr, signed", Method::Setup),
    ] {
        let request = Request { method, csr: None, ..request() };
        node!(what, PairFromNode::Ask(Ask::sign(request, &keys(), &HASH)));
    }
    let wants = AskedScopes::NONE;
    let plain = Request { method: Method::Pin, wants, csr: None, ..request() };
    node!("Ask, pin, wants nothing, no csr, no signer", PairFromNode::Ask(Ask::unsigned(plain)));
    node!("Ya of 32 times 03", PairFromNode::Ya([3; 32]));
    node!("Ta of 64 times 04", PairFromNode::Ta([4; 64]));
    node!("Stored, 16 times 01", PairFromNode::Stored(GrantId::from_bytes([1; 16])));
    let longest = "e".repeat(SETUP_TOKEN_CHARS);
    for (what, token) in [
        ("SetupCode, e30.AAAA", "e30.AAAA"),
        ("SetupCode, ä", "ä"),
        ("SetupCode, the longest", longest.as_str()),
    ] {
        let token = BootstrapToken::new(token).expect("a token");
        node!(what, PairFromNode::SetupCode(token));
    }
}

fn from_pairing_gateway(all: &mut Vec<Sample>) {
    use pair::PairFromGateway;
    macro_rules! gateway {
        ($what:expr, $message:expr) => {
            sample!(all, PairFromGateway, PairFromGateway<'_>, $what, $message)
        };
    }

    for expires_in in [0, 127, 128, 300, u32::MAX] {
        gateway!(format!("Waiting, {expires_in} s"), PairFromGateway::Waiting { expires_in });
    }
    gateway!(
        "PinShown, 300 s, 255 attempts",
        PairFromGateway::PinShown { expires_in: 300, attempts: 255 }
    );
    gateway!("Yb of 32 times 05", PairFromGateway::Yb([5; 32]));
    gateway!("Tb of 64 times 06", PairFromGateway::Tb([6; 64]));
    let reason = ReasonText::parse("not today");
    for (what, refusal) in [
        ("Refused, WrongCode, 4 left", PairRefusal::WrongCode { attempts_left: 4 }),
        ("Refused, Expired", PairRefusal::Expired),
        ("Refused, Locked", PairRefusal::Locked),
        ("Refused, Closed", PairRefusal::Closed),
        ("Refused, Denied, not today", PairRefusal::Denied { reason }),
        ("Refused, Denied", PairRefusal::Denied { reason: None }),
        ("Refused, Revoked", PairRefusal::Revoked),
        ("Refused, Busy, 1000 s", PairRefusal::Busy { retry_in: 1000 }),
        ("Refused, Protocol", PairRefusal::Protocol),
        ("Refused, Spent", PairRefusal::Spent),
        ("Refused, CannotStore, 5 s", PairRefusal::CannotStore { retry_in: 5 }),
        ("Refused, Unsigned", PairRefusal::Unsigned),
    ] {
        gateway!(what, PairFromGateway::Refused(refusal));
    }
    let certificates = [8; 2001];
    gateway!(
        "Part, certificates, index 1, 1000 times 08",
        PairFromGateway::Part(part(Object::Certificates, &certificates, 1))
    );
    gateway!(
        "Part, certificates, index 2, last, one byte 08",
        PairFromGateway::Part(part(Object::Certificates, &certificates, 2))
    );
    let here = Bounded::new(&[5; 448]).expect("short");
    gateway!(
        "Grant, with a token, a chain of 448 times 05 and the message welcome",
        PairFromGateway::Grant(grant(true, Some(ChainBytes::Here(here))))
    );
    gateway!("Grant, with certificates alone", PairFromGateway::Grant(grant(false, None)));
    gateway!("Active, 16 times 01", PairFromGateway::Active(GrantId::from_bytes([1; 16])));
    gateway!("NotPaired", PairFromGateway::NotPaired);
    gateway!("Name, Zuhause", PairFromGateway::Name(label("Zuhause")));
    let key = SignerKey::from_bytes([11; 32]);
    gateway!("CertificateKey, 32 times 0b", PairFromGateway::CertificateKey(key));
}

fn from_linked_node(all: &mut Vec<Sample>) {
    use link::FromNode;
    macro_rules! node {
        ($what:expr, $message:expr) => {
            sample!(all, LinkFromNode, FromNode<'_>, $what, $message)
        };
    }

    let full = Heartbeat {
        occupancy: Some(true),
        noise_level: Number::parse("-0.25e3"),
        wake_word_fp: Some(false),
    };
    node!("Heartbeat, true, -0.25e3, false", FromNode::Heartbeat(full));
    node!("Heartbeat, empty", FromNode::Heartbeat(Heartbeat::default()));
    let capability = CapabilityName::parse("system.health").expect("a name");
    let version = label("1.2.3");
    for (what, available, idempotent) in [
        ("Announce, system.health, 1.2.3, available, idempotent", true, true),
        ("Announce, system.health, 1.2.3, not available, not idempotent", false, false),
    ] {
        let announce = link::Announce { capability, version, available, idempotent };
        node!(what, FromNode::Announce(announce));
    }
    let reason = ReasonText::parse("no such pin").expect("a reason");
    let payload = Payload::new(&[0; 864]).expect("a payload");
    for (what, outcome) in [
        ("DispatchResult, awaiting mediation", DispatchOutcome::AwaitingMediation),
        ("DispatchResult, succeeded, 864 zeros", DispatchOutcome::Succeeded(payload)),
        ("DispatchResult, failed, no such pin", DispatchOutcome::Failed(reason)),
        ("DispatchResult, rejected, no such pin", DispatchOutcome::Rejected(reason)),
        ("DispatchResult, timed out", DispatchOutcome::TimedOut),
        ("DispatchResult, started", DispatchOutcome::Started),
        ("DispatchResult, cancelled", DispatchOutcome::Cancelled),
    ] {
        let id = DispatchId::from_bytes([3; 16]);
        node!(what, FromNode::DispatchResult(link::DispatchResult { id, outcome }));
    }
    let csr = Bounded::new(&[0x30; 512]).expect("a request");
    node!("Renew, token", FromNode::Renew(Renew::Token));
    node!("Renew, chain", FromNode::Renew(Renew::Chain));
    for (what, csr) in [
        ("Renew, certificate, csr of 512 times 30, signed as the Ask", Some(csr)),
        ("Renew, compact certificate, signed as the Ask", None),
    ] {
        let renewal = CertificateRenewal::sign(csr, &keys(), &HASH);
        node!(what, FromNode::Renew(Renew::Certificate(renewal)));
    }
    let here = Bounded::new(&[5; 300]).expect("short");
    node!("Present, 300 times 05", FromNode::Present { chain: ChainBytes::Here(here) });
    node!("Present, in parts", FromNode::Present { chain: ChainBytes::InParts });
    let address = Address::parse("/lights/room1").expect("an address");
    let bytes = Payload::new(b"on").expect("a payload");
    for (what, action) in [
        ("App, read, /lights/room1, on", Action::Read),
        ("App, write, /lights/room1, on", Action::Write),
        ("App, admin, /lights/room1, on", Action::Admin),
    ] {
        node!(what, FromNode::App(link::App { action, address, bytes }));
    }
    let pattern = Pattern::parse("/lights/**/level").expect("a pattern");
    node!("Subscribe, /lights/**/level", FromNode::Subscribe { pattern });
    for (what, object) in [
        ("Part, chain, index 0, last, 200 times 01", Object::Chain),
        ("Part, profile, index 0, last, 200 times 01", Object::Profile),
    ] {
        node!(what, FromNode::Part(part(object, &[1; 200], 0)));
    }
    node!("Stored, 16 times 01", FromNode::Stored(GrantId::from_bytes([1; 16])));
    for (what, bye) in [
        ("Bye, done", Bye::Done),
        ("Bye, shutting down", Bye::ShuttingDown),
        ("Bye, replaced", Bye::Replaced),
        ("Bye, protocol", Bye::Protocol),
        ("Bye, busy", Bye::Busy),
        ("Bye, internal", Bye::Internal),
    ] {
        node!(what, FromNode::Bye(bye));
    }
    let features = Features::APP.with(Features::PING);
    let holds = Some(GrantId::from_bytes([1; 16]));
    node!(
        "Hello; app, ping; no mark; holds 16 times 01",
        FromNode::Hello(Hello { features, mark: None, holds })
    );
    node!(
        "Hello; all bits; mark of 24 times 0a; holds none",
        FromNode::Hello(Hello {
            features: Features::from_bits(u64::MAX),
            mark: Some(CloneMark::from_bytes([10; 24])),
            holds: None,
        })
    );
    node!("Pong, 300", FromNode::Pong { number: 300 });
    let mark = CloneMark::from_bytes([10; 24]);
    node!("MarkStored, 24 times 0a", FromNode::MarkStored(mark));
    let id = DispatchId::from_bytes([3; 16]);
    let full = DispatchProgress { id, percent: Percent::new(100), note: Some(reason) };
    node!("Progress, 16 times 03, 100 %, no such pin", FromNode::Progress(full));
    let empty = DispatchProgress { id, percent: None, note: None };
    node!("Progress, 16 times 03, neither share nor note", FromNode::Progress(empty));
    let done = |outcome| KnownDispatch::Done(FinalOutcome::new(outcome).expect("it is final"));
    for (what, known) in [
        ("running", KnownDispatch::Running),
        ("awaiting mediation", KnownDispatch::AwaitingMediation),
        ("done, succeeded, 864 zeros", done(DispatchOutcome::Succeeded(payload))),
        ("done, cancelled", done(DispatchOutcome::Cancelled)),
        ("done, result not kept", KnownDispatch::NotKept),
        ("interrupted", KnownDispatch::Interrupted),
        ("never came", KnownDispatch::NeverCame),
        ("forgotten", KnownDispatch::Forgotten),
    ] {
        let answer = DispatchAnswer { id, number: 300, known };
        node!(format!("Answer, 16 times 03, 300, {what}"), FromNode::Answer(answer));
    }
    let node_id = NodeId::from_bytes([2; 16]);
    node!(
        "Identify, node 16 times 02, signed as the Ask",
        FromNode::Identify(Identify::sign(node_id, &keys(), &HASH))
    );
    node!("CertificateStored, 300", FromNode::CertificateStored { number: 300 });
    let compact = part(Object::CompactCertificate, &[1; 200], 0);
    node!("Part, compact certificate, index 0, last, 200 times 01", FromNode::Part(compact));
}

fn from_linking_gateway(all: &mut Vec<Sample>) {
    use link::FromGateway;
    macro_rules! gateway {
        ($what:expr, $message:expr) => {
            sample!(all, LinkFromGateway, FromGateway<'_>, $what, $message)
        };
    }

    gateway!("Heartbeat, no time", FromGateway::Heartbeat { time: None });
    for seconds in [0, 1_700_000_000, u64::MAX] {
        let time = Some(UnixTime::from_secs(seconds));
        gateway!(format!("Heartbeat, {seconds}"), FromGateway::Heartbeat { time });
    }
    let key = x25519::PublicKey::parse(&[9; 32]).expect("a key");
    for (what, policy) in [
        ("Policy, mute", Policy::Mute),
        ("Policy, unmute", Policy::Unmute),
        ("Policy, unpair", Policy::Unpair),
        ("Policy, gateway key, 32 times 09", Policy::GatewayKey(key)),
    ] {
        gateway!(what, FromGateway::Policy(policy));
    }
    for list in ["tcp://10.0.0.5:7331", "ws://gateway.local:8765 tcp://[2001:db8::1]:7331"] {
        let addresses = GatewayAddresses::parse(list).expect("a list");
        let policy = Policy::GatewayAddress(addresses);
        gateway!(format!("Policy, gateway address, {list}"), FromGateway::Policy(policy));
    }
    let dispatch = link::Dispatch {
        id: DispatchId::from_bytes([3; 16]),
        number: 300,
        capability: CapabilityName::parse("echo").expect("a name"),
        remaining_ms: 86_400_000,
        max_payload: 864,
        input: Payload::new(&[]).expect("a payload"),
    };
    gateway!(
        "Dispatch, 16 times 03, 300, echo, 86400000 ms, 864, empty",
        FromGateway::Dispatch(dispatch)
    );
    let address = Address::parse("/").expect("an address");
    let bytes = Payload::new(&[0xff; 200]).expect("a payload");
    gateway!(
        "App, write, /, 200 times ff",
        FromGateway::App(link::App { action: Action::Write, address, bytes })
    );
    let pattern = Pattern::from(address);
    gateway!("NotAllowed, admin, /", FromGateway::NotAllowed { action: Action::Admin, pattern });
    gateway!("Admission, welcome", FromGateway::Admission(Admission::Welcome));
    gateway!(
        "Part, chain, index 1, last, 500 times 01",
        FromGateway::Part(part(Object::Chain, &[1; 1500], 1))
    );
    gateway!(
        "Grant, with a token, a chain in parts and the message welcome",
        FromGateway::Grant(grant(true, Some(ChainBytes::InParts)))
    );
    gateway!("NotRenewed", FromGateway::NotRenewed);
    gateway!("Active, 16 times 01", FromGateway::Active(GrantId::from_bytes([1; 16])));
    gateway!("Bye, replaced", FromGateway::Bye(Bye::Replaced));
    gateway!("Ping, 300", FromGateway::Ping { number: 300 });
    gateway!("Mark, 24 times 0a", FromGateway::Mark(CloneMark::from_bytes([10; 24])));
    let id = DispatchId::from_bytes([3; 16]);
    gateway!("Cancel, 16 times 03", FromGateway::Cancel { id });
    gateway!("Query, 16 times 03, 300", FromGateway::Query { id, number: 300 });
    gateway!("Name, Zuhause", FromGateway::Name(label("Zuhause")));
    let admitted = Admitted { admission: Admission::Expired, features: Features::GATEWAY };
    gateway!(
        "Admitted; expired; app, subscribe, dispatch, clone counter",
        FromGateway::Admitted(admitted)
    );
    gateway!("Certificate, 300", FromGateway::Certificate { number: 300 });
    gateway!("NotIssued", FromGateway::NotIssued);
    let key = SignerKey::from_bytes([11; 32]);
    gateway!("CertificateKey, 32 times 0b", FromGateway::CertificateKey(key));
}
