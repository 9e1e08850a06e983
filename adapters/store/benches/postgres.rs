//! Durable pairings per second in a file and in PostgreSQL, side by side in one run: with 64 nodes
//! at once, with one after the other, and over several gateways on one database. A pairing is two
//! changes: a request is admitted, and an operator approves it. Then what it costs gateways to share
//! a database, and what they ask of it while nothing happens. It prints times and asserts none.
//!
//! `cargo bench -p handfast-store --features postgres --bench postgres`; it starts a PostgreSQL of
//! its own in `/tmp`, and the file is in `$TMPDIR`: both must be on one disk for the numbers to mean
//! anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::NodeId;
use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_store::conformance::{PostgresServer, START, asking, keyed};
use handfast_store::{Beat, LinkClaim, PostgresStore, Shared, SqliteStore, Store, Version};
use tokio::task::JoinSet;

const LIMITS: Limits =
    Limits { pending_total: u32::MAX, pending_per_source: u32::MAX, ..Limits::DEFAULT };
const PROFILE: &str =
    r#"{"platform":"raspberry-pi-5","microphones":4,"speaker":true,"firmware":"1.4.2"}"#;

fn main() {
    // Without --bench (as `cargo test --benches` runs it) it only has to run.
    let time = match std::env::args().any(|argument| argument == "--bench") {
        true => Duration::from_secs(5),
        false => Duration::from_millis(50),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = PostgresServer::start_durable();
    println!(
        "{:<24}  {:>10}  {:>9}  {:>9}  {:>9}  {:>9}",
        "store", "pairings/s", "p50", "p99", "one alone", "load"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let file = SqliteStore::open(&directory.path().join("handfast.db")).expect("open");
    runtime.block_on(measure("file", vec![Arc::new(file)], time));
    for gateways in [1, 2, 4] {
        let address = server.database();
        let open = || Arc::new(PostgresStore::open(&address).expect("open")) as Arc<dyn Store>;
        let stores = std::iter::repeat_with(open).take(gateways).collect();
        runtime.block_on(measure(&format!("PostgreSQL, {gateways} gateways"), stores, time));
    }
    let name = server.create();
    let gateways = ["north", "south"].map(|gateway| {
        let address = server.address(&name).with_gateway(gateway).expect("a name");
        Arc::new(PostgresStore::open(&address).expect("open"))
    });
    println!("\n{:<32}  {:>9}  {:>9}", "two gateways", "p50", "p99");
    runtime.block_on(share(&gateways, time));
    let transactions = || -> u64 {
        let sql = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{name}'");
        server.sql("postgres", &sql).parse().expect("a number")
    };
    // An idle connection is counted ten seconds late.
    runtime.block_on(idle(&gateways, time * 3));
    let (before, begun) = (transactions(), Instant::now());
    runtime.block_on(idle(&gateways, time * 4));
    let asked = transactions() - before;
    let per_second = asked as f64 / 2.0 / begun.elapsed().as_secs_f64();
    println!("{:<32}  {per_second:>9.1}", "statements/s, idle, a gateway");
}

/// Measures what gateways do for each other.
async fn share(gateways: &[Arc<PostgresStore>; 2], time: Duration) {
    let [north, south] = gateways;
    let times = if time > Duration::from_secs(1) { 200 } else { 2 };
    let mut took = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        north.beat(Beat::default()).await.expect("beat");
        took.push(begun.elapsed());
    }
    print("a beat", took);

    let nodes: Vec<_> = (0..3000).map(|_| keyed().node_id).collect();
    let (mut claimed, mut released) = (Vec::new(), Vec::new());
    for number in 1..=times / 10 + 1 {
        let links = || nodes.iter().map(|node_id| LinkClaim { node_id: *node_id, number });
        let begun = Instant::now();
        north.claim_links(links().collect()).await.expect("claim");
        claimed.push(begun.elapsed());
        let begun = Instant::now();
        north.release_links(links().collect()).await.expect("release");
        released.push(begun.elapsed());
    }
    print("a claim of 3 000 links", claimed);
    print("a release of 3 000 links", released);

    let (tell, mut read) = tokio::sync::mpsc::unbounded_channel();
    let mut place = south.last_change().await.expect("the end of the log");
    let of = Arc::clone(south);
    let reading = tokio::spawn(async move {
        loop {
            // As a gateway does, which looks each second in any case.
            let _ = tokio::time::timeout(Duration::from_secs(1), of.hinted()).await;
            let changes = of.changes(place, 1000).await.expect("changes").expect("all of them");
            let now = Instant::now();
            for change in changes {
                place = change.place;
                let _ = tell.send((change.node, now));
            }
        }
    });
    let (mut heard, mut own) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let node = keyed();
        let id = node.node_id;
        let begun = Instant::now();
        north.insert(node, PROFILE.to_owned(), START).await.expect("insert");
        own.push(begun.elapsed());
        while let Some((node, at)) = read.recv().await {
            if node == Some(id) {
                heard.push(at.saturating_duration_since(begun));
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reading.abort();
    print("a change, until its answer", own);
    print("until another gateway has read it", heard);
}

/// Lets gateways do what they do while nothing happens.
async fn idle(gateways: &[Arc<PostgresStore>; 2], time: Duration) {
    let mut all = JoinSet::new();
    for gateway in gateways.iter().map(Arc::clone) {
        all.spawn(async move {
            let until = Instant::now() + time;
            let mut place = gateway.last_change().await.expect("the end of the log");
            while Instant::now() < until {
                gateway.beat(Beat::default()).await.expect("beat");
                for change in gateway.changes(place, 1000).await.expect("read").expect("all") {
                    place = change.place;
                }
                let pause = time.min(Duration::from_secs(1));
                let _ = tokio::time::timeout(pause, gateway.hinted()).await;
            }
        });
    }
    all.join_all().await;
}

fn print(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let [p50, p99] = [50, 99].map(|percent| took[took.len() * percent / 100]);
    println!("{what:<32}  {p50:>9.2?}  {p99:>9.2?}");
}

async fn measure(name: &str, stores: Vec<Arc<dyn Store>>, time: Duration) {
    let alone = pair_for(&stores[..1], 1, time).await;
    let begun = Instant::now();
    let mut paired = pair_for(&stores, 64, time).await;
    let per_second = paired.len() as f64 / begun.elapsed().as_secs_f64();
    let alone = alone.iter().map(|(_, took)| *took).sum::<Duration>() / alone.len() as u32;
    let begun = Instant::now();
    let times = 2000;
    for (id, _) in paired.iter().cycle().take(times) {
        std::hint::black_box(stores[0].load(*id).await.expect("load").expect("it is there"));
    }
    let load = begun.elapsed() / times as u32;
    paired.sort_by_key(|(_, took)| *took);
    let [p50, p99] = [50, 99].map(|percent| paired[paired.len() * percent / 100].1);
    println!(
        "{name:<24}  {per_second:>10.0}  {p50:>9.2?}  {p99:>9.2?}  {alone:>9.2?}  {load:>9.2?}"
    );
}

/// Pairs nodes with so many tasks at once. Returns them with the time that each took.
async fn pair_for(
    stores: &[Arc<dyn Store>],
    tasks: usize,
    time: Duration,
) -> Vec<(NodeId, Duration)> {
    let until = Instant::now() + time;
    let mut pairing = JoinSet::new();
    for task in 0..tasks {
        let store = Arc::clone(&stores[task % stores.len()]);
        pairing.spawn(async move {
            let (address, mut paired) = (format!("198.51.100.{task}"), Vec::new());
            while Instant::now() < until || paired.is_empty() {
                let asking = asking(&format!("lamp {}", paired.len()), &address, &LIMITS);
                let begun = Instant::now();
                let admitted = store.admit(asking, PROFILE.to_owned(), LIMITS, START).await;
                let id = admitted.expect("admit").expect("room");
                let token = Credential::Token(TokenHash::from_bytes([7; 32]));
                let approved = Standing::Paired { credential: token, mode: Mode::Full };
                let maker = Maker::Operator;
                store.save_by(id, Version(1), approved, maker, START).await.expect("approve");
                paired.push((id, begun.elapsed()));
            }
            paired
        });
    }
    pairing.join_all().await.concat()
}
