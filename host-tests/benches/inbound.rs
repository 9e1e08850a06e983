//! Costs of the inbound gate: a message of a sender in its cache, of a sender in a SQLite file, and
//! of a stranger; strangers entered durably a second; and memory that 200 000 of them leave.
//! `cargo bench -p handfast-host-tests --bench inbound`; the registry is made in `$TMPDIR`, which
//! must be on a disk for meaningful numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use futures_util::FutureExt;
use handfast_core::registry::inbound::InboundLimits;
use handfast_server::inbound::channels::{NoOutbox, ReadyMade};
use handfast_server::inbound::{Gate, InboundSettings, Incoming, MessageAdmission};
use handfast_store::SqliteStore;
use tokio::runtime::Runtime;

/// Number of senders that are allowed already.
const FRIENDS: usize = 1000;

fn main() {
    // Without --bench (as `cargo test --benches` runs it) it only has to work.
    let (for_each, strangers) = match std::env::args().any(|arg| arg == "--bench") {
        true => (Duration::from_secs(3), 200_000),
        false => (Duration::from_millis(50), 100),
    };
    let runtime = Runtime::new().unwrap();
    for at_once in [1, 64] {
        let rate = runtime.block_on(new_pending(at_once, for_each));
        println!("new pending, durable, {at_once:>2} at once: {rate:>8.0} a second");
    }
    let grown = runtime.block_on(flood(strangers));
    println!("{strangers} unknown senders: {:.1} MB more resident memory", grown / 1e6);
    divan::main();
}

/// Returns a gate over a new file with some allowed senders, and the file's directory, which
/// outlives it.
async fn gate(settings: InboundSettings) -> (Gate, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let gate =
        Gate::standalone(SqliteStore::open(&home.path().join("handfast.db")).unwrap(), settings);
    gate.channels().register(Arc::new(ReadyMade::whatsapp(NoOutbox)));
    gate.seed("whatsapp", "shop", (0..FRIENDS).map(friend).collect(), "bench").await.unwrap();
    (gate, home)
}

fn friend(number: usize) -> String {
    format!("573{number:09}")
}

async fn new_pending(at_once: usize, for_each: Duration) -> f64 {
    let limits = InboundLimits {
        pending_of_account: u32::MAX,
        pending_total: u32::MAX,
        ..InboundLimits::DEFAULT
    };
    let (gate, _home) = gate(InboundSettings { limits, ..InboundSettings::default() }).await;
    let begun = Instant::now();
    let tasks = (0..at_once).map(|task| {
        let gate = gate.clone();
        tokio::spawn(async move {
            let mut entered = 0;
            while begun.elapsed() < for_each {
                // Each stranger writes to another account, as those of many shops would.
                let (account, sender) =
                    (format!("shop {task} {}", entered / 3), format!("1{task:03}{entered:09}"));
                let admission =
                    gate.should_admit(Incoming::new("whatsapp", &account, &sender)).await.unwrap();
                assert!(
                    matches!(admission, MessageAdmission::Challenge(challenge) if challenge.is_new)
                );
                entered += 1;
            }
            entered
        })
    });
    let entered: usize =
        futures_util::future::join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    entered as f64 / begun.elapsed().as_secs_f64()
}

/// Measures the bytes of resident memory that strangers leave in total.
async fn flood(strangers: usize) -> f64 {
    let (gate, _home) = gate(InboundSettings::default()).await;
    // The first requests pay the costs that any work has once.
    for number in 0..1000 {
        let _ = gate
            .should_admit(Incoming::new("whatsapp", "shop", &friend(FRIENDS + number)))
            .await
            .unwrap();
    }
    let before = resident();
    for number in 0..strangers {
        let (account, sender) = (format!("shop {}", number % 10), format!("2{number:010}"));
        let admission =
            gate.should_admit(Incoming::new("whatsapp", &account, &sender)).await.unwrap();
        assert!(!matches!(admission, MessageAdmission::Admit(_)));
    }
    resident() - before
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 =
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN);
    kib * 1024.0
}

fn admitted(bencher: Bencher<'_, '_>, remembered: usize) {
    let runtime = Runtime::new().unwrap();
    let (gate, _home) =
        runtime.block_on(gate(InboundSettings { remembered, ..InboundSettings::default() }));
    let friends: Vec<String> =
        (0..FRIENDS).map(|number| format!("{}@c.us", friend(number))).collect();
    // Channels have a time limit, which needs the runtime's clock.
    let _runtime = runtime.enter();
    let ask = |friend: &String| {
        let admission = gate
            .should_admit(Incoming::new("whatsapp", "shop", black_box(friend)))
            .now_or_never()
            .unwrap()
            .unwrap();
        assert!(matches!(admission, MessageAdmission::Admit(_)));
        admission
    };
    friends.iter().for_each(|friend| drop(ask(friend)));
    let mut next = friends.iter().cycle();
    bencher.bench_local(|| ask(next.next().unwrap()));
}

#[divan::bench(sample_size = 1000)]
fn admit_from_memory(bencher: Bencher<'_, '_>) {
    admitted(bencher, 65_536);
}

#[divan::bench(sample_size = 100)]
fn admit_from_file(bencher: Bencher<'_, '_>) {
    admitted(bencher, 0);
}

/// Measures a stranger for whom there is no room: the cost of a flood.
#[divan::bench(sample_size = 100)]
fn drop_a_stranger(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().unwrap();
    let (gate, _home) = runtime.block_on(gate(InboundSettings::default()));
    let ask = |number: usize| {
        let sender = format!("3{number:010}");
        runtime.block_on(gate.should_admit(Incoming::new("whatsapp", "shop", &sender))).unwrap()
    };
    for number in 0..3 {
        assert!(matches!(ask(number), MessageAdmission::Challenge(_)));
    }
    let _runtime = runtime.enter();
    let mut number = 3;
    bencher.bench_local(|| {
        number += 1;
        let sender = format!("3{number:010}");
        let admission = gate
            .should_admit(Incoming::new("whatsapp", "shop", black_box(&sender)))
            .now_or_never()
            .unwrap()
            .unwrap();
        assert!(matches!(admission, MessageAdmission::Drop(_)));
    });
}
