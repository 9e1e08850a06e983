//! The cost of an audit entry: durable changes per second that have one, and the same changes
//! without one, with one writer and with 64. It prints numbers and asserts none.
//!
//! `cargo bench -p handfast-store --bench audit`; the registry is created in `$TMPDIR`, which must
//! be on a disk for the numbers to mean anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::registry::record::{Credential, Mode, Standing};
use handfast_core::{Label, Name};
use handfast_store::audit::{Origin, Who};
use handfast_store::conformance::{START, keyed};
use handfast_store::{SqliteStore, Store, Version};
use tokio::task::JoinSet;

fn main() {
    // Without --bench (as `cargo test --benches` runs it) it only has to run.
    let long = std::env::args().any(|a| a == "--bench" || a == "--long");
    let each = Duration::from_millis(if long { 5_000 } else { 50 });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!(
        "{:>8}  {:>12}  {:>12}  {:>12}",
        "writers", "without/s", "with entry/s", "root of all"
    );
    for writers in [1, 64] {
        runtime.block_on(measure(writers, each));
    }
}

async fn measure(writers: usize, each: Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("handfast.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).expect("open"));
    // The same statements, but that a new name is a decision and a new profile is none.
    let without = changes(&store, writers, each, false).await;
    let with = changes(&store, writers, each, true).await;
    let begun = Instant::now();
    let head = store.audit_head(None).await.expect("the log").expect("a state");
    let took = begun.elapsed();
    println!("{writers:>8}  {without:>12.0}  {with:>12.0}  {took:>9.1?} of {}", head.size);
}

async fn changes(store: &Arc<dyn Store>, writers: usize, each: Duration, decides: bool) -> f64 {
    let name: Name = Label::parse("floor lamp").expect("a name").into();
    let mut all = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..writers {
        let store = Arc::clone(store).by(Origin::new(Who::Operator, START));
        let name = name.clone();
        all.spawn(async move {
            let standing = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
            let record = handfast_core::registry::record::Record { standing, ..keyed() };
            let id = record.node_id;
            store.insert(record, "{}".to_owned(), START).await.expect("insert");
            let (mut version, mut done) = (Version(1), 0_u64);
            while begun.elapsed() < each {
                let (name, profile) = match decides {
                    true => (Some(name.clone()), None),
                    false => (None, Some("{}".to_owned())),
                };
                version = store.relabel(id, version, name, profile, START).await.expect("change");
                done += 1;
            }
            done
        });
    }
    let done: u64 = all.join_all().await.into_iter().sum();
    done as f64 / begun.elapsed().as_secs_f64()
}
