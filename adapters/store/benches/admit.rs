//! Durable admissions per second with 64 concurrent writers, and the time of a point read, with few
//! and with many nodes. It prints times and asserts none.
//!
//! `cargo bench -p handfast-store`; the registry is created in `$TMPDIR`, which must be on a disk
//! for the numbers to mean anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_store::conformance::{START, asking, record};
use handfast_store::{Filter, Observation, SqliteStore, Store};
use tokio::task::JoinSet;

const WRITERS: usize = 64;
const LIMITS: Limits =
    Limits { pending_total: u32::MAX, pending_per_source: u32::MAX, ..Limits::DEFAULT };
const PROFILE: &str =
    r#"{"platform":"raspberry-pi-5","microphones":4,"speaker":true,"firmware":"1.4.2"}"#;

fn main() {
    // Without --bench (as `cargo test --benches` runs it) it only has to run.
    let (sizes, per_size): (&[usize], _) = if std::env::args().any(|a| a == "--bench") {
        (&[10, 10_000, 100_000], Duration::from_secs(5))
    } else {
        (&[10], Duration::from_millis(50))
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!(
        "{:>8}  {:>9}  {:>9}  {:>9}  {:>10}  {:>10}  {:>10}",
        "stored", "admit/s", "p50", "p99", "load", "load busy", "page of 100"
    );
    for &stored in sizes {
        runtime.block_on(measure(stored, per_size));
    }
}

async fn measure(stored: usize, per_size: Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(SqliteStore::open(&directory.path().join("handfast.db")).expect("open"));
    let ids = fill(&store, stored).await;

    let quiet = load(&store, &ids, 20_000).await;
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let (address, mut waits) = (format!("198.51.100.{writer}"), Vec::new());
            while begun.elapsed() < per_size {
                let asking = asking(&format!("lamp {}", waits.len()), &address, &LIMITS);
                let asked = Instant::now();
                store
                    .admit(asking, PROFILE.to_owned(), LIMITS, START)
                    .await
                    .expect("admit")
                    .expect("room");
                waits.push(asked.elapsed());
            }
            waits
        });
    }
    let mut waits: Vec<Duration> = writers.join_all().await.into_iter().flatten().collect();
    let per_second = waits.len() as f64 / begun.elapsed().as_secs_f64();
    waits.sort();

    // Point reads while observations are written, as in a busy gateway.
    let observing = tokio::spawn({
        let (store, ids) = (Arc::clone(&store), ids.clone());
        async move {
            for id in ids.iter().cycle() {
                let told = Observation {
                    last_seen: START,
                    occupancy: Some(true),
                    noise_level: Some(0.5),
                    wake_word_fp: None,
                };
                store.observe(*id, told).await.expect("observe");
            }
        }
    });
    let busy = load(&store, &ids, 20_000).await;
    observing.abort();

    let begun = Instant::now();
    let pages = 50;
    for page in 0..pages {
        let after = Some(ids[page * ids.len() / pages]);
        std::hint::black_box(store.list(Filter::Current, after, 100, START).await.expect("list"));
    }
    let page = begun.elapsed() / pages as u32;
    let (p50, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!(
        "{stored:>8}  {per_second:>9.0}  {p50:>9.2?}  {p99:>9.2?}  {quiet:>10.2?}  {busy:>10.2?}  {page:>10.2?}"
    );
}

async fn fill(store: &Arc<SqliteStore>, stored: usize) -> Vec<handfast_core::NodeId> {
    let mut tasks = JoinSet::new();
    for task in 0..500 {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for _ in (task..stored).step_by(500) {
                let record = record(Standing::Paired {
                    credential: Credential::Token(TokenHash::from_bytes([7; 32])),
                    mode: Mode::Full,
                });
                ids.push(record.node_id);
                store.insert(record, PROFILE.to_owned(), START).await.expect("insert");
            }
            ids
        });
    }
    tasks.join_all().await.concat()
}

async fn load(store: &SqliteStore, ids: &[handfast_core::NodeId], times: u32) -> Duration {
    let begun = Instant::now();
    // A prime stride visits all of them in an order that is not the file's.
    let mut at = 0;
    for _ in 0..times {
        at = (at + 7919) % ids.len();
        std::hint::black_box(store.load(ids[at]).await.expect("load").expect("it is there"));
    }
    begun.elapsed() / times
}
