//! Tables of both ends of a companion's connection on `/pair`.

use handfast_core::flow::setup_code::companion::{self, Companion};
use handfast_core::flow::setup_code::gateway::{
    CompanionConnection, CompanionRequest, Effect, Failed, Input, SessionNotOpened,
};
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::grant::setup_code::{SetupKey, Terms, issue};
use handfast_core::limits::{COMPANION_SCRATCH, Limits, SETUP_TOKEN_CHARS};
use handfast_core::registry::sessions::{NotRedeemed, Session, SessionId};
use handfast_core::secret::Secret;
use handfast_core::wire::setup::ProfileName;
use handfast_core::{Entropy, Instant, Label, Machine, Name, Span, UnixTime};

use super::{Table, deadline};

const NOW: UnixTime = UnixTime::from_secs(1_000_000);
const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

/// Values from which inputs borrow.
struct Given {
    keys: [SetupKey; 1],
    code: String,
    forged: String,
    resume: String,
    session: Session,
    expired: Session,
    revoked: Session,
}

fn key(byte: u8) -> SetupKey {
    SetupKey::new(&Secret::new([byte; 32])).unwrap()
}

fn code(key: &SetupKey) -> String {
    let terms = Terms {
        profile: ProfileName::parse("companion-v1").unwrap(),
        device_label: None,
        ttl: Span::from_secs(600),
        bound: false,
    };
    let mut out = [0; SETUP_TOKEN_CHARS];
    let issued = issue(key, &terms, NOW, &Entropy::from_recorded([1; 16]), &mut out).unwrap();
    format!(r#"{{"bootstrap_token":"{}"}}"#, issued.token)
}

impl Given {
    fn new() -> Self {
        let session = Session {
            id: SessionId::from_bytes([1; 16]),
            hash: SessionHash::of(&token()),
            profile: Name::from(Label::parse("companion-v1").unwrap()),
            device_label: Label::parse("phone").map(Name::from),
            issued_at: NOW,
            expires_at: NOW.after(Span::from_secs(100)),
            revoked_at: None,
            over: false,
            maker: handfast_core::registry::sessions::Maker::Operator,
            prolonged: None,
        };
        Self {
            keys: [key(7)],
            code: code(&key(7)),
            forged: code(&key(8)),
            resume: format!(r#"{{"session_token":"{TOKEN}"}}"#),
            expired: Session { expires_at: NOW, ..session.clone() },
            revoked: Session { revoked_at: Some(NOW), ..session.clone() },
            session,
        }
    }

    fn text<'g>(&'g self, frame: &'g str) -> Input<'g> {
        Input::Text { frame, keys: &self.keys }
    }
}

fn token() -> Token {
    Token::parse(TOKEN).unwrap()
}

type Make = for<'g> fn(&'g Given) -> Input<'g>;

const INPUTS: &[(&str, Make)] = &[
    ("text, a code", |g| g.text(&g.code)),
    ("text, a code of another key", |g| g.text(&g.forged)),
    ("text, a code that is none", |g| g.text(r#"{"bootstrap_token":"e30.AAAA"}"#)),
    ("text, a session", |g| g.text(&g.resume)),
    ("text, a session that is none", |g| g.text(r#"{"session_token":"short"}"#)),
    ("text, both", |g| g.text(r#"{"bootstrap_token":"a","session_token":"b"}"#)),
    ("text, anything", |g| g.text("anything")),
    ("binary", |_| Input::Binary),
    ("charged", |_| Input::Charged(true)),
    ("charged too often", |_| Input::Charged(false)),
    ("wrong origin", |_| Input::WrongOrigin),
    ("redeemed", |_| Input::Redeemed(Ok(token()))),
    ("not redeemed, spent", |_| {
        Input::Redeemed(Err(SessionNotOpened::No(NotRedeemed::AlreadyUsed)))
    }),
    ("not redeemed, time is over", |_| {
        Input::Redeemed(Err(SessionNotOpened::No(NotRedeemed::Expired)))
    }),
    ("not redeemed, store failed", |_| Input::Redeemed(Err(SessionNotOpened::Failed))),
    ("found", |g| Input::Found(Ok(Some(&g.session)), NOW)),
    ("found, time is over", |g| Input::Found(Ok(Some(&g.expired)), NOW)),
    ("found, revoked", |g| Input::Found(Ok(Some(&g.revoked)), NOW)),
    ("found nothing", |_| Input::Found(Ok(None), NOW)),
    ("not found, store failed", |_| Input::Found(Err(Failed::Store), NOW)),
    ("look again", |_| Input::LookAgain),
    ("revoked", |_| Input::Revoked),
    ("replaced", |_| Input::Replaced),
    ("pong", |_| Input::Pong),
    ("tick", |_| Input::Tick),
    ("shutdown", |_| Input::Shutdown),
    ("evict", |_| Input::Evict),
    ("closed", |_| Input::Closed),
];

const RESUMED: &[&str] = &["text, a session", "found", "found"];

/// Inputs that lead to each state, and the time of the next input in milliseconds.
const STATES: &[(&str, &[&str], u64)] = &[
    ("AwaitFirst", &[], 1_000),
    ("AwaitFirst, time is up", &[], 10_000),
    ("Redeeming", &["text, a code"], 1_000),
    ("Resuming", &["text, a session"], 1_000),
    ("Attaching", &["text, a session", "found"], 1_000),
    ("Linked", RESUMED, 1_000),
    ("Linked, ping is due", RESUMED, 21_000),
    ("Linked, its session ends", RESUMED, 101_000),
    ("Rechecking", &["text, a session", "found", "found", "tick at its end"], 101_000),
    ("Failing", &["text, anything"], 1_000),
    ("Closed", &["closed"], 1_000),
];

fn feed(
    mut connection: CompanionConnection,
    at: u64,
    input: Input<'_>,
) -> (CompanionConnection, Vec<String>) {
    let mut scratch = [0; COMPANION_SCRATCH];
    let effects = connection.step(Instant::from_millis(at), input, &mut scratch);
    let words = |effect: &Effect<'_>| match effect {
        Effect::Redeem(verified) => {
            format!("Redeem a code for {}", verified.claims().profile.as_str())
        }
        Effect::Request(CompanionRequest::Resume(_)) => "Resume".to_owned(),
        Effect::Request(request) => format!("{request:?}"),
        other => format!("{other:?}"),
    };
    (connection, effects.iter().map(words).collect())
}

fn reach(given: &Given, path: &[&str]) -> CompanionConnection {
    let start = CompanionConnection::accepted(Instant::from_millis(0), Limits::DEFAULT);
    path.iter().fold(start, |connection, wanted| match *wanted {
        "tick at its end" => feed(connection, 101_000, Input::Tick).0,
        _ => {
            let (_, make) = INPUTS.iter().find(|(name, _)| name == wanted).expect("a known input");
            feed(connection, 1_000, make(given)).0
        }
    })
}

#[test]
fn a_companions_connection_does_in_every_state_what_its_table_says() {
    let given = Given::new();
    let mut table = Table::about("flow::setup_code::gateway::Connection");
    for (state, path, at) in STATES {
        let before = reach(&given, path);
        assert_eq!(Some(before.state_name()), state.split(',').next());
        table.state(&format!("{state}{}", deadline(before.deadline())));
        let unchanged = format!("{before:?}");
        for (name, make) in INPUTS {
            let (after, effects) = feed(reach(&given, path), *at, make(&given));
            if effects.is_empty() && format!("{after:?}") == unchanged {
                table.ignored(name);
            } else {
                table.row(
                    name,
                    &format!("{}{}", after.state_name(), deadline(after.deadline())),
                    &effects,
                );
            }
        }
    }
    table.check("companion_connection.txt");
}

#[test]
fn a_companion_does_in_every_state_what_its_table_says() {
    type Make = fn() -> companion::Input<'static>;
    const OPENED: &str = r#"{"session_token":"HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}"#;
    let inputs: [(&str, Make, u64); 9] = [
        ("text, a session", || companion::Input::Text(OPENED), 1_000),
        (
            "text, a session that is none",
            || companion::Input::Text(r#"{"session_token":"short"}"#),
            1_000,
        ),
        ("text, an error", || companion::Input::Text(r#"{"error":"already used"}"#), 1_000),
        (
            "text, both",
            || companion::Input::Text(r#"{"error":"expired","session_token":"x"}"#),
            1_000,
        ),
        ("text, anything", || companion::Input::Text("anything"), 1_000),
        ("binary", || companion::Input::Binary, 1_000),
        ("tick", || companion::Input::Tick, 9_999),
        ("tick, time is up", || companion::Input::Tick, 10_000),
        ("closed", || companion::Input::Closed, 1_000),
    ];
    let begin = || {
        Companion::begin(Instant::from_millis(0), "a.b", &mut [0; 64])
            .map(|(machine, _)| machine)
            .unwrap()
    };
    let step = |mut machine: Companion, at: u64, input| {
        let mut scratch = [0; 256];
        let effects = machine.step(Instant::from_millis(at), input, &mut scratch);
        let effects: Vec<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
        (machine, effects)
    };
    let mut table = Table::about("flow::setup_code::companion::Companion");
    for is_done in [false, true] {
        let reach = || if is_done { step(begin(), 1, companion::Input::Closed).0 } else { begin() };
        table.state(&format!(
            "{}{}",
            if is_done { "Done" } else { "Waiting" },
            deadline(reach().deadline())
        ));
        for (name, make, at) in inputs {
            let (next, effects) = step(reach(), at, make());
            if effects.is_empty() && format!("{next:?}") == format!("{:?}", reach()) {
                table.ignored(name);
            } else {
                table.row(name, if next.is_closed() { "Done" } else { "Waiting" }, &effects);
            }
        }
    }
    table.check("companion.txt");
}
