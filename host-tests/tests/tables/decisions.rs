use std::net::{IpAddr, Ipv4Addr};

use handfast_core::flow::registration::operator::{Approval, Effect, Input, Purpose};
use handfast_core::grant::token::{Hashed, TokenHash};
use handfast_core::registry::delivery::{Before, DeliveryId, Ticket, Undelivered};
use handfast_core::registry::lifecycle::{Decision, NewToken, decide};
use handfast_core::registry::record::{
    AskMethod, Asked, Cause, Credential, Mode, Record, Standing,
};
use handfast_core::wire::token::Token;
use handfast_core::{Effects, Entropy, Instant, Label, Machine, NodeId, Refusal, UnixTime};

use super::Table;

const NOW: UnixTime = UnixTime::from_secs(1_000);

fn hash(byte: u8) -> TokenHash {
    TokenHash::from_bytes([byte; 32])
}

fn ticket(byte: u8) -> Ticket {
    Ticket { id: DeliveryId::from_bytes([byte; 16]), until: UnixTime::from_secs(1_060) }
}

fn new() -> NewToken {
    NewToken { hash: hash(2), ticket: ticket(2) }
}

fn standings() -> [(&'static str, Standing); 15] {
    let token = || Credential::Token(hash(1));
    let on_its_way = |before, until| {
        let ticket = Ticket { until: UnixTime::from_secs(until), ..ticket(3) };
        Standing::Paired {
            credential: Credential::Undelivered(Undelivered { token: hash(3), ticket, before }),
            mode: Mode::Full,
        }
    };
    let pending = |secs| Standing::Pending { expires: UnixTime::from_secs(secs) };
    [
        ("Pending", pending(1_001)),
        ("Pending, ran out", pending(1_000)),
        ("Unapproved", Standing::Unapproved { token: hash(1) }),
        ("Paired, full", Standing::Paired { credential: token(), mode: Mode::Full }),
        ("Paired, safe-chat", Standing::Paired { credential: token(), mode: Mode::SafeChat }),
        ("Muted, was full", Standing::Muted { credential: token(), restore: Mode::Full }),
        ("Muted, was safe-chat", Standing::Muted { credential: token(), restore: Mode::SafeChat }),
        (
            "Paired, token on its way",
            on_its_way(Before::Pending { expires: UnixTime::from_secs(9_000) }, 1_060),
        ),
        ("Paired, another token on its way", on_its_way(Before::Token(hash(1)), 1_060)),
        ("Paired, another token not delivered", on_its_way(Before::Token(hash(1)), 1_000)),
        ("Paired by keys", Standing::Paired { credential: Credential::Keys, mode: Mode::Full }),
        (
            "Muted, paired by keys",
            Standing::Muted { credential: Credential::Keys, restore: Mode::Full },
        ),
        ("Revoked, rejected", Standing::Revoked { cause: Cause::Rejected }),
        ("Revoked, barred", Standing::Revoked { cause: Cause::Barred }),
        ("Revoked, unpaired", Standing::Revoked { cause: Cause::Unpaired }),
    ]
}

/// Describes a standing in words; the token's hash shows whether it is still the same.
fn words(standing: &Standing) -> String {
    let mut token =
        standing.token().map_or("", |t| if *t == hash(1) { ", same token" } else { ", new token" });
    if let Standing::Paired { credential: Credential::Keys, .. }
    | Standing::Muted { credential: Credential::Keys, .. } = standing
    {
        token = ", by keys";
    }
    let on_its_way = standing.undelivered().map(|undelivered| match undelivered.before {
        Before::Pending { .. } => ", on its way, else Pending",
        Before::Unapproved { .. } => ", on its way, else Unapproved",
        Before::Token(_) => ", on its way, the older works",
    });
    let token = format!("{token}{}", on_its_way.unwrap_or_default());
    match standing {
        Standing::Pending { .. } => "Pending".to_owned(),
        Standing::Unapproved { .. } => format!("Unapproved{token}"),
        Standing::Paired { mode, .. } => format!("Paired, {}{token}", mode.as_str()),
        Standing::Muted { restore, .. } => format!("Muted, was {}{token}", restore.as_str()),
        Standing::Revoked { cause } => format!("Revoked, {}", cause.as_str()),
    }
}

#[test]
fn the_operators_decisions_lead_where_the_table_says() {
    let mut table = Table::about("registry::lifecycle::decide");
    let decisions = [
        ("approve", Decision::Approve(Credential::Token(hash(2)))),
        ("approve by keys", Decision::Approve(Credential::Keys)),
        ("issue", Decision::Issue(new())),
        ("reissue", Decision::Reissue(new())),
        ("reject", Decision::Reject),
        ("bar", Decision::Bar),
        ("mute", Decision::Mute),
        ("unmute", Decision::Unmute),
        ("set mode full", Decision::SetMode(Mode::Full)),
        ("set mode safe-chat", Decision::SetMode(Mode::SafeChat)),
        ("unpair", Decision::Unpair),
    ];
    for (name, standing) in standings() {
        table.state(name);
        for (decision_name, decision) in &decisions {
            match decide(&standing, decision.clone(), NOW) {
                Ok(change) => {
                    let notice: Vec<String> =
                        change.notice.iter().map(|notice| format!("push {notice:?}")).collect();
                    table.row(decision_name, &words(&change.standing), &notice);
                }
                Err(refusal) => table.row(decision_name, &format!("refused: {refusal:?}"), &[]),
            }
        }
    }
    table.check("lifecycle.txt");
}

fn record(standing: Standing) -> Record {
    Record {
        node_id: NodeId::from_bytes([7; 16]),
        name: Label::UNKNOWN.into(),
        room: Label::UNKNOWN.into(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        keys: None,
        asked_at: UnixTime::from_secs(0),
        asked: Asked::by(AskMethod::Token),
        standing,
    }
}

type Make = fn() -> Input;

const INPUTS: &[(&str, Make)] = &[
    ("drawn", || Input::Drawn(Entropy::from_recorded([1; 32]))),
    ("drawn with a dash in front", || Input::Drawn(Entropy::from_recorded([0b1111_1000; 32]))),
    ("hashed", || {
        let token = Token::parse("HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ").unwrap();
        Input::Hashed(Hashed { token, hash: hash(2) })
    }),
    ("saved", || Input::Saved(Ok(()))),
    ("not saved", || Input::Saved(Err(Refusal::StoreFailed))),
];

const STATES: &[(&str, &[&str])] = &[
    ("Drawing", &[]),
    ("Hashing", &["drawn"]),
    ("Saving", &["drawn", "hashed"]),
    ("Done, revealed", &["drawn", "hashed", "saved"]),
    ("Done, nothing saved", &["drawn", "hashed", "not saved"]),
];

fn feed(mut approval: Approval, input: Input) -> (Approval, Effects<Effect>) {
    let effects = approval.step(Instant::from_millis(0), input, &mut []);
    (approval, effects)
}

fn reach(path: &[&str]) -> Approval {
    let pending = record(Standing::Pending { expires: UnixTime::from_secs(1_001) });
    let (start, _) =
        Approval::begin(&pending, Purpose::Approve, ticket(2), NOW).expect("it can be approved");
    path.iter().fold(start, |approval, wanted| {
        let (_, make) = INPUTS.iter().find(|(name, _)| name == wanted).expect("a known input");
        feed(approval, make()).0
    })
}

#[test]
fn an_approval_reveals_a_token_only_where_its_table_says() {
    let mut table = Table::about("flow::registration::operator::Approval");
    for (name, standing) in standings() {
        table.state(&format!("begin, {name}"));
        for purpose in [Purpose::Approve, Purpose::Reissue] {
            match Approval::begin(&record(standing.clone()), purpose, ticket(2), NOW) {
                Ok((_, effects)) => {
                    let effects: Vec<String> =
                        effects.iter().map(|effect| format!("{effect:?}")).collect();
                    table.row(&format!("{purpose:?}"), "Drawing", &effects);
                }
                Err(refusal) => {
                    table.row(&format!("{purpose:?}"), &format!("refused: {refusal:?}"), &[]);
                }
            }
        }
    }
    for (name, path) in STATES {
        table.state(name);
        let unchanged = format!("{:?}", reach(path));
        for (input, make) in INPUTS {
            let (after, effects) = feed(reach(path), make());
            let effects: Vec<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
            if effects.is_empty() && format!("{after:?}") == unchanged {
                table.ignored(input);
            } else {
                let state = format!("{after:?}");
                let state =
                    state.rsplit("state: ").next().unwrap_or_default().trim_end_matches(" }");
                table.row(input, state.split(' ').next().unwrap_or_default(), &effects);
            }
        }
    }
    table.check("approval.txt");
}
