use std::net::{IpAddr, Ipv4Addr};

use handfast_core::flow::registration::gateway::{Effect, Input, Lookup, RegistrationConnection};
use handfast_core::grant::token::{Hashed, ProofKey, TokenHash};
use handfast_core::limits::{Limits, SCRATCH};
use handfast_core::link::gateway::{self as link, Link};
use handfast_core::link::keepalive::Keepalive;
use handfast_core::registry::delivery::{Before, DeliveryId, Ticket, Undelivered};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{
    AskMethod, Asked, Cause, Credential, Mode, Record, Standing,
};
use handfast_core::wire::token::Token;
use handfast_core::{Entropy, Instant, Label, Machine, NodeId, Refusal, UnixTime};

use super::{Table, deadline};

const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
const AUTH: &str = r#"{"type":"auth","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e","token":"HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}"#;
const NOW: Instant = Instant::from_millis(1_000);

/// Values from which inputs borrow.
struct Given {
    paired: Record,
    muted: Record,
    unapproved: Record,
    pending: Record,
    revoked: Record,
    reissued: Record,
    on_its_way: Record,
    replacing: Record,
    key: ProofKey,
}

impl Given {
    fn new() -> Self {
        let record = |standing| Record {
            node_id: NodeId::parse(ID).unwrap(),
            name: Label::parse("lamp").unwrap().into(),
            room: Label::parse("Küche").unwrap().into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            keys: None,
            asked_at: UnixTime::from_secs(0),
            asked: Asked::by(AskMethod::Token),
            standing,
        };
        let on_its_way = |byte, before| {
            let ticket =
                Ticket { id: DeliveryId::from_bytes([1; 16]), until: UnixTime::from_secs(60) };
            let undelivered = Undelivered { token: hash(byte), ticket, before };
            Standing::Paired { credential: Credential::Undelivered(undelivered), mode: Mode::Full }
        };
        Self {
            paired: record(Standing::Paired {
                credential: Credential::Token(hash(5)),
                mode: Mode::Full,
            }),
            muted: record(Standing::Muted {
                credential: Credential::Token(hash(5)),
                restore: Mode::Full,
            }),
            unapproved: record(Standing::Unapproved { token: hash(5) }),
            pending: record(Standing::Pending { expires: UnixTime::from_secs(9) }),
            revoked: record(Standing::Revoked { cause: Cause::Unpaired }),
            reissued: record(Standing::Paired {
                credential: Credential::Token(hash(6)),
                mode: Mode::Full,
            }),
            on_its_way: record(on_its_way(5, Before::Pending { expires: UnixTime::from_secs(9) })),
            replacing: record(on_its_way(6, Before::Token(hash(5)))),
            key: ProofKey::new(&Entropy::from_recorded([1; 32])),
        }
    }

    fn lookup<'g>(
        &'g self,
        record: Result<Option<&'g Record>, Refusal>,
        proven: bool,
    ) -> Input<'g> {
        let kept = proven.then(|| self.key.tag(NodeId::parse(ID).unwrap(), &hash(5), &token()));
        Input::Loaded(Lookup { record, kept, key: &self.key })
    }
}

fn hash(byte: u8) -> TokenHash {
    TokenHash::from_bytes([byte; 32])
}

fn token() -> Token {
    Token::parse(TOKEN).unwrap()
}

fn hashed(byte: u8) -> Input<'static> {
    Input::Hashed(Ok(Hashed { token: token(), hash: hash(byte) }))
}

type Make = for<'g> fn(&'g Given) -> Input<'g>;

