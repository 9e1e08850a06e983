//! A node under arbitrary inputs.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::{ik, xx};
use handfast_core::flow::native::node::{
    self, NativeMemory, Node, NodeIdentity, PairMethod, Paired, Timing,
};
use handfast_core::limits::{MESSAGE_BYTES, NATIVE_SETUP_SCRATCH};
use handfast_core::registry::grants::GrantId;
use handfast_core::wire::native::link::Renew;
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair;
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::{Entropy, Instant, Label, Machine, NodeId, Span};

use super::{Bytes, recorded, recorded_element, setup_code};
use crate::native::raw::{Channel, Says, keys};
use crate::native::wires::Side;

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
        mark: None,
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
        wants: pair::AskedScopes::NONE,
        certificate: node::CertificateWish::None,
        dispatch: false,
    };
    let mut bytes = Bytes(data);
    let mut now = Instant::from_millis(0);
    let mut machine = Node::boot(now, memory(bytes.byte().unwrap_or(0)), Timing::DEFAULT);
    let mut rogue = RogueEnd::default();
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
            14 => node::Input::Kept,
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
            17 => node::Input::Renew(Renew::Chain),
            18 if argument < 32 => node::Input::Forget,
            18 if argument >= 128 => node::Input::KeptWithout,
            _ => node::Input::Kept,
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
                node::Effect::Keep => {
                    assert!(!(by_frame && clear), "what came in clear is kept");
                    assert!(
                        *machine.memory() != NativeMemory::Blank || forgets || rogue.unpaired,
                        "forgets on its own"
                    );
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
