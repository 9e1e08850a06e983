//! Durable pairings per second in a file and in PostgreSQL, side by side in one run: with 64 nodes
//! at once, with one after the other, and over several gateways on one database. A pairing is two
//! changes: a request is admitted, and an operator approves it. It prints times and asserts none.
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
use handfast_store::conformance::{PostgresServer, START, asking};
use handfast_store::{PostgresStore, SqliteStore, Store, Version};
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
