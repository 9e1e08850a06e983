//! Seeded runs of the whole simulated world; the fuzzer plays the same scripts from bytes of its
//! own.

use handfast_host_tests::script::Script;
use handfast_host_tests::world::World;

/// Returns the seeds to run. `SEEDS=100000 cargo test --release` runs more, `SEED=17` only that
/// one.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("SEED") {
        Some(one) => one..one + 1,
        None => 0..number("SEEDS").unwrap_or(2_000),
    }
}

#[test]
fn whatever_happens_the_invariants_hold_and_in_the_end_every_node_links() {
    let mut steps = 0;
    for seed in seeds() {
        let script = Script::seeded(seed);
        let outcome = std::panic::catch_unwind(|| World::play(&script));
        steps += outcome.unwrap_or_else(|_| panic!("SEED={seed}: {script:?}"));
    }
    println!("{steps} steps");
}

#[test]
fn a_request_whose_approval_was_undone_waits_again_although_its_place_was_taken_meanwhile() {
    let script = [
        0x0f, 0x02, 0x1e, 0x00, 0x02, 0x01, 0x1e, 0x03, 0x1e, 0x03, 0x02, 0x04, 0xb3, 0x1e, 0x04,
        0x05, 0x01, 0x05, 0x08, 0x07, 0x00, 0x07, 0x01, 0x05, 0x10, 0x1d, 0x00, 0x00, 0x80,
    ];
    handfast_host_tests::fuzz::registration_script(&script);
}
