//! The properties of the fuzz targets about setup codes, companions and the gate over seeded bytes,
//! so that a simple `cargo test` runs them too.

use handfast_host_tests::companion::{TOKEN, code};
use handfast_host_tests::prng::Prng;
use handfast_host_tests::setup::signed;
use handfast_host_tests::{companion, gate, setup};

fn any_bytes(seed: u64, runs: u32, most: u64, property: fn(&[u8])) {
    let mut prng = Prng::new(seed);
    for _ in 0..runs {
        let length = prng.below(most);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        property(&bytes);
    }
}

/// Checks seeds with a few bytes changed, removed or inserted, which random bytes alone do not come
/// close to.
fn near(seed: u64, runs: u32, of: &[Vec<u8>], property: fn(&[u8])) {
    let mut prng = Prng::new(seed);
    for _ in 0..runs {
        let mut bytes = of[prng.below(of.len() as u64) as usize].clone();
        for _ in 0..1 + prng.below(3) {
            let at = prng.below(bytes.len() as u64) as usize;
            match prng.below(3) {
                _ if bytes.is_empty() => {}
                0 => bytes[at] = prng.draw().to_le_bytes()[0],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, prng.pick(b"\"\\{}[]:,.-_AZaz09+= \0\n")),
            }
        }
        property(&bytes);
    }
}

#[test]
fn a_token_means_the_same_to_two_readers() {
    any_bytes(1, 20_000, 200, setup::any_token);
    near(2, 60_000, &seeds("setup_token"), setup::any_token);
}

#[test]
fn a_payload_means_the_same_to_two_readers() {
    any_bytes(3, 20_000, 200, setup::any_payload);
    near(4, 40_000, &seeds("setup_payload"), setup::any_payload);
}

#[test]
fn both_ends_of_a_companions_connection_take_any_inputs_in_any_order() {
    any_bytes(5, 4_000, 80, companion::any_frames);
    near(6, 8_000, &seeds("companion_frame"), companion::any_frames);
}

#[test]
fn a_gates_registry_does_what_the_table_says_whatever_happens() {
    any_bytes(7, 20_000, 300, gate::script);
}

/// Replays the corpus, which `UPDATE_CORPUS=1` writes, always the same.
#[test]
fn every_seed_of_the_setup_fuzz_targets_corpus_holds() {
    type Property = fn(&[u8]);
    let targets: [(&str, Property); 4] = [
        ("setup_token", setup::any_token),
        ("setup_payload", setup::any_payload),
        ("companion_frame", companion::any_frames),
        ("gate_script", gate::script),
    ];
    for (target, property) in targets {
        corpus(target, &seeds(target), property);
    }
}

pub(crate) fn corpus(target: &str, written: &[Vec<u8>], property: fn(&[u8])) {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        std::fs::create_dir_all(&folder).expect("a folder");
        for (number, bytes) in written.iter().enumerate() {
            std::fs::write(folder.join(format!("{number:02}")), bytes).expect("a seed is written");
        }
    }
    // A file that a run of the fuzzer found has its SHA-1 as a name.
    let committed = |entry: &std::fs::DirEntry| entry.file_name().len() != 40;
    let seeds: Vec<_> =
        std::fs::read_dir(&folder).expect("a corpus").flatten().filter(committed).collect();
    assert!(!seeds.is_empty(), "{target} has seeds");
    for seed in seeds {
        property(&std::fs::read(seed.path()).expect("a seed reads"));
    }
}

/// Returns seeds that make progress: valid ones, and ones with each member in a form that core does
/// not write.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let after = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    let claims = r#"{"profile":"companion-v1","expires_at":"2026-11-22T06:17:50Z","nonce":"abababababababababababababababab"}"#;
    match target {
        "setup_token" => vec![
            after(0, &signed(&[7; 32], claims.as_bytes())),
            after(1, claims),
            after(
                0x81,
                r#" {"x":[{"y":null}],"nonce":"ABABABABABABABABABABABABABABABAB","device_label":"k\u00fcche \ud83d\ude00","expires_at":"2026-11-22T07:17:50.123456789+01:00","profile":"p\u002d1","profile":"q"} "#,
            ),
            after(2, r#""device_label":"Ana's \"phone\"""#),
            after(2, r#""device_label":null,"expires_at":"2026-11-22 06:17:60z""#),
            after(2, r#""expires_at":"9999-12-31T23:59:59-23:59""#),
            after(2, r#""nonce":"0011""#),
            [&[3, 2, 9, 0, 30, 1, 0][..], "companion-v1\nKüche".as_bytes()].concat(),
            [&[3, 216, 9, 1, 200, 4, 0][..], "companion-v1".as_bytes()].concat(),
        ],
        "setup_payload" => vec![
            after(
                1,
                r#"{"url":"wss://gateway.example/","bootstrap_token":"e30.AAAA","expires_at":"2026-11-22T06:17:50Z"}"#,
            ),
            after(0, " e30 \n"),
            after(2, r#""fingerprint":"AAAA-AAAA-AAAA-AAAA-AAAA-AAAA""#),
            after(
                2,
                r#""fingerprint":null,"url":"ws:\/\/127.0.0.1:8765","more":{"a":[1,2e9,true]}"#,
            ),
            after(2, r#""bootstrap_token":"""#),
        ],
        "companion_frame" => vec![
            // A code that is redeemed; a session that is resumed, lives, ends and is looked up
            // again; frames of nodes and of unknown senders.
            vec![0, 0, 8, 3],
            vec![
                2, 0, 9, 200, 9, 200, 12, 150, 11, 2, 4, 2, b'h', b'i', 12, 255, 12, 255, 12, 255,
                12, 255, 12, 255, 9, 240, 11, 0,
            ],
            vec![3, 70],
            [&[4, 15][..], br#"{"type":"auth"}"#].concat(),
            [&[4, 64][..], format!(r#"{{"session_token":"{TOKEN}"}}"#).as_bytes()].concat(),
            [&[4, 255][..], format!(r#"{{"bootstrap_token":"{}"}}"#, code(600)).as_bytes()]
                .concat(),
            [&[4, 19][..], br#"{"error":"expired"}"#].concat(),
        ],
        "gate_script" => vec![
            vec![0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 2, 2, 0, 6, 2, 4, 0, 0, 0, 0, 3, 9, 0, 0, 0, 0, 3],
            vec![0, 0, 0, 7, 0, 1, 0, 0, 0, 8, 0, 1, 0, 0, 0, 11, 0, 200, 0, 0, 0, 4, 0, 0],
            vec![10, 0, 0, 0, 0, 0, 5, 4, 7, 11, 0, 1, 0, 4, 0, 11, 7, 255, 0, 4, 1, 6, 4, 1],
        ],
        other => panic!("{other} has no seeds here"),
    }
}
