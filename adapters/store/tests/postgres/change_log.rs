//! The log of changes that other gateways must hear of.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::limits::Limits;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span};
use handfast_store::conformance::{
    START, asking, at, grant, keyed, keys, record, session, setup_code,
};
use handfast_store::{
    Capability, Change, ChangeKind, ChangePlace, DispatchTask, Dispatches, InPlace, PostgresStore,
    Replaced, Replacements, SenderChange, Sessions, Store, Version, Yield,
};
use handfast_store::{Inbound, Revoked, Shared};
use tokio::task::JoinSet;

use crate::shared;

fn two() -> ([Arc<PostgresStore>; 2], String) {
    let name = shared().create();
    let open = |gateway| {
        let address = shared().address(&name).with_gateway(gateway).unwrap();
        Arc::new(PostgresStore::open(&address).unwrap())
    };
    ([open("north"), open("south")], name)
}

async fn read(store: &PostgresStore, after: ChangePlace) -> Vec<Change> {
    store.changes(after, 1000).await.unwrap().expect("nothing was removed")
}

/// Reads until there are so many changes. The other tests have transactions open in databases of the
/// same server, which hold a reader back.
async fn read_so_many(store: &PostgresStore, after: ChangePlace, number: usize) -> Vec<Change> {
    for _ in 0..2000 {
        let changes = read(store, after).await;
        if changes.len() >= number {
            return changes;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{number} changes do not become visible");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_hears_of_what_it_may_remember_and_of_what_its_operators_see() {
    let ([north, south], _) = two();
    let before = south.last_change().await.unwrap();
    let limits = Limits::DEFAULT;
    let asks = asking("lamp", "192.0.2.1", &limits);
    let waits = north.admit(asks, "{}".to_owned(), limits, START).await.unwrap().unwrap();
    // Strangers may make many, of which one is told in a second.
    for number in 2..=9 {
        let asks = asking(&format!("lamp {number}"), &format!("192.0.2.{number}"), &limits);
        north.admit(asks, "{}".to_owned(), limits, START).await.unwrap().unwrap();
    }

    let node = keyed();
    north.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    let out = Standing::Revoked { cause: Cause::Unpaired };
    north.save(node.node_id, Version(1), out.clone(), START).await.unwrap();
    north.save(waits, Version(1), out, START).await.unwrap();
    let opened = session();
    north.redeem(setup_code(60), Yield::Session(opened.clone()), START).await.unwrap().unwrap();
    north.revoke_session(opened.id, START).await.unwrap();
    let blocked = SenderChange::Block;
    north.change_sender("telegram", Some("home"), "ana", blocked, START).await.unwrap();
    north.revoke(Revoked::Key(node.keys.unwrap().channel), START).await.unwrap();

    let changes = read_so_many(&south, before, 7).await;
    let told: Vec<_> = changes.iter().map(|it| (it.kind, it.node, it.version)).collect();
    let node = |id: NodeId, version| (ChangeKind::Node, Some(id), Some(Version(version)));
    let all = |kind| (kind, None, None);
    assert_eq!(
        told,
        [
            // Nothing rests on a request that waits, so it has no name here.
            all(ChangeKind::Request),
            node(changes[1].node.unwrap(), 1),
            node(changes[1].node.unwrap(), 2),
            node(waits, 2),
            all(ChangeKind::Session),
            all(ChangeKind::Sender),
            all(ChangeKind::Revocation),
        ]
    );
    assert!(changes.iter().all(|change| change.gateway == "north"));
    // From any place on, exactly the rest is read.
    for (number, change) in changes.iter().enumerate() {
        assert_eq!(read(&south, change.place).await, changes[number + 1..]);
        assert_eq!(
            south.changes(change.place, 1).await.unwrap().unwrap().len(),
            usize::from(number < 6)
        );
    }
    assert_eq!(read(&south, south.last_change().await.unwrap()).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_hears_of_a_node_that_takes_the_place_of_another() {
    let ([north, south], _) = two();
    let (old, new) = (keyed(), Record { keys: Some(keys()), ..record(pending()) });
    for node in [&old, &new] {
        north.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    let (name, version) = ("echo".to_owned(), "1".to_owned());
    let capability = Capability { name, version, available: true, idempotent: false };
    assert!(north.announce(old.node_id, capability).await.unwrap());
    let task = DispatchTask {
        id: DispatchId::from_bytes([7; 16]),
        node_id: old.node_id,
        capability: "echo".to_owned(),
        input: b"{}".to_vec(),
        max_payload: 200,
        maker: Maker::Operator,
    };
    north.enqueue(task, Span::from_secs(60), START).await.unwrap().unwrap();

    let before = south.last_change().await.unwrap();
    let offered = grant(new.node_id);
    let (scopes, maker) = (offered.scopes.clone(), Maker::Operator);
    let standing = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
    let out = Standing::Revoked { cause: Cause::Unpaired };
    let in_place = InPlace {
        record: Record { standing, ..new.clone() },
        profile: "{}".to_owned(),
        read_at: Version(1),
        grant: offered,
        ceiling: Ceiling { scopes, expires: None, named: true, maker },
        replaced: Replaced { node_id: old.node_id, version: Version(1), standing: out },
    };
    north.offer_in_place(in_place, START).await.unwrap();
    // At most three of them are older, and those of the replacement become visible together.
    let changes = read_so_many(&south, before, 4).await;
    let mut told: Vec<_> = changes.iter().filter_map(|it| Some((it.kind, it.node?))).collect();
    told.dedup();
    assert_eq!(
        told[told.len() - 3..],
        [
            (ChangeKind::Node, old.node_id),
            (ChangeKind::Node, new.node_id),
            (ChangeKind::Grant, new.node_id),
        ]
    );
    // Its task has ended with it, and is read from the registry.
    assert_eq!(south.dispatches_of(new.node_id, 9).await.unwrap().len(), 1);
    assert_eq!(south.open_dispatches(new.node_id).await.unwrap(), []);
}

fn pending() -> Standing {
    Standing::Pending { expires: at(600) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_committed_late_is_never_passed_over() {
    let ([north, south], name) = two();
    let before = south.last_change().await.unwrap();
    // Somebody changes a row by hand, without the write lock, and takes time over it.
    let mut psql = shared().psql(&name);
    let mut late = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut orders = late.stdin.take().unwrap();
    let sql = "SET search_path = handfast; BEGIN; INSERT INTO sender_blocked VALUES ('telegram', 'home', 'late', 1);";
    writeln!(orders, "{sql}\n\\echo begun").unwrap();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(late.stdout.take().unwrap()),
        &mut String::new(),
    )
    .unwrap();
    let insert = async |store: &PostgresStore| {
        let entry = record(Standing::Revoked { cause: Cause::Unpaired });
        store.insert(entry, "{}".to_owned(), START).await.unwrap();
    };
    insert(&north).await;
    // The later one is committed, and is not read before the earlier one is.
    assert_eq!(read(&south, before).await, []);
    writeln!(orders, "COMMIT;").unwrap();
    drop(orders);
    assert!(late.wait().unwrap().success());
    let changes = read_so_many(&south, before, 2).await;
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Sender, ChangeKind::Node]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_busy_gateways_reads_everything_exactly_once() {
    let (gateways, _) = two();
    let mut place = gateways[0].last_change().await.unwrap();
    let mut writing = JoinSet::new();
    for number in 0..8 {
        let gateway = Arc::clone(&gateways[number % 2]);
        writing.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..25 {
                let entry = record(Standing::Revoked { cause: Cause::Unpaired });
                ids.push(entry.node_id);
                gateway.insert(entry, "{}".to_owned(), START).await.unwrap();
            }
            ids
        });
    }
    let mut heard = Vec::new();
    while heard.len() < 200 {
        for change in gateways[1].changes(place, 7).await.unwrap().unwrap() {
            assert!(change.place > place);
            place = change.place;
            heard.push(change.node.unwrap());
        }
    }
    let mut made = writing.join_all().await.concat();
    made.sort_unstable();
    heard.sort_unstable();
    assert_eq!(heard, made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_further_behind_than_the_log_has_to_read_everything_anew() {
    let ([north, south], name) = two();
    let before = south.last_change().await.unwrap();
    for _ in 0..6 {
        let entry = record(Standing::Revoked { cause: Cause::Unpaired });
        north.insert(entry, "{}".to_owned(), START).await.unwrap();
    }
    let changes = read_so_many(&south, before, 6).await;
    assert_eq!(north.prune_changes(100).await.unwrap(), 0, "none is a day old");
    let old = "UPDATE handfast.change SET made_at = now() - interval '25 hours' WHERE seq <= 4";
    shared().sql(&name, old);
    assert_eq!(north.prune_changes(3).await.unwrap(), 3);
    assert_eq!(south.changes(before, 10).await.unwrap(), None);
    assert_eq!(south.changes(changes[1].place, 10).await.unwrap(), None);
    // Who has read up to the last removed one has missed nothing.
    assert_eq!(read(&south, changes[2].place).await, changes[3..]);
}

#[test]
fn a_gateways_name_is_plain() {
    let address = || shared().address("postgres");
    for name in ["", "o'brien", "north south", &"n".repeat(65)] {
        let refused = address().with_gateway(name).unwrap_err().to_string();
        assert!(refused.contains("is no name of a gateway"), "{refused}");
    }
    address().with_gateway("north-1.example_2").unwrap();
}
