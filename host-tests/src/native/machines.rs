//! Both machines under arbitrary inputs in any order, including the frames of a real conversation.

use std::sync::OnceLock;

use handfast_core::budget::NoPlace;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace::{self, Inputs};
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::{HandshakeHash, Prologue, ik, xx};
use handfast_core::flow::native::gateway::{
    self, Confirmation, FrameContext, KnownPeer, NativeConnection, Offer, PairVerdict, Prepared,
};
use handfast_core::flow::native::node::{
    self, NativeMemory, Node, NodeIdentity, PairMethod, Paired, Timing,
};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::setup_code::{Terms, issue};
use handfast_core::limits::{
    Limits, MESSAGE_BYTES, NATIVE_SCRATCH, NATIVE_SETUP_SCRATCH, SETUP_TOKEN_CHARS,
};
use handfast_core::registry::ceiling::{Ceiling, InForce};
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::Record;
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair;
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::wire::setup::ProfileName;
use handfast_core::{Entropy, Instant, Label, Machine, NodeId, Refusal, Span, UnixTime};

use super::raw::{Channel, Says, keys};
use super::wires::Side;
use super::{World, setup_key};

/// A recorded conversation: the frames of both sides, and the gateway's state after it. Keys and
/// random numbers are fixed, so its frames can be decrypted again.
pub struct Recorded {
    /// The frames to each side.
    pub frames: [Vec<Vec<u8>>; 2],
    record: Record,
    grants: Vec<Grant>,
    scopes: ScopesBuf,
    bounds: [ScopesBuf; 1],
    ceiling: Ceiling,
}

/// Records a PIN pairing and a link.
///
/// # Panics
/// If the conversation does not succeed.
pub fn recorded() -> &'static Recorded {
    static ONCE: OnceLock<Recorded> = OnceLock::new();
    ONCE.get_or_init(|| {
        let mut world = World::new(1, 7);
        world.open_window();
        world.pair_by_pin(0);
        world.run();
        let pin = world.pin_for(0).expect("a PIN is shown");
        world.type_pin(0, &pin);
        world.run();
        let frames = [Side::Client, Side::Gateway].map(|side| {
            let frames = world.overheard.iter().filter(|(_, to, _)| *to == side);
            frames.map(|(.., bytes)| bytes.clone()).collect()
        });
        let record = world.store.records.values().next().expect("it is paired").clone();
        let bounds = [ScopesBuf::parse("read:/lights/**\n").expect("scopes")];
        let ceiling = Ceiling {
            scopes: bounds[0].clone(),
            expires: None,
            named: true,
            maker: Maker::Operator,
        };
        Recorded {
            frames,
            record,
            grants: world.store.grants.clone(),
            scopes: world.store.scopes.clone(),
            bounds,
            ceiling,
        }
    })
}

struct Bytes<'d>(&'d [u8]);

impl<'d> Bytes<'d> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn some(&mut self) -> &'d [u8] {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

/// A manual peer for the machine under test: it performs the handshake, then sends whatever it is
/// told to over the sealed channel.
#[derive(Default)]
struct Peer {
    xx: Option<xx::Initiator>,
    ik: Option<ik::Initiator>,
    third: Option<Vec<u8>>,
    channel: Option<Channel>,
    /// `true` once a valid setup code was sent.
    shown: bool,
}

