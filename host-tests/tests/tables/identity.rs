//! Tables of the identity flow's decisions: the life of a certificate, the allow-list, and the
//! clone counter.

use handfast_core::flow::identity::certificate::{
    Certificate, CertificateState, NodeStanding, allow,
};
use handfast_core::flow::identity::clone_counter::{CloneCondition, CloneCounter, Shown};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::{NodeId, UnixTime};

use super::Table;

const NOW: UnixTime = UnixTime::from_secs(100_000);

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

const STATES: [CertificateState; 4] = [
    CertificateState::Issued,
    CertificateState::Delivered,
    CertificateState::Superseded,
    CertificateState::Revoked,
];

fn certificate(number: u64, node: u8, state: CertificateState) -> Certificate {
    let mut serial = [0x40 + node; 20];
    serial[19] = number.to_le_bytes()[0];
    Certificate {
        serial: Serial::from_bytes(&serial).expect("a serial number"),
        node_id: NodeId::from_bytes([node; 16]),
        number,
        key: KeyHash::from_bytes([1; 32]),
        epoch: 1,
        not_before: at(99_000),
        not_after: at(101_000),
        state,
    }
}

#[test]
fn a_certificate_moves_as_the_table_says() {
    let mut table = Table::about("flow::identity::certificate: the life of a certificate");
    for state in STATES {
        let own = certificate(2, 1, state);
        table.state(&format!("{state:?}"));
        let delivered = if state.may_be_delivered() { "delivered" } else { "refused" };
        table.row("the node fetches it", delivered, &[]);
        let used = |number, node| certificate(number, node, CertificateState::Delivered);
        for (name, next) in [
            ("confirmed", state.confirmed()),
            ("used", own.after_use_of(&own)),
            ("a newer one used", own.after_use_of(&used(3, 1))),
            ("an older one used", own.after_use_of(&used(1, 1))),
            ("another node's used", own.after_use_of(&used(3, 2))),
            ("revoked", state.revoked()),
        ] {
            if next == state {
                table.ignored(name);
            } else {
                table.row(name, &format!("{next:?}"), &[]);
            }
        }
    }
    table.check("certificate.txt");
}

#[test]
fn a_presented_certificate_is_allowed_or_not_as_the_table_says() {
    let standing = |epoch, may_link| Some(NodeStanding { epoch, may_link });
    let nodes = [
        ("node unknown", None),
        ("node revoked", standing(1, false)),
        ("node revoked and evicted", standing(2, false)),
        ("node evicted", standing(2, true)),
        ("node paired", standing(1, true)),
    ];
    let times = [
        ("a second too early", at(98_999)),
        ("at its first second", at(99_000)),
        ("at its last second", at(101_000)),
        ("a second too late", at(101_001)),
    ];
    let mut table = Table::about("flow::identity::certificate::allow");
    for state in STATES.map(Some).into_iter().chain([None]) {
        for (key_name, key) in [("its key", [1; 32]), ("another key", [2; 32])] {
            let entry = state.map(|state| certificate(2, 1, state));
            let name = state.map_or("not in the list".to_owned(), |state| format!("{state:?}"));
            table.state(&format!("{name}, with {key_name}"));
            for (node_name, node) in nodes {
                for (time_name, now) in times {
                    let verdict = allow(entry.as_ref(), &KeyHash::from_bytes(key), node, now);
                    let words = verdict.map_or_else(|why| format!("{why:?}"), |_| "allowed".into());
                    table.row(&format!("{node_name}, {time_name}"), &words, &[]);
                }
            }
        }
    }
    table.check("allow_list.txt");
}

fn words(counter: &CloneCounter) -> String {
    let value = |of: Option<u64>| of.map_or("none".to_owned(), |value| value.to_string());
    format!(
        "{:?}, confirmed {}, offered {}",
        counter.condition,
        value(counter.confirmed),
        value(counter.offered)
    )
}

#[test]
fn a_clone_counter_moves_as_the_table_says() {
    let long_ago = Some(at(1_000));
    let known = |condition, offered, confirmed_at, offered_at| CloneCounter {
        confirmed: Some(5),
        confirmed_at,
        offered,
        offered_at,
        condition,
    };
    let normal = |offered, offered_at| known(CloneCondition::Normal, offered, long_ago, offered_at);
    let just_now = Some(at(NOW.as_secs() - 5));
    let counters = [
        ("new", CloneCounter::default()),
        (
            "first value offered",
            CloneCounter { offered: Some(1), offered_at: long_ago, ..CloneCounter::default() },
        ),
        ("5 confirmed long ago", normal(None, long_ago)),
        ("5 confirmed, made lately", normal(None, just_now)),
        ("5 confirmed, 6 offered", normal(Some(6), long_ago)),
        ("5 confirmed, 8 offered", normal(Some(8), long_ago)),
        ("5 confirmed just now", known(CloneCondition::Normal, None, just_now, just_now)),
        ("quarantined", known(CloneCondition::Quarantined, None, long_ago, long_ago)),
        ("quarantined, 6 offered", known(CloneCondition::Quarantined, Some(6), long_ago, long_ago)),
        ("released, 7 offered", known(CloneCondition::Released, Some(7), long_ago, long_ago)),
    ];
    let mut table = Table::about("flow::identity::clone_counter::CloneCounter");
    for (name, counter) in counters {
        table.state(&format!("{name}: {}", words(&counter)));
        for shown in [
            Shown::Nothing,
            Shown::Foreign,
            Shown::Value(1),
            Shown::Value(4),
            Shown::Value(5),
            Shown::Value(6),
            Shown::Value(7),
            Shown::Value(9),
        ] {
            let (next, verdict) = counter.linked(shown, NOW);
            let said = [
                verdict.offer.map(|value| format!("offer {value}")),
                verdict.alarm.then(|| "alarm".to_owned()),
                verdict.quarantined.then(|| "quarantined".to_owned()),
                verdict.gateway_is_older.then(|| "the gateway is older".to_owned()),
                verdict.overtaken.then(|| "overtaken".to_owned()),
            ];
            let said = said.into_iter().flatten().collect::<Vec<_>>().join(", ");
            let said = if said.is_empty() { Vec::new() } else { vec![said] };
            table.row(&format!("links, shows {shown:?}"), &words(&next), &said);
        }
        for (name, next) in [
            ("stored 5", counter.stored(5, NOW)),
            ("stored 6", counter.stored(6, NOW)),
            ("stored 7", counter.stored(7, NOW)),
            ("release", counter.release(NOW)),
            ("paired anew", counter.paired_anew(NOW)),
        ] {
            if next == counter {
                table.ignored(name);
            } else {
                table.row(name, &words(&next), &[]);
            }
        }
    }
    table.check("clone_counter.txt");
}
