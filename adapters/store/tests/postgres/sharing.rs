//! What gateways share: leases, claims of links, and hints.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use handfast_core::NodeId;
use handfast_core::registry::record::{Cause, Standing};
use handfast_store::conformance::{START, keyed, record};
use handfast_store::{
    Beat, ChangeKind, Inbound, LEASE, LinkClaim, PostgresStore, SenderChange, Shared, Store,
    Timekeeping, Version,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::shared;

pub(crate) fn open(name: &str, gateway: &str) -> Arc<PostgresStore> {
    let address = shared().address(name).with_gateway(gateway).unwrap();
    Arc::new(PostgresStore::open(&address).unwrap())
}

pub(crate) fn two() -> ([Arc<PostgresStore>; 2], String) {
    let name = shared().create();
    (["north", "south"].map(|gateway| open(&name, gateway)), name)
}

async fn insert(store: &PostgresStore) -> NodeId {
    let entry = record(Standing::Revoked { cause: Cause::Unpaired });
    let id = entry.node_id;
    store.insert(entry, "{}".to_owned(), START).await.unwrap();
    id
}

fn link(node_id: NodeId, number: u64) -> LinkClaim {
    LinkClaim { node_id, number }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beat_tells_each_gateway_of_all_others_by_the_databases_clock() {
    let ([north, south], name) = two();
    let told = Beat {
        program: "0.1.0".to_owned(),
        address: Some("https://north.example".to_owned()),
        links: 3000,
        behind: Duration::from_millis(40),
    };
    let alone = north.beat(told.clone()).await.unwrap();
    assert_eq!(alone.gateways.len(), 1);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert!(now.abs_diff(alone.time) < Duration::from_secs(30));

    let both = south.beat(Beat::default()).await.unwrap().gateways;
    let names: Vec<_> = both.iter().map(|it| (it.name.as_str(), it.is_present)).collect();
    assert_eq!(names, [("north", true), ("south", true)]);
    assert_eq!(both[0].told, told);
    assert!(both.iter().all(|it| it.silent < Duration::from_secs(5)));

    // One that is silent for as long as its lease is no longer there, and after a day is forgotten.
    let later = |by: &str| {
        let sql = format!(
            "UPDATE handfast.gateway SET beat_at = beat_at - interval '{by}', lease_until = lease_until - interval '{by}' WHERE name = 'north'"
        );
        shared().sql(&name, &sql)
    };
    later(&format!("{} seconds", LEASE.as_secs() + 1));
    let gone = south.beat(Beat::default()).await.unwrap().gateways;
    assert!(!gone[0].is_present && gone[0].silent > LEASE, "{gone:?}");
    // Nor is one whose lease was written before the database's clock was set back.
    later("-2 hours");
    assert!(!south.beat(Beat::default()).await.unwrap().gateways[0].is_present);
    later("2 hours 1 day");
    assert_eq!(south.beat(Beat::default()).await.unwrap().gateways.len(), 1);
    // It is back with its next beat.
    assert_eq!(north.beat(told).await.unwrap().gateways.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_claim_of_a_link_holds_and_only_it_can_be_released() {
    let ([north, south], _) = two();
    let node = keyed().node_id;
    let before = south.last_change().await.unwrap();
    north.beat(Beat::default()).await.unwrap();
    south.beat(Beat::default()).await.unwrap();
    assert_eq!(south.link_at(node).await.unwrap(), None);

    north.claim_links(vec![link(node, 7)]).await.unwrap();
    assert_eq!(south.link_at(node).await.unwrap().as_deref(), Some("north"));
    // An older link of the same gateway changes nothing, and one of another takes it over.
    north.claim_links(vec![link(node, 6)]).await.unwrap();
    south.claim_links(vec![link(node, 1)]).await.unwrap();
    assert_eq!(north.link_at(node).await.unwrap().as_deref(), Some("south"));
    // What is no longer held cannot be given up.
    north.release_links(vec![link(node, 7)]).await.unwrap();
    south.release_links(vec![link(node, 2)]).await.unwrap();
    assert_eq!(north.link_at(node).await.unwrap().as_deref(), Some("south"));

    let changes = read_so_many(&south, before, 2).await;
    let told: Vec<_> =
        changes.iter().map(|it| (it.kind, it.node, it.gateway.as_str(), it.version)).collect();
    let claim = |gateway, number| (ChangeKind::Link, Some(node), gateway, Some(Version(number)));
    assert_eq!(told, [claim("north", 7), claim("south", 1)]);

    south.release_links(vec![link(node, 1)]).await.unwrap();
    assert_eq!(north.link_at(node).await.unwrap(), None);
}

async fn read_so_many(
    store: &PostgresStore,
    after: handfast_store::ChangePlace,
    number: usize,
) -> Vec<handfast_store::Change> {
    for _ in 0..2000 {
        let changes = store.changes(after, 10_000).await.unwrap().unwrap();
        if changes.len() >= number {
            return changes;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{number} changes do not become visible");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_counts_for_as_long_as_its_gateways_lease() {
    let ([north, south], name) = two();
    let node = keyed().node_id;
    north.claim_links(vec![link(node, 1)]).await.unwrap();
    assert_eq!(south.link_at(node).await.unwrap(), None, "it has never beaten");
    north.beat(Beat::default()).await.unwrap();
    assert_eq!(south.link_at(node).await.unwrap().as_deref(), Some("north"));
    let sql = "UPDATE handfast.gateway SET lease_until = clock_timestamp()";
    shared().sql(&name, sql);
    assert_eq!(south.link_at(node).await.unwrap(), None);
    north.beat(Beat::default()).await.unwrap();
    assert_eq!(south.link_at(node).await.unwrap().as_deref(), Some("north"));

    // A process that starts under the same name holds no link yet.
    drop(north);
    let again = open(&name, "north");
    again.begin_run().await.unwrap();
    again.beat(Beat::default()).await.unwrap();
    assert_eq!(south.link_at(node).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_links_are_claimed_and_released_at_once() {
    let ([north, south], _) = two();
    north.beat(Beat::default()).await.unwrap();
    let before = south.last_change().await.unwrap();
    let mut links: Vec<_> = (0..3000).map(|number| link(keyed().node_id, number)).collect();
    // One node twice: its later link counts.
    links.push(link(links[0].node_id, 5000));
    north.claim_links(links.clone()).await.unwrap();
    assert_eq!(read_so_many(&south, before, 3000).await.len(), 3000);
    assert_eq!(south.link_at(links[2999].node_id).await.unwrap().as_deref(), Some("north"));
    north.release_links(links.clone()).await.unwrap();
    for number in [0, 1, 2999] {
        assert_eq!(south.link_at(links[number].node_id).await.unwrap(), None);
    }
    north.claim_links(Vec::new()).await.unwrap();
    north.release_links(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_gateway_without_a_name_shares_nothing() {
    let store = Arc::new(PostgresStore::open(&shared().database()).unwrap());
    assert!(Store::shared(Arc::clone(&store)).is_none());
    let refused = store.beat(Beat::default()).await.unwrap_err().to_string();
    assert!(refused.contains("has no name"), "{refused}");
    let ([named, _], _) = two();
    assert_eq!(Store::shared(named).unwrap().gateway(), "north");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_its_own_gateway_and_the_others_and_what_concerns_nobody_does_not() {
    let ([north, south], _) = two();
    // Connecting wakes, because a hint may have been missed.
    for gateway in [&north, &south] {
        timeout(Duration::from_secs(5), gateway.hinted()).await.unwrap();
    }
    insert(&north).await;
    for gateway in [&north, &south] {
        timeout(Duration::from_secs(5), gateway.hinted()).await.expect("a hint");
    }
    // The mark of the time and a beat are read by nobody.
    south.raise_mark(START).await.unwrap();
    south.beat(Beat::default()).await.unwrap();
    for gateway in [&north, &south] {
        let heard = timeout(Duration::from_millis(300), gateway.hinted()).await;
        assert!(heard.is_err(), "{} was woken for nothing", gateway.gateway());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_about_senders_are_old_once_another_gateways_change_was_read() {
    let ([north, south], _) = two();
    let place = south.last_change().await.unwrap();
    let before = south.inbound_epoch();
    let block = SenderChange::Block;
    north.change_sender("telegram", Some("home"), "ana", block, START).await.unwrap();
    assert_eq!(south.inbound_epoch(), before);
    read_so_many(&south, place, 1).await;
    assert!(south.inbound_epoch() > before);
    // Its own were noted when they were made.
    let (place, before) = (north.last_change().await.unwrap(), north.inbound_epoch());
    north.changes(place, 10).await.unwrap().unwrap();
    assert_eq!(north.inbound_epoch(), before);
}

/// Cuts the connections that listen in a database, again and again.
async fn cut_hints(name: &str, until: &AtomicBool) -> u32 {
    let (name, mut cut) = (name.to_owned(), 0);
    while !until.load(Ordering::Relaxed) {
        let of = name.clone();
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{of}' AND query ~ '^(LISTEN|NOTIFY)'"
        );
        let done = tokio::task::spawn_blocking(move || shared().sql("postgres", &sql)).await;
        cut += done.unwrap().parse::<u32>().unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    cut
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_misses_nothing_where_hints_are_lost_and_repeated() {
    let ([north, south], name) = two();
    let mut place = south.last_change().await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let of = Arc::clone(&is_over);
    let cutting = tokio::spawn({
        let name = name.clone();
        async move { cut_hints(&name, &of).await }
    });
    // Somebody else sends hints that mean nothing.
    let repeated = shared()
        .psql(&name)
        .args(["-c", "NOTIFY handfast_change; NOTIFY handfast_change, 'x'"])
        .status();
    assert!(repeated.unwrap().success());

    let mut writing = JoinSet::new();
    for _ in 0..4 {
        let north = Arc::clone(&north);
        writing.spawn(async move {
            let mut made = Vec::new();
            for _ in 0..25 {
                made.push(insert(&north).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            made
        });
    }
    let (mut heard, mut reads) = (Vec::new(), 0);
    let begun = Instant::now();
    while heard.len() < 100 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} of 100 were heard of", heard.len());
        let _ = timeout(Duration::from_secs(1), south.hinted()).await;
        reads += 1;
        for change in south.changes(place, 30).await.unwrap().unwrap() {
            assert!(change.place > place);
            place = change.place;
            heard.push(change.node.unwrap());
        }
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(cutting.await.unwrap() > 0, "nothing was ever cut");
    let made: BTreeSet<_> = writing.join_all().await.concat().into_iter().collect();
    assert_eq!(heard.len(), made.len());
    assert_eq!(heard.into_iter().collect::<BTreeSet<_>>(), made);
    assert!(reads < 1000, "a reader is woken {reads} times for 100 changes");

    // Left alone, hints arrive again.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    while timeout(Duration::from_millis(100), south.hinted()).await.is_ok() {}
    insert(&north).await;
    timeout(Duration::from_millis(900), south.hinted()).await.expect("a hint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_held_back_is_looked_for_again_without_a_hint() {
    let ([north, south], name) = two();
    let before = south.last_change().await.unwrap();
    while timeout(Duration::from_millis(100), south.hinted()).await.is_ok() {}
    let open =
        crate::failures::Session::start(&name, "BEGIN; UPDATE handfast.time_kept SET mark = mark;");
    insert(&north).await;
    timeout(Duration::from_secs(1), south.hinted()).await.expect("a hint");
    assert_eq!(south.changes(before, 9).await.unwrap().unwrap(), []);
    drop(open);
    let begun = Instant::now();
    while south.changes(before, 9).await.unwrap().unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5), "it is not looked for");
        south.hinted().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_links_of_many_nodes_are_one_question() {
    let ([north, south], _) = two();
    let nodes: Vec<_> = (0..20).map(|_| keyed().node_id).collect();
    for (gateway, these) in [(&north, &nodes[..10]), (&south, &nodes[10..15])] {
        gateway.beat(Beat::default()).await.unwrap();
        gateway.claim_links(these.iter().map(|id| link(*id, 1)).collect()).await.unwrap();
    }
    let mut found = south.links_at(nodes.clone()).await.unwrap();
    found.sort_unstable();
    let mut expected: Vec<_> = (0..15)
        .map(|number| (nodes[number], if number < 10 { "north" } else { "south" }.to_owned()))
        .collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