/// Checks a connection under arbitrary inputs in any order, from a peer that follows the handshake
/// or not. Nothing happens after its end; a guess is reserved before a code is spent; nothing is
/// settled with an unspent code; it is linked only if the registry knows the key.
///
/// # Panics
/// If one of these does not hold.
pub fn gateway(data: &[u8]) {
    let (own, theirs) = (keys(2), keys(1));
    let known = recorded();
    let setup = [setup_key(1)];
    let mut bytes = Bytes(data);
    let mut now = Instant::from_millis(0);
    let unix = UnixTime::from_secs(1_750_000_000);
    let mut machine = NativeConnection::accepted(now, Limits::DEFAULT);
    let mut peer = Peer::default();
    let (mut closes, mut gone, mut reserved, mut spent, mut attached) =
        (0u32, false, false, false, false);
    while let Some(code) = bytes.byte() {
        let argument = bytes.byte().unwrap_or(0);
        let entropy = || Entropy::from_recorded([argument | 1; 32]);
        let mut frame = peer.frame(code, argument, &own, &theirs, &mut bytes);
        let around = FrameContext {
            keys: &own,
            in_force: (argument & 1 == 0)
                .then_some(InForce { scopes: &known.scopes, bounds: &known.bounds }),
            setup: &setup,
            subscriptions_left: 1,
            now: unix,
        };
        let knows = KnownPeer {
            record: &known.record,
            grants: &known.grants,
            ceiling: (argument & 2 == 0).then_some(&known.ceiling),
        };
        let found = match argument % 4 {
            0 => Err(Refusal::StoreFailed),
            1 => Ok(None),
            _ => Ok(Some(knows)),
        };
        let code_of = |text| Code::parse(text).expect("a code");
        let id = CodeId::from_bytes([argument; 16]);
        let offer = || Offer {
            id: GrantId::from_bytes([1; 16]),
            node_id: known.record.node_id,
            room: Label::UNKNOWN,
            token: None,
            chain: [None, Some(&[1; 1533][..]), Some(&[1; 448][..])][usize::from(argument) % 3],
            message: None,
        };
        let input = match code % 24 {
            0..=9 => gateway::Input::Frame { bytes: &mut frame, entropy: entropy(), around },
            10 => match argument {
                255 => gateway::Input::Entered(Err(NoPlace::Full)),
                254 => gateway::Input::Entered(Err(NoPlace::Repeated)),
                253 => gateway::Input::Repeated,
                _ => gateway::Input::Entered(Ok(())),
            },
            11 => gateway::Input::Found(found, unix, entropy()),
            12 => {
                attached |= matches!(found, Ok(Some(_)));
                gateway::Input::Attached(found, unix)
            }
            13 => gateway::Input::Prepared(match argument % 6 {
                5 => Prepared::Setup,
                0 => Prepared::Refused(pair::PairRefusal::Closed),
                1 => Prepared::Settle,
                2 => Prepared::Code {
                    id: (argument & 8 == 0).then_some(id),
                    code: code_of("847291"),
                },
                _ => Prepared::Pin { id, code: code_of("847291"), expires_in: 300, attempts: 5 },
            }),
            14 => {
                reserved = argument % 4 != 0;
                gateway::Input::Reserved(if reserved {
                    Ok(argument % 5)
                } else {
                    Err(NoGuess::Locked)
                })
            }
            15 => {
                spent = machine.state_name() == "Spending" && argument != 0;
                gateway::Input::Spent(Ok(argument != 0))
            }
            16 => gateway::Input::Settled(match argument % 4 {
                0 => PairVerdict::Refused(pair::PairRefusal::Denied { reason: None }),
                1 => PairVerdict::Waits { expires_in: 60 },
                _ => PairVerdict::Offered(offer()),
            }),
            17 => {
                let confirmation = match argument % 3 {
                    0 => Confirmation::NotThere,
                    1 => Confirmation::Active(None),
                    _ => Confirmation::Active(Some(UnixTime::from_secs(1_750_000_100))),
                };
                gateway::Input::Activated(Ok(confirmation), unix)
            }
            18 => gateway::Input::Presented(
                (argument % 2 == 0).then(|| UnixTime::from_secs(1_750_000_100)),
                unix,
            ),
            19 => gateway::Input::Renewed((argument % 2 == 0).then(offer)),
            20 => gateway::Input::Push(
                [
                    Notice::Muted,
                    Notice::Unmuted,
                    Notice::Unpaired,
                    Notice::Replaced,
                    Notice::Decided,
                    Notice::Permissions,
                ][usize::from(argument) % 6],
            ),
            21 => {
                now = now.after(Span::from_millis(u64::from(argument) * 200));
                gateway::Input::Tick(unix)
            }
            22 => [gateway::Input::Shutdown, gateway::Input::Evict, gateway::Input::Tick(unix)]
                .into_iter()
                .nth(usize::from(argument) % 3)
                .expect("three"),
            _ => gateway::Input::Closed,
        };
        gone |= matches!(input, gateway::Input::Closed);
        let (was_closed, before) = (machine.is_closed(), machine.state_name());
        let mut scratch = [0; NATIVE_SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        assert!(!was_closed || effects.is_empty(), "something happens after the end");
        for effect in effects {
            match effect {
                gateway::Effect::Close(_) => closes += 1,
                gateway::Effect::Send(sent) => {
                    assert!(closes == 0 && !sent.is_empty() && sent.len() <= MESSAGE_BYTES);
                    peer.hears(sent.to_vec(), &theirs);
                }
                gateway::Effect::Spend(_) => assert!(reserved, "spent before it was reserved"),
                gateway::Effect::Settle(gateway::Proof::Code(..)) => {
                    assert!(spent, "proven before it was spent");
                }
                gateway::Effect::Settle(gateway::Proof::Setup(_)) => {
                    assert!(
                        before == "AwaitSetup" && peer.shown,
                        "settled without a setup code of ours"
                    );
                }
                _ => {}
            }
        }
        assert!(
            !matches!(machine.linked(), Some(gateway::Peer::Node(_))) || attached,
            "linked, and unknown"
        );
        assert_eq!(machine.is_closed(), closes == 1 || gone, "it is closed where it was closed");
        assert!(!machine.is_closed() || machine.deadline().is_none());
    }
}

impl Peer {
    fn frame(
        &mut self,
        code: u8,
        argument: u8,
        gateway: &OwnKeys,
        own: &OwnKeys,
        bytes: &mut Bytes<'_>,
    ) -> Vec<u8> {
        let mut room = [0; MESSAGE_BYTES];
        match code % 24 {
            // The next step of the handshake, then a sealed message.
            0..=4 => {
                if let Some(third) = self.third.take() {
                    return third;
                }
                if let Some(channel) = &mut self.channel {
                    let (said, shown) = said(argument, own, &channel.hash, bytes);
                    self.shown |= shown;
                    return channel.seal(&said);
                }
                let intent =
                    [Intent::Pair, Intent::Link, Intent::Delegate][usize::from(argument) % 3];
                if code.is_multiple_of(24) {
                    return Open::new(intent).as_bytes().to_vec();
                }
                let entropy = Entropy::from_recorded([argument | 3; 32]);
                if intent == Intent::Link {
                    let started = ik::Initiator::start(
                        Open::new(intent).prologue(),
                        &own.channel,
                        gateway.channel.public(),
                        &entropy,
                        &[],
                        &mut room,
                    );
                    let (initiator, first) = started.expect("it can be written");
                    self.ik = Some(initiator);
                    return first.to_vec();
                }
                let started =
                    xx::Initiator::start(Open::new(intent).prologue(), &entropy, &[], &mut room);
                let (initiator, first) = started.expect("it can be written");
                self.xx = Some(initiator);
                first.to_vec()
            }
            5 => {
                let frames = &recorded().frames[Side::Gateway as usize];
                frames[usize::from(argument) % frames.len()].clone()
            }
            _ => bytes.some().to_vec(),
        }
    }

    fn hears(&mut self, mut sent: Vec<u8>, own: &OwnKeys) {
        let mut room = [0; MESSAGE_BYTES];
        if let Some(initiator) = self.xx.take() {
            if let Ok((introduced, _)) = initiator.read_second(&mut sent)
                && let Ok((established, third)) =
                    introduced.write_third(&own.channel, &[], &mut room)
            {
                self.third = Some(third.to_vec());
                self.channel = Some(Channel::new(established));
            }
        } else if let Some(initiator) = self.ik.take()
            && let Ok((established, _)) = initiator.read_second(&own.channel, &mut sent)
        {
            self.channel = Some(Channel::new(established));
        }
    }
}

/// Returns a message for a sealed channel: arbitrary bytes, or a valid message.
fn said(
    argument: u8,
    own: &OwnKeys,
    hash: &HandshakeHash,
    bytes: &mut Bytes<'_>,
) -> (Vec<u8>, bool) {
    use handfast_core::wire::native::link;
    let id = GrantId::from_bytes([1; 16]);
    let ask = |method| {
        let profile = pair::NativeProfile::new(Profile::EMPTY).expect("short");
        let request = pair::Request {
            features: handfast_core::wire::native::Features::NONE,
            name: Label::UNKNOWN,
            room: Label::UNKNOWN,
            profile,
            method,
            csr: None,
        };
        pair::PairFromNode::Ask(pair::Ask::sign(request, &own.signing, hash)).bytes()
    };
    let code = |token: &str| {
        pair::PairFromNode::SetupCode(pair::BootstrapToken::new(token).expect("a token")).bytes()
    };
    let said = match argument % 13 {
        6 => ask(pair::Method::Setup),
        7 => ask(pair::Method::Approval),
        8 => return (code(setup_code()), true),
        9 => {
            let mut forged = setup_code().as_bytes().to_vec();
            let at = usize::from(argument) % forged.len();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            code(&String::from_utf8_lossy(&forged))
        }
        10 => ask(pair::Method::Pin),
        0 => pair::PairFromNode::Ya(*recorded_element()).bytes(),
        1 => pair::PairFromNode::Ta([argument; 64]).bytes(),
        2 => pair::PairFromNode::Stored(id).bytes(),
        3 => link::FromNode::Stored(id).bytes(),
        4 => link::FromNode::Heartbeat(Heartbeat::default()).bytes(),
        11 => super::raw::hello().bytes(),
        12 => link::FromNode::Pong { number: 7 }.bytes(),
        _ => bytes.some().to_vec(),
    };
    (said, false)
}

/// Returns a setup code that is valid in these conversations.
fn setup_code() -> &'static str {
    static ONCE: OnceLock<String> = OnceLock::new();
    ONCE.get_or_init(|| {
        let profile = ProfileName::parse("companion-v1").expect("a profile");
        let terms = Terms { profile, device_label: None, ttl: Span::from_secs(600), bound: true };
        let mut out = [0; SETUP_TOKEN_CHARS];
        let unix = UnixTime::from_secs(1_750_000_000);
        issue(&setup_key(1), &terms, unix, &Entropy::from_recorded([8; 16]), &mut out)
            .expect("a code")
            .token
            .to_owned()
    })
}

