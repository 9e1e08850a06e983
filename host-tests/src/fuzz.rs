//! Properties that the fuzz targets check, each a function of arbitrary bytes.

use handfast_core::flow::registration::gateway::{
    self, Lookup, RegistrationConnection, RegistrationRequest,
};
use handfast_core::flow::registration::node::{self, RegistrationMemory, RegistrationNode, Timing};
use handfast_core::grant::token::{Hashed, ProofKey, TokenHash};
use handfast_core::limits::{FRAME_BYTES, Limits, SCRATCH};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{
    AskMethod, Asked, Cause, Credential, Mode, Record, Standing,
};
use handfast_core::wire::missy;
use handfast_core::wire::registration::{Heartbeat, NodeMessage, PairRequest, Profile};
use handfast_core::wire::token::Token;
use handfast_core::{Entropy, Instant, Label, Machine, NodeId, Refusal, Span, UnixTime};

use crate::script::Script;
use crate::world::World;

/// Checks that a node's `missy` message, once decoded, is encoded and decoded as the same message.
///
/// # Panics
/// If it is not.
pub fn missy_from_node(data: &[u8]) {
    let Ok(frame) = core::str::from_utf8(data) else { return };
    let mut scratch = [0; SCRATCH];
    let Ok(message) = missy::decode_from_node(frame, &mut scratch) else { return };
    let mut out = vec![0; FRAME_BYTES];
    let Some(written) = missy::encode_from_node(&message, &mut out) else {
        return assert_eq!(message, NodeMessage::Other, "all that is known can be written");
    };
    let mut scratch = [0; SCRATCH];
    let again = missy::decode_from_node(written, &mut scratch).expect("what we write, we read");
    let expected = match message {
        // Nodes of the dialect always send this field.
        NodeMessage::Heartbeat(Heartbeat { wake_word_fp: None, occupancy, noise_level }) => {
            NodeMessage::Heartbeat(Heartbeat { wake_word_fp: Some(false), occupancy, noise_level })
        }
        message => message,
    };
    assert_eq!(again, expected);
}

/// Checks that a gateway's `missy` message, once decoded, is encoded and decoded as the same
/// message.
///
/// # Panics
/// If it is not.
pub fn missy_from_gateway(data: &[u8]) {
    let Ok(frame) = core::str::from_utf8(data) else { return };
    let mut scratch = [0; SCRATCH];
    let Ok(Some(message)) = missy::decode_from_gateway(frame, &mut scratch) else { return };
    let mut out = vec![0; FRAME_BYTES * 7];
    let written =
        missy::encode_from_gateway(&message, &mut out).expect("all that is known can be written");
    let mut scratch = [0; SCRATCH];
    let again = missy::decode_from_gateway(written, &mut scratch).expect("what we write, we read");
    assert_eq!(again, Some(message));
}

/// Plays arbitrary bytes as a script; [`World::play`] checks the invariants.
pub fn registration_script(data: &[u8]) {
    let _ = World::play(&Script::decode(data));
}

/// Reader that takes inputs from bytes.
struct Bytes<'d>(&'d [u8]);

impl<'d> Bytes<'d> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.byte().unwrap_or(0))
    }

    fn text(&mut self) -> &'d str {
        let length = usize::from(self.byte().unwrap_or(0)) * 4;
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        let valid = core::str::from_utf8(taken).map_or_else(|error| error.valid_up_to(), str::len);
        core::str::from_utf8(&taken[..valid]).unwrap_or_default()
    }
}

const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
const AUTH: &str = r#"{"type":"auth","node_id":"00000000-0000-0000-0000-000000000000","token":"HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}"#;

fn refusal(byte: u8) -> Refusal {
    [
        Refusal::TooManyPending,
        Refusal::RateLimited,
        Refusal::AtCapacity,
        Refusal::StoreFailed,
        Refusal::Muted,
    ][usize::from(byte) % 5]
}

