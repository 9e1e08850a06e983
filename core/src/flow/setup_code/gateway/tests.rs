use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::crypto::hmac_sha256;
use crate::entropy::Entropy;
use crate::grant::session::Token;
use crate::grant::setup_code::{Terms, issue};
use crate::limits::{COMPANION_SCRATCH, SETUP_TOKEN_CHARS};
use crate::registry::sessions::Maker;
use crate::secret::Secret;
use crate::text::{Label, Name};
use crate::wire::setup::ProfileName;

const UNIX: UnixTime = UnixTime::from_secs(1_000_000);
const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

fn keys() -> [SetupKey; 1] {
    [SetupKey::new(&Secret::new([7; 32])).unwrap()]
}

fn code() -> String {
    issued(false)
}

fn issued(bound: bool) -> String {
    let terms = Terms {
        profile: ProfileName::parse("companion-v1").unwrap(),
        device_label: None,
        ttl: Span::from_secs(600),
        bound,
    };
    let mut out = [0; SETUP_TOKEN_CHARS];
    issue(&keys()[0], &terms, UNIX, &Entropy::from_recorded([1; 16]), &mut out)
        .unwrap()
        .token
        .to_string()
}

fn session() -> Session {
    Session {
        id: SessionId::from_bytes([1; 16]),
        hash: SessionHash::of(&Token::parse(TOKEN).unwrap()),
        profile: Name::from(Label::parse("companion-v1").unwrap()),
        device_label: None,
        issued_at: UNIX,
        expires_at: UNIX.after(Span::from_secs(100)),
        revoked_at: None,
        over: false,
        maker: Maker::Operator,
        prolonged: None,
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Takes a step that fails, and the next one, in which the failure is within the budget.
fn fails(
    connection: CompanionConnection,
    millis: u64,
    input: Input<'_>,
) -> (CompanionConnection, Vec<String>) {
    let (connection, mut said) = step(connection, millis, input);
    assert!(
        said.pop().is_some_and(|last| last.starts_with("Charge(")) && connection.awaits_answer(),
        "{connection:?}"
    );
    let (connection, then) = step(connection, millis, Input::Charged(true));
    said.extend(then);
    (connection, said)
}

/// Takes a step, and returns its effects as text.
fn step(
    mut connection: CompanionConnection,
    millis: u64,
    input: Input<'_>,
) -> (CompanionConnection, Vec<String>) {
    let mut scratch = [0; COMPANION_SCRATCH];
    let effects = connection.step(at(millis), input, &mut scratch);
    let said = effects.iter().map(|effect| match effect {
        Effect::Send(text) => (*text).to_string(),
        Effect::Close(close) => std::format!("{} {}", close.code, close.reason),
        Effect::Redeem(verified) => std::format!("redeem {}", verified.claims().profile.as_str()),
        Effect::Request(request) => std::format!("{request:?}"),
        other => std::format!("{other:?}"),
    });
    let said = said.collect();
    (connection, said)
}

fn fresh() -> CompanionConnection {
    CompanionConnection::accepted(at(0), Limits::DEFAULT)
}

fn text<'b>(frame: &'b str, keys: &'b [SetupKey]) -> Input<'b> {
    Input::Text { frame, keys }
}

fn linked() -> CompanionConnection {
    let frame = std::format!(r#"{{"session_token":"{TOKEN}"}}"#);
    let (connection, _) = step(fresh(), 1, text(&frame, &keys()));
    let (connection, _) = step(connection, 2, Input::Found(Ok(Some(&session())), UNIX));
    step(connection, 3, Input::Found(Ok(Some(&session())), UNIX)).0
}

#[test]
fn a_verified_code_is_redeemed_and_its_token_said_only_when_it_is_durable() {
    let frame = std::format!(r#"{{"bootstrap_token":"{}"}}"#, code());
    let (connection, said) = step(fresh(), 1, text(&frame, &keys()));
    assert_eq!(said, ["redeem companion-v1"]);
    assert!(connection.awaits_answer());
    let (connection, said) = step(connection, 2, Input::Redeemed(Ok(Token::parse(TOKEN).unwrap())));
    assert_eq!(said, [&std::format!(r#"{{"session_token":"{TOKEN}"}}"#), "1000 "]);
    assert!(connection.is_closed());
}

#[test]
fn a_code_costs_one_hmac_until_its_session_is_open() {
    let (frame, keys) = (std::format!(r#"{{"bootstrap_token":"{}"}}"#, code()), keys());
    let before = hmac_sha256::tests::counted();
    let (connection, _) = step(fresh(), 1, text(&frame, &keys));
    let (connection, _) = step(connection, 2, Input::Redeemed(Ok(Token::parse(TOKEN).unwrap())));
    assert!(connection.is_closed());
    assert_eq!(hmac_sha256::tests::counted() - before, 1);
}

#[test]
fn every_code_that_lets_nobody_in_is_told_why_in_the_originals_words() {
    let good = code();
    let frame = |token: &str| std::format!(r#"{{"bootstrap_token":"{token}"}}"#);
    for (frame, word) in [
        (frame("nodot"), "unknown code"),
        (String::from("{}"), "unknown code"),
        (String::from("no json"), "unknown code"),
        (frame(&std::format!("e30.{}", good.split_once('.').unwrap().1)), "invalid signature"),
        (frame(&issued(true)), "unknown code"),
        (String::from(r#"{"session_token":"short"}"#), "unknown session"),
    ] {
        let (connection, said) = fails(fresh(), 1, text(&frame, &keys()));
        assert_eq!(
            said,
            [std::format!(r#"{{"error":"{word}"}}"#), String::from("1008 Not let in")],
            "{frame}"
        );
        assert!(connection.is_closed());
    }
    for (why, word) in [
        (NotRedeemed::AlreadyUsed, r#"{"error":"already used"}"#),
        (NotRedeemed::Expired, r#"{"error":"expired"}"#),
    ] {
        let (connection, _) = step(fresh(), 1, text(&frame(&good), &keys()));
        assert_eq!(
            fails(connection, 2, Input::Redeemed(Err(SessionNotOpened::No(why)))).1[0],
            word
        );
    }
    let (connection, _) = step(fresh(), 1, text(&frame(&good), &keys()));
    assert_eq!(
        step(connection, 2, Input::Redeemed(Err(SessionNotOpened::Failed))).1[0],
        r#"{"error":"internal"}"#
    );
    assert_eq!(fails(fresh(), 1, Input::Binary).1[0], r#"{"error":"expected text frame"}"#);
    assert_eq!(step(fresh(), 1, Input::WrongOrigin).1[0], r#"{"error":"origin not allowed"}"#);
}

#[test]
fn who_fails_too_often_hears_only_that_and_each_kind_has_a_budget_of_its_own() {
    let resume = std::format!(r#"{{"session_token":"{TOKEN}"}}"#);
    let (resuming, _) = step(fresh(), 1, text(&resume, &keys()));
    for (connection, input, charged) in [
        (fresh(), text("{}", &[]), "Charge(Code(UnknownCode))"),
        (resuming, Input::Found(Ok(None), UNIX), "Charge(Session(UnknownSession))"),
    ] {
        let (connection, said) = step(connection, 2, input);
        assert_eq!(said, [charged]);
        let (connection, said) = step(connection, 2, Input::Charged(false));
        assert_eq!(
            said,
            [r#"{"error":"rate limited"}"#, "1013 Too many attempts, try again later"]
        );
        assert!(connection.is_closed());
    }
}

#[test]
fn silence_ends_after_ten_seconds() {
    assert_eq!(fresh().deadline(), Some((at(10_000), DeadlineReason::FirstMessage)));
    assert_eq!(step(fresh(), 9_999, Input::Tick).1, Vec::<String>::new());
    assert_eq!(step(fresh(), 10_000, Input::Tick).1, ["1008 Authentication timeout"]);
}

#[test]
fn a_session_is_looked_up_again_after_it_is_attached_so_that_no_revocation_slips_through() {
    let frame = std::format!(r#"{{"session_token":"{TOKEN}"}}"#);
    let (resuming, said) = step(fresh(), 1, text(&frame, &keys()));
    assert_eq!(said, ["Resume(SessionHash(redacted))"]);
    let (attaching, said) = step(resuming, 2, Input::Found(Ok(Some(&session())), UNIX));
    assert!(said[0].starts_with("Attach("), "{said:?}");
    let revoked = Session { revoked_at: Some(UNIX), ..session() };
    let (connection, said) = fails(attaching, 3, Input::Found(Ok(Some(&revoked)), UNIX));
    assert_eq!(said, ["Detach", r#"{"error":"unknown session"}"#, "1008 Not let in"]);
    assert!(connection.is_closed());
}

#[test]
fn a_registry_that_cannot_be_read_lets_nobody_in() {
    let frame = std::format!(r#"{{"session_token":"{TOKEN}"}}"#);
    let (resuming, _) = step(fresh(), 1, text(&frame, &keys()));
    let (connection, said) = step(resuming, 2, Input::Found(Err(Failed::Store), UNIX));
    assert!(connection.is_closed() && said[0].contains("internal"), "{said:?}");
}

#[test]
fn a_linked_companion_speaks_to_the_application_until_its_session_is_revoked() {
    let (connection, said) = step(linked(), 4, text("hello", &[]));
    assert_eq!(
        (connection.linked(), said),
        (Some(session().id), std::vec![String::from("App(\"hello\")")])
    );
    let (connection, said) = step(connection, 5, Input::Revoked);
    assert_eq!(said, ["Detach", "1008 Session ended"]);
    assert!(connection.is_closed());
}

#[test]
fn a_link_looks_its_session_up_again_when_the_time_of_day_has_jumped() {
    let (rechecking, said) = step(linked(), 4, Input::LookAgain);
    assert!(said[0].starts_with("Recheck("), "{said:?}");
    let over = session().expires_at;
    let (connection, said) = step(rechecking, 5, Input::Found(Ok(Some(&session())), over));
    assert_eq!(said, ["Detach", "1008 Session ended"]);
    assert!(connection.is_closed());
}

#[test]
fn at_its_end_a_session_is_looked_up_once_more_because_it_may_have_been_prolonged() {
    let ends = 3 + 100_000;
    // The keepalive is due earlier; each time it is answered.
    let mut connection = linked();
    let mut now = 3;
    while let Some((when, DeadlineReason::Ping)) = connection.deadline() {
        now = when.as_millis();
        connection = step(connection, now, Input::Tick).0;
        connection = step(connection, now, Input::Pong).0;
    }
    assert_eq!(connection.deadline(), Some((at(ends), DeadlineReason::Ends)), "{now}");
    let (rechecking, said) = step(connection, ends, Input::Tick);
    assert!(said[0].starts_with("Recheck("));
    let later = UNIX.after(Span::from_secs(100));
    let prolonged = Session { expires_at: later.after(Span::from_secs(50)), ..session() };
    let (connection, said) = step(rechecking, ends, Input::Found(Ok(Some(&prolonged)), later));
    assert!(said.is_empty() && connection.linked().is_some());
    let (rechecking, _) = step(connection, ends + 50_000, Input::Tick);
    let (connection, said) =
        step(rechecking, ends + 50_000, Input::Found(Ok(Some(&prolonged)), prolonged.expires_at));
    assert_eq!(said, ["Detach", "1008 Session ended"]);
    assert!(connection.is_closed());
}

#[test]
fn too_little_scratch_fails_closed() {
    let frame = std::format!(r#"{{"bootstrap_token":"{}"}}"#, code());
    let mut scratch = [0; 100];
    let keys = keys();
    let mut connection = fresh();
    assert!(!connection.step(at(1), text(&frame, &keys), &mut scratch).is_empty());
    assert!(connection.is_closed());
}