const INPUTS: &[(&str, Make)] = &[
    ("text pair_request", |_| {
        Input::Text(r#"{"type":"pair_request","friendly_name":"lamp","room":"Küche"}"#)
    }),
    ("text auth", |_| Input::Text(AUTH)),
    ("text auth, unusable", |_| Input::Text(r#"{"type":"auth","node_id":"","token":""}"#)),
    ("text heartbeat", |_| {
        Input::Text(r#"{"type":"heartbeat","occupancy":true,"noise_level":0.5}"#)
    }),
    ("text heartbeat, wrong field", |_| Input::Text(r#"{"type":"heartbeat","occupancy":7}"#)),
    ("text of another type", |_| Input::Text(r#"{"type":"audio_start"}"#)),
    ("text without a type", |_| Input::Text("{}")),
    ("text that is no object", |_| Input::Text("[]")),
    ("text that is no JSON", |_| Input::Text("{")),
    ("text pair_request, bad name", |_| {
        Input::Text(r#"{"type":"pair_request","friendly_name":7}"#)
    }),
    ("binary", |_| Input::Binary(b"\x01")),
    ("pong", |_| Input::Pong),
    ("admitted", |_| Input::Admitted(Ok(NodeId::parse(ID).unwrap()))),
    ("not admitted, too many", |_| Input::Admitted(Err(Refusal::TooManyPending))),
    ("not admitted, store failed", |_| Input::Admitted(Err(Refusal::StoreFailed))),
    ("loaded paired, proven before", |g| g.lookup(Ok(Some(&g.paired)), true)),
    ("loaded paired", |g| g.lookup(Ok(Some(&g.paired)), false)),
    ("loaded muted", |g| g.lookup(Ok(Some(&g.muted)), false)),
    ("loaded pending", |g| g.lookup(Ok(Some(&g.pending)), false)),
    ("loaded reissued, proven before", |g| g.lookup(Ok(Some(&g.reissued)), true)),
    ("loaded revoked, proven before", |g| g.lookup(Ok(Some(&g.revoked)), true)),
    ("loaded on its way", |g| g.lookup(Ok(Some(&g.on_its_way)), false)),
    ("loaded on its way, the older proven before", |g| g.lookup(Ok(Some(&g.replacing)), true)),
    ("loaded on its way, the older counts", |g| g.lookup(Ok(Some(&g.replacing)), false)),
    ("loaded nothing", |g| g.lookup(Ok(None), false)),
    ("not loaded, store failed", |g| g.lookup(Err(Refusal::StoreFailed), false)),
    ("hashed right", |_| hashed(5)),
    ("hashed wrong", |_| hashed(7)),
    ("not hashed, too many", |_| Input::Hashed(Err(Refusal::RateLimited))),
    ("confirmed", |_| Input::Confirmed(Ok(()))),
    ("not confirmed, undone", |_| Input::Confirmed(Err(Refusal::InvalidCredentials))),
    ("not confirmed, store failed", |_| Input::Confirmed(Err(Refusal::StoreFailed))),
    ("attached on its way", |g| Input::Attached(Ok(Some(&g.on_its_way)))),
    ("attached paired", |g| Input::Attached(Ok(Some(&g.paired)))),
    ("attached muted", |g| Input::Attached(Ok(Some(&g.muted)))),
    ("attached unapproved", |g| Input::Attached(Ok(Some(&g.unapproved)))),
    ("attached pending", |g| Input::Attached(Ok(Some(&g.pending)))),
    ("attached revoked", |g| Input::Attached(Ok(Some(&g.revoked)))),
    ("attached reissued", |g| Input::Attached(Ok(Some(&g.reissued)))),
    ("attached nothing", |_| Input::Attached(Ok(None))),
    ("not attached, store failed", |_| Input::Attached(Err(Refusal::StoreFailed))),
    ("not attached, at capacity", |_| Input::Attached(Err(Refusal::AtCapacity))),
    ("push muted", |_| Input::Push(Notice::Muted)),
    ("push unpaired", |_| Input::Push(Notice::Unpaired)),
    ("push replaced", |_| Input::Push(Notice::Replaced)),
    ("tick", |_| Input::Tick),
    ("shutdown", |_| Input::Shutdown),
    ("evict", |_| Input::Evict),
    ("closed", |_| Input::Closed),
];

/// Inputs that lead to each state, and the time of the next input in milliseconds.
const STATES: &[(&str, &[&str], u64)] = &[
    ("AwaitFirst", &[], 1_000),
    ("AwaitFirst, time is up", &[], 10_000),
    ("Asking", &["text pair_request"], 1_000),
    ("Loading", &["text auth"], 1_000),
    ("Hashing, node is known", &["text auth", "loaded paired"], 1_000),
    ("Hashing, node is unknown", &["text auth", "loaded nothing"], 1_000),
    ("Hashing, the older counts", &["text auth", "loaded on its way, the older counts"], 1_000),
    ("Confirming", &["text auth", "loaded on its way", "hashed right"], 1_000),
    ("Attaching", &["text auth", "loaded paired", "hashed right"], 1_000),
    ("Linked", &["text auth", "loaded paired", "hashed right", "attached paired"], 1_000),
    (
        "Linked, ping is due",
        &["text auth", "loaded paired", "hashed right", "attached paired"],
        21_000,
    ),
    ("Closed", &["closed"], 1_000),
];

fn feed(
    mut connection: RegistrationConnection,
    at: Instant,
    input: Input<'_>,
) -> (RegistrationConnection, Vec<String>) {
    let mut scratch = [0; SCRATCH];
    let effects = connection.step(at, input, &mut scratch);
    let words = |effect: &Effect<'_>| match effect {
        Effect::Request(request) => format!("{request:?}"),
        other => format!("{other:?}"),
    };
    (connection, effects.iter().map(words).collect())
}

fn reach(given: &Given, path: &[&str]) -> RegistrationConnection {
    let start = RegistrationConnection::accepted(Instant::from_millis(0), Limits::DEFAULT);
    path.iter().fold(start, |connection, wanted| {
        let (_, make) = INPUTS.iter().find(|(name, _)| name == wanted).expect("a known input");
        feed(connection, NOW, make(given)).0
    })
}

#[test]
fn a_connection_does_in_every_state_what_its_table_says() {
    let given = Given::new();
    let mut table = Table::about("flow::registration::gateway::Connection");
    for (state, path, at) in STATES {
        let before = reach(&given, path);
        table.state(&format!("{state}{}", deadline(before.deadline())));
        let unchanged = format!("{before:?}");
        for (name, make) in INPUTS {
            let (after, effects) =
                feed(reach(&given, path), Instant::from_millis(*at), make(&given));
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
    table.check("connection.txt");
}

#[test]
fn a_decision_that_overtakes_the_record_on_its_way_still_keeps_the_node_out() {
    let given = Given::new();
    for push in ["push muted", "push unpaired", "push replaced"] {
        let path = ["text auth", "loaded paired", "hashed right", push, "attached paired"];
        assert_eq!(
            reach(&given, &path).linked(),
            None,
            "{push}, then a record that was read before"
        );
    }
}

#[test]
fn a_link_does_in_every_state_what_its_table_says() {
    let limits = Limits::DEFAULT;
    let node_id = NodeId::parse(ID).unwrap();
    let asked = Keepalive::Asked { answer_by: Instant::from_millis(41_000) };
    let states = [
        ("Open, quiet", Link::open(node_id, NOW, limits), 1_000),
        ("Open, ping is due", Link::open(node_id, NOW, limits), 21_000),
        ("Open, asked", Link::Open { node_id, keepalive: asked, limits }, 22_000),
        ("Open, answer is overdue", Link::Open { node_id, keepalive: asked, limits }, 41_000),
        ("Ended", Link::Ended, 1_000),
    ];
    type Make = fn() -> link::Input<'static>;
    let inputs: [(&str, Make); 12] = [
        ("text auth", || link::Input::Text(AUTH)),
        ("text heartbeat", || link::Input::Text(r#"{"type":"heartbeat","occupancy":true}"#)),
        ("text of another type", || link::Input::Text(r#"{"type":"audio_start"}"#)),
        ("text that is no JSON", || link::Input::Text("{")),
        ("binary", || link::Input::Binary(b"\x01")),
        ("pong", || link::Input::Pong),
        ("push muted", || link::Input::Push(Notice::Muted)),
        ("push unpaired", || link::Input::Push(Notice::Unpaired)),
        ("push replaced", || link::Input::Push(Notice::Replaced)),
        ("tick", || link::Input::Tick),
        ("shutdown", || link::Input::Shutdown),
        ("closed", || link::Input::Closed),
    ];
    let mut table = Table::about("link::gateway::Link and its Keepalive");
    for (name, before, at) in states {
        table.state(&format!("{name}{}", deadline(before.deadline())));
        for (input, make) in inputs {
            let mut scratch = [0; SCRATCH];
            let mut next = before;
            let effects = next.step(Instant::from_millis(at), make(), &mut scratch);
            let effects: Vec<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
            let after = if next == Link::Ended { "Ended" } else { "Open" };
            if effects.is_empty() && next == before {
                table.ignored(input);
            } else {
                table.row(input, &format!("{after}{}", deadline(next.deadline())), &effects);
            }
        }
    }
    table.check("link.txt");
}
