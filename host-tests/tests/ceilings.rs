//! The property of the fuzz target about ceilings over seeded bytes, so that plain `cargo test`
//! runs it too.

use handfast_host_tests::ceilings::script;
use handfast_host_tests::prng::Prng;

use crate::setup_codes::corpus;

#[test]
fn whatever_is_decided_confirmed_and_renewed_what_is_in_force_is_what_grant_and_ceiling_allow() {
    for seed in 0..4_000 {
        let mut prng = Prng::new(0xce11_0000 + seed);
        let length = prng.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        script(&bytes);
    }
}

/// What gets somewhere: a grant, a narrower decision that is never confirmed, a wider one, an end
/// that comes, and pairing anew.
fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![2, 0, 0, 42, 2, 0, 0, 0, 2, 4, 5, 200, 0, 6, 2, 0, 3, 0, 0, 2, 0, 0],
        vec![1, 0, 2, 35, 2, 0, 0, 1, 0, 42, 5, 10, 0, 2, 0, 0, 3, 0, 0],
        vec![0, 0, 1, 3, 2, 0, 0, 5, 60, 0, 3, 0, 0, 4, 3, 0, 2, 0, 0, 7, 0, 0, 3, 0, 0],
        vec![2, 7, 1, 3, 2, 0, 0, 4, 1, 4, 6, 41, 0, 3, 0, 0, 2, 0, 0],
    ]
}

/// Written by `UPDATE_CORPUS=1`, and the same each time.
#[test]
fn every_seed_of_the_ceiling_fuzz_targets_corpus_holds() {
    corpus("ceilings", &seeds(), script);
}
