//! The properties of the fuzz targets over seeded bytes, so that a simple `cargo test` runs them
//! too.

use handfast_host_tests::fuzz;
use handfast_host_tests::prng::Prng;

fn any_bytes(seed: u64, runs: u32, most: u64, property: fn(&[u8])) {
    let mut prng = Prng::new(seed);
    for _ in 0..runs {
        let length = prng.below(most);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        property(&bytes);
    }
}

#[test]
fn a_connection_takes_any_inputs_in_any_order() {
    any_bytes(1, 40_000, 120, fuzz::gateway_machine);
}

#[test]
fn a_node_takes_any_inputs_in_any_order() {
    any_bytes(2, 40_000, 120, fuzz::node_machine);
}

#[test]
fn the_budgets_keep_their_word_whatever_is_asked_of_them() {
    any_bytes(5, 20_000, 200, handfast_host_tests::budgets::budgets);
}

#[test]
fn how_a_byte_stream_is_cut_up_makes_no_difference() {
    any_bytes(3, 20_000, 200, handfast_host_tests::streams::stream_frames);
    any_bytes(4, 20_000, 200, handfast_host_tests::streams::websocket_frames);
}

#[test]
fn every_seed_of_the_fuzz_targets_corpus_holds() {
    type Property = fn(&[u8]);
    let targets: [(&str, Property); 10] = [
        ("missy_from_node", fuzz::missy_from_node),
        ("missy_from_gateway", fuzz::missy_from_gateway),
        ("json_against_serde", |bytes| {
            if let Ok(text) = core::str::from_utf8(bytes) {
                handfast_host_tests::json_against_serde::agree(text);
            }
        }),
        ("gateway_machine", fuzz::gateway_machine),
        ("node_machine", fuzz::node_machine),
        ("registration_script", fuzz::registration_script),
        ("invite", handfast_host_tests::invite::any_text),
        ("scopes", handfast_host_tests::scopes::any_lines),
        ("stream_frames", handfast_host_tests::streams::stream_frames),
        ("websocket_frames", handfast_host_tests::streams::websocket_frames),
    ];
    for (target, property) in targets {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        // A file that a run of the fuzzer found has its SHA-1 as a name.
        let committed = |entry: &std::fs::DirEntry| entry.file_name().len() != 40;
        let seeds: Vec<_> =
            std::fs::read_dir(&folder).expect("a corpus").flatten().filter(committed).collect();
        assert!(!seeds.is_empty(), "{target} has seeds");
        for seed in seeds {
            property(&std::fs::read(seed.path()).expect("a seed reads"));
        }
    }
}