fn record(byte: u8, label: &str) -> Record {
    let token = TokenHash::from_bytes([byte & 1; 32]);
    Record {
        node_id: NodeId::from_bytes([0; 16]),
        name: Label::UNKNOWN.into(),
        room: Label::parse(label).unwrap_or(Label::UNKNOWN).into(),
        address: core::net::IpAddr::from([127, 0, 0, 1]),
        keys: None,
        asked_at: UnixTime::from_secs(0),
        asked: Asked::by(AskMethod::Token),
        standing: match byte / 2 % 5 {
            0 => Standing::Pending { expires: UnixTime::from_secs(1) },
            1 => Standing::Unapproved { token },
            2 => Standing::Paired { credential: Credential::Token(token), mode: Mode::Full },
            3 => Standing::Muted { credential: Credential::Token(token), restore: Mode::SafeChat },
            _ => Standing::Revoked { cause: Cause::Unpaired },
        },
    }
}

fn outcome(byte: u8, record: &Record) -> Result<Option<&Record>, Refusal> {
    match byte % 8 {
        0 => Err(refusal(byte / 8)),
        1 => Ok(None),
        _ => Ok(Some(record)),
    }
}

/// Checks a gateway's connection under arbitrary inputs in any order: it does nothing after its
/// end, closes once, and is linked only after a correct hash and a paired record.
///
/// # Panics
/// If one of these does not hold.
pub fn gateway_machine(data: &[u8]) {
    let mut bytes = Bytes(data);
    let key = ProofKey::new(&Entropy::from_recorded([1; 32]));
    let mut now = Instant::from_millis(0);
    let mut machine = RegistrationConnection::accepted(now, Limits::DEFAULT);
    let (mut closes, mut detached, mut gone) = (0, 0, false);
    while let Some(code) = bytes.byte() {
        let argument = bytes.byte().unwrap_or(0);
        let kept_record = record(argument, if code & 0x80 == 0 { "room" } else { bytes.text() });
        let kept = (argument & 0x40 != 0).then(|| {
            let token = Token::parse(TOKEN).expect("a token");
            key.tag(NodeId::from_bytes([0; 16]), &TokenHash::from_bytes([argument & 1; 32]), &token)
        });
        let mut paired = false;
        let input = match code % 16 {
            0 => gateway::Input::Text(bytes.text()),
            1 => gateway::Input::Text(AUTH),
            2 => gateway::Input::Binary(bytes.text().as_bytes()),
            3 => gateway::Input::Pong,
            4 => gateway::Input::Admitted(if argument & 1 == 0 {
                Ok(NodeId::from_bytes(bytes.array()))
            } else {
                Err(refusal(argument))
            }),
            5 | 6 => gateway::Input::Loaded(Lookup {
                record: outcome(code / 16, &kept_record),
                kept,
                key: &key,
            }),
            7 | 8 if argument & 2 == 0 => gateway::Input::Hashed(Err(refusal(argument))),
            7 | 8 => {
                let token = Token::parse(TOKEN).expect("a token");
                gateway::Input::Hashed(Ok(Hashed {
                    token,
                    hash: TokenHash::from_bytes([argument & 1; 32]),
                }))
            }
            9 | 10 => {
                paired = matches!(outcome(code / 16, &kept_record), Ok(Some(r)) if matches!(r.standing, Standing::Paired { .. }));
                gateway::Input::Attached(outcome(code / 16, &kept_record))
            }
            11 => gateway::Input::Push(
                [Notice::Muted, Notice::Unpaired, Notice::Replaced][usize::from(argument) % 3],
            ),
            12 => {
                now = now.after(Span::from_millis(u64::from(argument) * 200));
                gateway::Input::Tick
            }
            13 => gateway::Input::Shutdown,
            14 => gateway::Input::Evict,
            _ => gateway::Input::Closed,
        };
        gone |= matches!(input, gateway::Input::Closed);
        let (was_closed, was_linked) = (machine.is_closed(), machine.linked());
        let mut scratch = [0; SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        assert!(!was_closed || effects.is_empty(), "something happens after the end");
        for effect in effects.iter() {
            match effect {
                gateway::Effect::Close(_) => closes += 1,
                gateway::Effect::Request(RegistrationRequest::Detach(_)) => detached += 1,
                gateway::Effect::Send(text) => {
                    let mut scratch = [0; SCRATCH];
                    assert!(
                        closes == 0
                            && matches!(
                                missy::decode_from_gateway(text, &mut scratch),
                                Ok(Some(_))
                            ),
                        "{text}"
                    );
                }
                gateway::Effect::Request(RegistrationRequest::Attach(_)) => {
                    assert!(closes == 0 && detached == 0);
                }
                _ => {}
            }
        }
        assert!(
            machine.linked().is_none() || was_linked.is_some() || paired,
            "linked without a paired record"
        );
        assert!(closes + detached <= 2 && closes <= 1 && detached <= 1);
        assert_eq!(machine.is_closed(), closes == 1 || gone, "it is closed where it was closed");
        assert!(!machine.is_closed() || machine.deadline().is_none());
    }
}

/// Checks a node under arbitrary inputs in any order: it sends only messages of the dialect, stores
/// only what it was told, and only its owner makes it drop its token.
///
/// # Panics
/// If one of these does not hold.
pub fn node_machine(data: &[u8]) {
    let mut bytes = Bytes(data);
    let id = NodeId::from_bytes([0; 16]);
    let token = || Token::parse(TOKEN).expect("a token");
    let memory = |byte: u8| match byte % 3 {
        0 => RegistrationMemory::Blank,
        1 => RegistrationMemory::Asked { node_id: id },
        _ => RegistrationMemory::Paired { node_id: id, token: token() },
    };
    let mut now = Instant::from_millis(0);
    let mut machine =
        RegistrationNode::boot(now, memory(bytes.byte().unwrap_or(0)), Timing::DEFAULT);
    while let Some(code) = bytes.byte() {
        let argument = bytes.byte().unwrap_or(0);
        let input = match code % 12 {
            0 | 1 => {
                now = now.after(Span::from_millis(u64::from(argument) * 500));
                node::Input::Tick(Heartbeat {
                    occupancy: Some(argument & 1 == 0),
                    ..Heartbeat::default()
                })
            }
            2 => {
                let name = Label::parse(bytes.text()).unwrap_or(Label::UNKNOWN);
                node::Input::Connected(PairRequest {
                    name,
                    room: Label::UNKNOWN,
                    profile: Profile::EMPTY,
                })
            }
            3 => node::Input::Text(bytes.text()),
            4 => node::Input::Text(
                r#"{"type":"pair_pending","node_id":"00000000-0000-0000-0000-000000000000"}"#,
            ),
            5 => node::Input::Text(
                r#"{"type":"auth_ok","node_id":"00000000-0000-0000-0000-000000000000","room":"r"}"#,
            ),
            6 => node::Input::Text(if argument & 1 == 0 {
                r#"{"type":"muted"}"#
            } else {
                r#"{"type":"auth_fail"}"#
            }),
            7 => node::Input::Disconnected(Entropy::from_recorded(bytes.array())),
            8 => node::Input::Kept(memory(argument)),
            9 => node::Input::TokenEntered(token()),
            10 => node::Input::AskAgain,
            _ => node::Input::Forget,
        };
        let may_forget = matches!(input, node::Input::AskAgain | node::Input::Forget);
        let overdue = matches!(input, node::Input::Tick(_))
            && machine.deadline().is_some_and(|(at, _)| at <= now);
        let mut scratch = [0; SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        for effect in effects.iter() {
            match effect {
                node::Effect::Send(text) => {
                    let mut scratch = [0; SCRATCH];
                    let message = missy::decode_from_node(text, &mut scratch);
                    assert!(message.is_ok_and(|m| m != NodeMessage::Other), "{text}");
                }
                node::Effect::Keep(RegistrationMemory::Blank) => {
                    assert!(may_forget, "forgets on its own");
                }
                node::Effect::Keep(_)
                | node::Effect::Connect
                | node::Effect::Close(_)
                | node::Effect::Tell(_) => {}
            }
        }
        let moved = machine.deadline().is_none_or(|(at, _)| at > now);
        assert!(!overdue || moved, "a deadline that has come stays where it was");
    }
}
