//! Both ends of a companion's connection under arbitrary inputs.

use handfast_core::flow::setup_code::companion::{self, Companion};
use handfast_core::flow::setup_code::gateway::{
    self, CompanionConnection, CompanionRequest, Failed, SessionNotOpened,
};
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::grant::setup_code::{SetupKey, Terms, issue};
use handfast_core::limits::{COMPANION_SCRATCH, Limits, SETUP_CLAIMS_BYTES, SETUP_TOKEN_CHARS};
use handfast_core::registry::sessions::{Maker, NotRedeemed, Session, SessionId};
use handfast_core::secret::Secret;
use handfast_core::wire::companion::{Word, is_companions};
use handfast_core::wire::setup::ProfileName;
use handfast_core::{Entropy, Instant, Label, Machine, Name, Span, UnixTime};

use crate::json_against_serde::members;
use crate::setup::read_token;

/// Token of a session.
pub const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
const KEY: [u8; 32] = [7; 32];
const NOW: u64 = 1_750_000_000;

/// Issues a setup code that is valid for `ttl` seconds.
///
/// # Panics
/// If a code cannot have this lifetime.
#[must_use]
pub fn code(ttl: u64) -> String {
    let terms = Terms {
        profile: ProfileName::parse("companion-v1").expect("a profile"),
        device_label: None,
        ttl: Span::from_secs(ttl),
        bound: false,
    };
    let key = SetupKey::new(&Secret::new(KEY)).expect("not all zero");
    let mut out = [0; SETUP_TOKEN_CHARS];
    let issued =
        issue(&key, &terms, UnixTime::from_secs(NOW), &Entropy::from_recorded([1; 16]), &mut out);
    issued.expect("a code").token.to_owned()
}

fn session(argument: u8) -> Session {
    Session {
        id: SessionId::from_bytes([1; 16]),
        hash: SessionHash::of(&Token::parse(TOKEN).expect("a token")),
        profile: Name::from(Label::parse("companion-v1").expect("a label")),
        device_label: Label::parse("phone").filter(|_| argument & 1 == 0).map(Name::from),
        issued_at: UnixTime::from_secs(NOW),
        expires_at: UnixTime::from_secs(NOW + u64::from(argument)),
        revoked_at: (argument % 7 == 6).then(|| UnixTime::from_secs(NOW)),
        over: false,
        maker: Maker::Operator,
        prolonged: None,
    }
}

/// Checks a connection under arbitrary inputs in any order. It recognises a companion's first frame
/// exactly where serde_json does. It redeems only a token that the reference reader accepts, and
/// once. It sends a session's token only when told that the session is durable. It links only with
/// a valid session that was looked up twice. After its end nothing happens.
///
/// # Panics
/// If one of these does not hold.
pub fn any_frames(data: &[u8]) {
    let mut bytes = data;
    let keys = [SetupKey::new(&Secret::new(KEY)).expect("not all zero")];
    let mut now = Instant::from_millis(0);
    let mut unix = NOW;
    let mut machine = CompanionConnection::accepted(now, Limits::DEFAULT);
    let (mut closes, mut gone, mut redeems, mut found) = (0, false, 0, 0);
    let (mut detaches, mut links) = (0, 0);
    while let Some((code_byte, argument)) = two(&mut bytes) {
        let before = machine.state_name();
        let frame = frame(code_byte, argument, &mut bytes);
        classified(&frame);
        answered(&frame, argument);
        let of = session(argument);
        let mut redeemed = false;
        let input = match code_byte % 16 {
            0..=6 => gateway::Input::Text { frame: &frame, keys: &keys },
            7 => [
                gateway::Input::Binary,
                gateway::Input::Charged(argument & 8 == 0),
                gateway::Input::WrongOrigin,
            ]
            .into_iter()
            .nth(usize::from(argument) % 3)
            .expect("three"),
            8 => gateway::Input::Redeemed(match argument % 4 {
                0 => Err(SessionNotOpened::Failed),
                1 => Err(SessionNotOpened::No(NotRedeemed::AlreadyUsed)),
                2 => Err(SessionNotOpened::No(NotRedeemed::Expired)),
                _ => {
                    redeemed = true;
                    Ok(Token::parse(TOKEN).expect("a token"))
                }
            }),
            9 | 10 => {
                let it = match argument % 5 {
                    0 => Err(Failed::Store),
                    1 => Ok(None),
                    _ => Ok(Some(&of)),
                };
                let admits = matches!(it, Ok(Some(session)) if session.admits(UnixTime::from_secs(unix)).is_ok());
                found = if admits && !matches!(before, "AwaitFirst" | "Redeeming") {
                    found + 1
                } else {
                    found
                };
                gateway::Input::Found(it, UnixTime::from_secs(unix))
            }
            11 => [
                gateway::Input::Revoked,
                gateway::Input::Replaced,
                gateway::Input::Pong,
                gateway::Input::LookAgain,
            ]
            .into_iter()
            .nth(usize::from(argument) % 4)
            .expect("four"),
            12 | 13 => {
                now = now.after(Span::from_millis(u64::from(argument) * 200));
                unix += u64::from(argument) / 5;
                gateway::Input::Tick
            }
            14 => [gateway::Input::Shutdown, gateway::Input::Evict]
                .into_iter()
                .nth(usize::from(argument) % 2)
                .expect("two"),
            _ => gateway::Input::Closed,
        };
        gone |= matches!(input, gateway::Input::Closed);
        let was_closed = machine.is_closed();
        let mut scratch = [0; COMPANION_SCRATCH];
        let effects = machine.step(now, input, &mut scratch);
        assert!(!was_closed || effects.is_empty(), "something happens after the end");
        for effect in effects {
            match effect {
                gateway::Effect::Close(_) => closes += 1,
                gateway::Effect::Request(CompanionRequest::Detach) => detaches += 1,
                gateway::Effect::Send(said) => {
                    assert_eq!(closes, 0);
                    is_a_saying(said, redeemed);
                }
                gateway::Effect::Redeem(verified) => {
                    redeems += 1;
                    let claims = members(&frame).expect("an object");
                    let token: String =
                        serde_json::from_str(&claims[b"bootstrap_token".as_slice()])
                            .expect("a text");
                    let read = read_token(&[KEY], &token).expect("only what is signed is redeemed");
                    assert_eq!(read.nonce, *verified.claims().nonce.as_bytes());
                }
                gateway::Effect::Request(
                    CompanionRequest::Attach(_) | CompanionRequest::Resume(_),
                ) => {
                    assert!(closes == 0 && detaches == 0);
                }
                gateway::Effect::Request(CompanionRequest::Linked(session)) => {
                    links += 1;
                    assert_eq!(machine.linked(), Some(session));
                }
                _ => {}
            }
        }
        assert!(redeems <= 1 && closes <= 1 && detaches <= 1 && links <= 1);
        assert!(machine.linked().is_none() || links == 1, "linked, and the adapter is not told");
        assert!(machine.linked().is_none() || found >= 2, "linked without a session that admits");
        assert_eq!(machine.is_closed(), closes == 1 || gone, "it is closed where it was closed");
        assert!(!machine.is_closed() || machine.deadline().is_none());
    }
}