fn recorded_element() -> &'static cpace::Element {
    static ONCE: OnceLock<cpace::Element> = OnceLock::new();
    ONCE.get_or_init(|| {
        cpace_inputs(b"847291", |inputs| {
            cpace::Initiator::start(inputs, &Entropy::from_recorded([5; 32])).expect("an element").1
        })
    })
}

fn cpace_inputs<T>(password: &[u8], with: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let code = Code::parse(core::str::from_utf8(password).expect("a code")).expect("a code");
    let (a, b) = (keys(1), keys(2));
    let hash = HandshakeHash::from_recorded([3; 32]);
    with(&Inputs::new(&code, &hash, a.channel.public(), b.channel.public(), cpace::CodeOrigin::Pin))
}

/// Checks a node under arbitrary inputs in any order. It forgets only for its owner and for a
/// sealed message; no plaintext message changes its stored state; a deadline that has passed always
/// moves.
///
/// # Panics
/// If one of these does not hold.
pub fn node(data: &[u8]) {
    let (own_keys, gateway_keys) = (keys(1), keys(2));
    let paired = Paired {
        gateway: *gateway_keys.channel.public(),
        node_id: NodeId::from_bytes([2; 16]),
        grant: GrantId::from_bytes([1; 16]),
    };
    let memory = |byte: u8| match byte % 3 {
        0 => NativeMemory::Blank,
        1 => NativeMemory::Asked { gateway: paired.gateway },
        _ => NativeMemory::Paired(paired),
    };
    let own = NodeIdentity {
        keys: &own_keys,
        about: PairRequest { name: Label::UNKNOWN, room: Label::UNKNOWN, profile: Profile::EMPTY },
        setup: pair::BootstrapToken::new(setup_code()),
    };
    let mut bytes = Bytes(data);
    let mut now = Instant::from_millis(0);
    let mut machine = Node::boot(now, memory(bytes.byte().unwrap_or(0)), Timing::DEFAULT);
    let mut rogue = RogueEnd::default();
    let mut keeping = None;
    let mut trusted = false;
    while let Some(code) = bytes.byte() {
        let argument = bytes.byte().unwrap_or(0);
        let entropy = || Entropy::from_recorded([argument | 1; 32]);
        let mut frame = rogue.frame(code, argument, &gateway_keys, &mut bytes);
        let clear = frame.len() <= 16;
        let input = match code % 20 {
            0..=8 => node::Input::Frame { bytes: &mut frame, entropy: entropy(), own },
            9 | 10 => {
                now = now.after(Span::from_millis(u64::from(argument) * 500));
                node::Input::Tick(Heartbeat::default())
            }
            11 | 12 => node::Input::Connected(entropy(), own),
            13 => node::Input::Disconnected(Entropy::from_recorded([argument; 2])),
            14 => node::Input::Kept(keeping.take().unwrap_or_else(|| *machine.memory())),
            15 => node::Input::CodeEntered(Code::parse("847291").expect("a code"), entropy(), own),
            16 => {
                let selector = pair::Selector::parse("K7QF").expect("a selector");
                let code = Code::parse("847291").expect("a code");
                let wish = [
                    PairMethod::Approval,
                    PairMethod::Pin,
                    PairMethod::Code { selector, code },
                    PairMethod::Setup,
                    PairMethod::Setup,
                ];
                let wish = wish.into_iter().nth(usize::from(argument) % 5).expect("five");
                // A setup code comes with the gateway's fingerprint, another one, or none.
                let of = |seed| Some(Fingerprint::of(keys(seed).channel.public()));
                let expected = match (&wish, argument & 48) {
                    (PairMethod::Setup, 16) => of(3),
                    (PairMethod::Setup, 0 | 48) => of(2),
                    _ => None,
                };
                trusted = expected == of(2);
                node::Input::Pair(wish, expected)
            }
            17 => node::Input::Renew(handfast_core::wire::native::link::Renew::Chain),
            18 if argument < 32 => node::Input::Forget,
            _ => node::Input::Kept(keeping.take().unwrap_or_else(|| *machine.memory())),
        };
        let by_frame = matches!(input, node::Input::Frame { .. });
        let forgets = matches!(input, node::Input::Forget);
        let overdue = matches!(input, node::Input::Tick(_))
            && machine.deadline().is_some_and(|(at, _)| at <= now);
        let mut scratch = [0; NATIVE_SETUP_SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        assert!(
            trusted || machine.state_name() != "AwaitSettled",
            "a setup code is shown to somebody else"
        );
        for effect in effects {
            match effect {
                node::Effect::Keep(memory) => {
                    assert!(!(by_frame && clear), "what came in clear is kept");
                    assert!(
                        memory != NativeMemory::Blank || forgets || rogue.unpaired,
                        "forgets on its own"
                    );
                    keeping = Some(memory);
                }
                node::Effect::Send(sent) => {
                    assert!(!sent.is_empty() && sent.len() <= MESSAGE_BYTES);
                    rogue.hears(sent.to_vec(), &gateway_keys);
                }
                node::Effect::Close(_) => {
                    rogue = RogueEnd { unpaired: rogue.unpaired, ..RogueEnd::default() }
                }
                _ => {}
            }
        }
        let moved = machine.deadline().is_none_or(|(at, _)| at > now);
        assert!(!overdue || moved, "a deadline that has come stays where it was");
    }
}

/// The gateway's end, played by hand.
#[derive(Default)]
struct RogueEnd {
    heard: Vec<Vec<u8>>,
    xx: Option<xx::Answered>,
    channel: Option<Channel>,
    second: Option<Vec<u8>>,
    unpaired: bool,
}

impl RogueEnd {
    fn hears(&mut self, mut sent: Vec<u8>, own: &OwnKeys) {
        let mut room = [0; MESSAGE_BYTES];
        let entropy = Entropy::from_recorded([77; 32]);
        if let Some(answered) = self.xx.take() {
            self.channel = answered
                .read_third(&mut sent)
                .ok()
                .map(|(established, _)| Channel::new(established));
        } else if self.channel.is_none() {
            self.heard.push(sent);
            let [open, first] = &mut self.heard[..] else { return };
            let Ok(open) = Open::parse(open) else { return };
            if open.intent() == Intent::Link {
                let answered = ik::Responder::read_first(open.prologue(), &own.channel, first)
                    .and_then(|(responder, _)| responder.write_second(&entropy, &[0], &mut room));
                if let Ok((established, second)) = answered {
                    (self.channel, self.second) =
                        (Some(Channel::new(established)), Some(second.to_vec()));
                }
            } else {
                let answered =
                    xx::Responder::read_first(open.prologue(), first).and_then(|(responder, _)| {
                        responder.write_second(&own.channel, &entropy, &[], &mut room)
                    });
                if let Ok((answered, second)) = answered {
                    (self.xx, self.second) = (Some(answered), Some(second.to_vec()));
                }
            }
        }
    }

    fn frame(&mut self, code: u8, argument: u8, _own: &OwnKeys, bytes: &mut Bytes<'_>) -> Vec<u8> {
        use handfast_core::wire::native::link::{FromGateway as Link, Policy};
        use handfast_core::wire::native::pair::PairFromGateway as Pair;
        let id = GrantId::from_bytes([1; 16]);
        let grant = || pair::PairGrant {
            id,
            node_id: NodeId::from_bytes([2; 16]),
            room: Label::UNKNOWN,
            token: None,
            chain: None,
            certificates: false,
            message: None,
        };
        match (code % 20, &mut self.channel) {
            (0..=5, _) if self.second.is_some() => self.second.take().unwrap_or_default(),
            (0..=5, Some(channel)) => {
                let said = match argument % 14 {
                    0 => Pair::Waiting { expires_in: 60 }.bytes(),
                    1 => Pair::PinShown { expires_in: 60, attempts: 5 }.bytes(),
                    2 => Pair::Yb(*recorded_element()).bytes(),
                    3 => Pair::Tb([1; 64]).bytes(),
                    4 => Pair::Refused(pair::PairRefusal::WrongCode { attempts_left: 3 }).bytes(),
                    5 => Pair::Refused(pair::PairRefusal::Busy { retry_in: 3 }).bytes(),
                    6 => Pair::Grant(grant()).bytes(),
                    7 => Pair::Active(id).bytes(),
                    8 => Pair::NotPaired.bytes(),
                    9 => Link::Grant(grant()).bytes(),
                    10 => Link::Policy(Policy::Mute).bytes(),
                    11 => {
                        self.unpaired = true;
                        Link::Policy(Policy::Unpair).bytes()
                    }
                    12 => Link::Heartbeat { time: None }.bytes(),
                    _ => bytes.some().to_vec(),
                };
                channel.seal(&said)
            }
            (6, _) => {
                let frames = &recorded().frames[Side::Client as usize];
                frames[usize::from(argument) % frames.len()].clone()
            }
            _ => bytes.some().to_vec(),
        }
    }
}

/// Checks arbitrary bytes as each handshake message: they are refused, or are the peer's own.
///
/// # Panics
/// If a handshake completes with anything but the peer's own messages.
pub fn noise_messages(data: &[u8]) {
    let mut bytes = Bytes(data);
    let kind = bytes.byte().unwrap_or(0);
    let (a, b) = (keys(1), keys(2));
    let prologue = || Prologue::from_recorded(b"fuzz");
    let entropy = |byte| Entropy::from_recorded([byte; 32]);
    let (mut room, mut other) = ([0; MESSAGE_BYTES], [0; MESSAGE_BYTES]);
    let mut message = bytes.0.to_vec();
    match kind % 5 {
        0 => drop(xx::Responder::read_first(prologue(), &mut message)),
        1 => {
            let (initiator, _) =
                xx::Initiator::start(prologue(), &entropy(1), &[], &mut room).expect("it fits");
            assert!(initiator.read_second(&mut message).is_err(), "forged");
        }
        2 => {
            let (_, first) =
                xx::Initiator::start(prologue(), &entropy(1), &[], &mut room).expect("it fits");
            let (responder, _) = xx::Responder::read_first(prologue(), &mut first.to_vec())
                .map(|(r, _)| (r, ()))
                .expect("ours");
            let (answered, _) =
                responder.write_second(&b.channel, &entropy(2), &[], &mut other).expect("it fits");
            assert!(answered.read_third(&mut message).is_err(), "forged");
        }
        3 => drop(ik::Responder::read_first(prologue(), &b.channel, &mut message)),
        _ => {
            let started = ik::Initiator::start(
                prologue(),
                &a.channel,
                b.channel.public(),
                &entropy(1),
                &[],
                &mut room,
            );
            let (initiator, _) = started.expect("it fits");
            assert!(initiator.read_second(&a.channel, &mut message).is_err(), "forged");
        }
    }
}

/// Checks arbitrary bytes as elements and tags: no run is confirmed.
///
/// # Panics
/// If a run is confirmed.
pub fn cpace_messages(data: &[u8]) {
    let mut bytes = [0; 96];
    for (place, byte) in bytes.iter_mut().zip(data) {
        *place = *byte;
    }
    let (element, tag) = bytes.split_first_chunk::<32>().expect("32 bytes");
    let tag: &cpace::Tag = tag.first_chunk().expect("64 bytes");
    cpace_inputs(b"847291", |inputs| {
        let (initiator, ours) =
            cpace::Initiator::start(inputs, &Entropy::from_recorded([5; 32])).expect("an element");
        if let Ok((awaiting, ta)) = initiator.confirm(element) {
            assert!(awaiting.verify(tag).is_err() && ours != *element && ta != *tag, "confirmed");
        }
        if let Ok((awaiting, yb)) =
            cpace::Responder::answer(inputs, &Entropy::from_recorded([6; 32]), element)
        {
            assert!(yb != *element && awaiting.verify(tag).is_err(), "confirmed");
        }
    });
}

/// Plays arbitrary bytes as a script; [`World::play`] checks the invariants.
pub fn script(data: &[u8]) {
    let _ = World::play(&super::script::Script::decode(data));
}
