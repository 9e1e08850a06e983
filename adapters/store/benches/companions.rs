//! Companions and senders in a file: setup codes redeemed per second, the cost of a query about a
//! sender, and the space that a flood of strangers takes. It prints numbers and asserts no times.
//!
//! `cargo bench -p handfast-store --bench companions`; the registry is created in `$TMPDIR`, which
//! must be on a disk for the numbers to mean anything.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::registry::inbound::{ChallengeCode, InboundLimits, SenderId};
use handfast_store::conformance::{START, session, setup_code};
use handfast_store::{Inbound, Sessions, SqliteStore, Yield};
use tokio::task::JoinSet;

const META: &str = r#"{"name":"Ana","message":"hello"}"#;

fn main() {
    // Without --bench (as `cargo test --benches` runs it) it only has to run.
    let is_bench = std::env::args().any(|a| a == "--bench");
    let (span, reads, strangers) = if is_bench {
        (Duration::from_secs(3), 100_000, 200_000)
    } else {
        (Duration::from_millis(50), 100, 500)
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for callers in [1, 64, 256] {
            redeeming(callers, span).await;
        }
        looking_up(reads).await;
        for callers in [1, 256] {
            waiting(callers, span).await;
        }
        flood(strangers).await;
    });
}

fn store() -> (Arc<SqliteStore>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (Arc::new(SqliteStore::open(&directory.path().join("handfast.db")).expect("open")), directory)
}

fn report(what: &str, mut waits: Vec<Duration>, begun: Instant) {
    let per_second = waits.len() as f64 / begun.elapsed().as_secs_f64();
    waits.sort();
    let (p50, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!("{what:<44} {per_second:>9.0}/s  p50 {p50:>9.2?}  p99 {p99:>9.2?}");
}

async fn redeeming(callers: usize, span: Duration) {
    let (store, _kept) = store();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while begun.elapsed() < span {
                let asked = Instant::now();
                store
                    .redeem(setup_code(600), Yield::Session(session()), START)
                    .await
                    .expect("redeem")
                    .expect("fresh");
                waits.push(asked.elapsed());
            }
            waits
        });
    }
    let waits = tasks.join_all().await.concat();
    report(&format!("setup codes redeemed, durably, by {callers}"), waits, begun);
}

/// Returns the code with this number.
fn code(number: usize) -> ChallengeCode {
    let text: String = (0..8)
        .map(|place| char::from(b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789"[(number >> (5 * place)) % 32]))
        .collect();
    ChallengeCode::parse(&text).expect("a code")
}

async fn looking_up(reads: usize) {
    const KNOWN: usize = 10_000;
    let (store, _kept) = store();
    let names: Vec<String> = (0..KNOWN).map(|number| format!("57300{number:07}")).collect();
    store.seed("whatsapp", "home", names.clone(), "seed".to_owned(), START).await.expect("seed");
    let strangers: Vec<String> = (0..KNOWN).map(|number| format!("57999{number:07}")).collect();
    for (what, names) in
        [("facts of one of 10 000 who were let in", &names), ("facts of a stranger", &strangers)]
    {
        let begun = Instant::now();
        for read in 0..reads {
            let sender =
                SenderId::parse("whatsapp", "home", &names[read * 7919 % KNOWN]).expect("a sender");
            std::hint::black_box(
                store.facts(sender, &InboundLimits::DEFAULT, START).await.expect("facts"),
            );
        }
        println!("{what:<44} {:>9.2?}", begun.elapsed() / reads as u32);
    }
    let session = session();
    store.insert_session(session.clone()).await.expect("insert");
    let begun = Instant::now();
    for _ in 0..reads {
        std::hint::black_box(
            store.session_by_hash(&session.hash).await.expect("read").expect("it is there"),
        );
    }
    println!("{:<44} {:>9.2?}", "a session by its hash", begun.elapsed() / reads as u32);
}

async fn waiting(callers: usize, span: Duration) {
    let limits = InboundLimits {
        pending_of_account: u32::MAX,
        pending_total: u32::MAX,
        ..InboundLimits::DEFAULT
    };
    let (store, _kept) = store();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while begun.elapsed() < span {
                let number = waits.len() * callers + caller;
                let (account, sender) =
                    (format!("account {}", number % 100), format!("57300{number}"));
                let sender = SenderId::parse("whatsapp", &account, &sender).expect("a sender");
                let asked = Instant::now();
                let _ = std::hint::black_box(
                    store
                        .challenge(sender, META.to_owned(), code(number), &limits, START)
                        .await
                        .expect("challenge")
                        .0,
                );
                waits.push(asked.elapsed());
            }
            waits
        });
    }
    let waits = tasks.join_all().await.concat();
    report(&format!("strangers who wait, durably, from {callers}"), waits, begun);
}

/// Floods the store; all strangers beyond the caps are dropped.
async fn flood(strangers: usize) {
    let (store, kept) = store();
    let challenge = |store: Arc<SqliteStore>, number: usize, account: usize| async move {
        let (account, sender) = (format!("account {account}"), format!("stranger {number}"));
        let sender = SenderId::parse("whatsapp", &account, &sender).expect("a sender");
        let _ = std::hint::black_box(
            store
                .challenge(sender, META.to_owned(), code(number), &InboundLimits::DEFAULT, START)
                .await
                .expect("challenge")
                .0,
        );
    };
    for number in 0..1024 {
        challenge(Arc::clone(&store), number, number / 3).await;
    }
    let (memory, disk) = (resident(), on_disk(kept.path()));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in (2000 + caller..2000 + strangers).step_by(64) {
                challenge(Arc::clone(&store), number, number % 400).await;
            }
        });
    }
    tasks.join_all().await;
    let took = begun.elapsed();
    let rows: u64 = store
        .waiting_senders(&InboundLimits::DEFAULT, START)
        .await
        .expect("count")
        .iter()
        .map(|(_, waiting)| waiting)
        .sum();
    println!(
        "{strangers} strangers against full caps: {:.2?} each, {rows} wait, memory {memory} → {} KiB, disk {disk} → {} KiB",
        took / strangers as u32,
        resident(),
        on_disk(kept.path())
    );
}

/// Returns the resident memory of this process in KiB.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages
        .and_then(|pages| pages.split(' ').nth(1)?.parse::<u64>().ok())
        .map_or(0, |pages| pages * 4)
}

fn on_disk(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).expect("the directory");
    files
        .map(|file| file.and_then(|file| file.metadata()).map_or(0, |file| file.len()))
        .sum::<u64>()
        / 1024
}