fn two(bytes: &mut &[u8]) -> Option<(u8, u8)> {
    let (first, rest) = bytes.split_first()?;
    let (second, rest) = rest.split_first().unwrap_or((&0, rest));
    *bytes = rest;
    Some((*first, *second))
}

/// Returns a first frame, or arbitrary text.
fn frame(code_byte: u8, argument: u8, bytes: &mut &[u8]) -> String {
    match code_byte % 16 {
        0 => format!(r#"{{"bootstrap_token":"{}"}}"#, code(600)),
        1 => format!(r#"{{"bootstrap_token":"{}"}}"#, code(u64::from(argument) + 30)),
        2 => format!(r#"{{"session_token":"{TOKEN}"}}"#),
        3 => {
            // One character of a valid code is changed.
            let mut forged = code(600).into_bytes();
            let at = usize::from(argument) % forged.len();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            format!(r#"{{"bootstrap_token":"{}"}}"#, String::from_utf8_lossy(&forged))
        }
        _ => {
            let (taken, rest) = bytes.split_at(usize::from(argument).min(bytes.len()));
            *bytes = rest;
            String::from_utf8_lossy(taken).into_owned()
        }
    }
}

fn classified(frame: &str) {
    let is_nodes = members(frame).is_some_and(|members| members.contains_key(b"type".as_slice()));
    assert_eq!(is_companions(frame), !is_nodes, "{frame:?}");
}

/// Checks that a gateway's message is an object with the members of one of its answers, and has a
/// token only where a session was opened.
fn is_a_saying(said: &str, redeemed: bool) {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(said).expect("an object");
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    match keys[..] {
        ["session_token"] => assert!(redeemed && object["session_token"] == TOKEN),
        ["error"] => {
            assert!(Word::ALL.iter().any(|word| object["error"] == word.as_str()), "{said}");
        }
        ["expires_at"] => {}
        _ => assert!(object.contains_key("session_id") && !said.contains(TOKEN), "{said}"),
    }
}

/// Checks the companion's end with this answer: it keeps a token only where serde_json finds one
/// alone, and ends in any case.
fn answered(frame: &str, argument: u8) {
    let mut room = [0; SETUP_CLAIMS_BYTES + 1024];
    let (mut machine, first) =
        Companion::begin(Instant::from_millis(0), &code(600), &mut room).expect("it fits");
    assert_eq!(first, format!(r#"{{"bootstrap_token":"{}"}}"#, code(600)));
    let mut scratch = [0; 2048];
    let (now, input) = match argument % 16 {
        0 => (Instant::from_millis(9_999), companion::Input::Tick),
        1 => (Instant::from_millis(10_000), companion::Input::Tick),
        2 => (Instant::from_millis(0), companion::Input::Binary),
        _ => (Instant::from_millis(0), companion::Input::Text(frame)),
    };
    let waits = matches!(argument % 16, 0);
    let by_text = matches!(input, companion::Input::Text(_));
    let effects = machine.step(now, input, &mut scratch);
    assert_eq!((machine.is_closed(), effects.len()), (!waits, usize::from(!waits)));
    let members = members(frame).unwrap_or_default();
    let text =
        |key: &str| members.get(key.as_bytes()).map(|raw| serde_json::from_str::<String>(raw).ok());
    for effect in effects {
        match effect {
            companion::Effect::Keep(token) => {
                assert!(by_text && text("error").is_none());
                assert_eq!(text("session_token").flatten().as_deref(), Some(token.expose()));
            }
            companion::Effect::Refused(word) => {
                assert!(by_text && text("session_token").is_none());
                assert_eq!(text("error").flatten().as_deref(), Some(word));
            }
            companion::Effect::NotUnderstood | companion::Effect::NoAnswer => {}
        }
    }
}
