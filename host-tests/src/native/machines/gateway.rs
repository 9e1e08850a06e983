//! A connection of the gateway under arbitrary inputs.

use handfast_core::budget::NoPlace;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::{HandshakeHash, ik, xx};
use handfast_core::flow::native::gateway::{
    self, CloneStanding, Confirmation, FrameContext, KnownPeer, NativeConnection, Offer,
    PairVerdict, Prepared,
};
use handfast_core::limits::{Limits, MESSAGE_BYTES, NATIVE_SCRATCH};
use handfast_core::registry::ceiling::InForce;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::native::link;
use handfast_core::wire::native::link::CloneMark;
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair;
use handfast_core::wire::registration::{Heartbeat, Profile};
use handfast_core::{Entropy, Instant, Label, Machine, Refusal, Span, UnixTime};

use super::{Bytes, recorded, recorded_element, setup_code};
use crate::native::raw::{Channel, Says, hello, keys};
use crate::native::setup_key;
use crate::native::wires::Side;

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
            older: None,
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
            clone: CloneStanding {
                quarantined: argument & 16 == 16,
                offer: (argument & 32 == 0).then(|| CloneMark::from_bytes([argument; 24])),
                overtaken: argument == 255,
            },
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
                gateway::Effect::Request(gateway::NativeRequest::Spend(_)) => {
                    assert!(reserved, "spent before it was reserved");
                }
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
    let id = GrantId::from_bytes([1; 16]);
    let ask = |method| {
        let profile = pair::NativeProfile::new(Profile::EMPTY).expect("short");
        let request = pair::Request {
            features: handfast_core::wire::native::Features::NONE,
            name: Label::UNKNOWN,
            room: Label::UNKNOWN,
            profile,
            method,
            wants: pair::AskedScopes::NONE,
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
        11 => hello().bytes(),
        12 => link::FromNode::Pong { number: 7 }.bytes(),
        _ => bytes.some().to_vec(),
    };
    (said, false)
}
