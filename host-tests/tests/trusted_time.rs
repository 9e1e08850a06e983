//! The property of the fuzz target about time over seeded bytes, so that a simple `cargo test` runs
//! it too.

use handfast_host_tests::prng::Prng;
use handfast_host_tests::trusted_time::script;

use crate::setup_codes::corpus;

#[test]
fn whatever_the_wall_clock_does_nothing_lives_too_long_dies_too_early_or_comes_back() {
    for seed in 0..4_000 {
        let mut prng = Prng::new(0x713e_0000 + seed);
        let length = prng.below(300);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        script(&bytes);
    }
}

/// Returns seeds that make progress: things are made, the clock steps back and forth, the gateway
/// restarts, the operator sets the time.
fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 5, 2, 3, 4, 0, 10, 3, 12, 0, 10, 3, 0, 0, 60],
        vec![0, 5, 2, 3, 7, 6, 5, 0, 9, 5, 1, 3, 0, 6, 5, 5, 2, 8, 0, 0, 200],
        vec![15, 5, 3, 3, 4, 0, 9, 7, 0, 3, 7, 2, 255, 8, 1, 5, 2, 8, 0],
        vec![7, 5, 2, 6, 1, 3, 0, 6, 1, 8, 0, 5, 2, 2, 9],
    ]
}

/// Replays the corpus, which `UPDATE_CORPUS=1` writes, always the same.
#[test]
fn every_seed_of_the_time_fuzz_targets_corpus_holds() {
    corpus("trusted_time", &seeds(), script);
}
