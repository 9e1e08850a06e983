//! The properties of the native wire's fuzz targets over seeded bytes, so that a simple `cargo
//! test` runs them too.

use handfast_host_tests::native::machines;
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
fn a_connection_of_the_native_wire_takes_any_inputs_in_any_order() {
    any_bytes(1, 1_500, 160, machines::gateway);
}

#[test]
fn a_node_of_the_native_wire_takes_any_inputs_in_any_order() {
    any_bytes(2, 1_500, 160, machines::node);
}

#[test]
fn no_bytes_finish_a_handshake_or_confirm_a_code() {
    any_bytes(3, 1_000, 130, machines::noise_messages);
    any_bytes(4, 500, 97, machines::cpace_messages);
}

/// Replays the corpus, which `UPDATE_CORPUS=1` writes, always the same.
#[test]
fn every_seed_of_the_native_fuzz_targets_corpus_holds() {
    type Property = fn(&[u8]);
    let targets: [(&str, Property); 5] = [
        ("noise_messages", machines::noise_messages),
        ("cpace_messages", machines::cpace_messages),
        ("native_gateway", machines::gateway),
        ("native_node", machines::node),
        ("native_script", machines::script),
    ];
    for (target, property) in targets {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            std::fs::create_dir_all(&folder).expect("a folder");
            for (number, bytes) in seeds(target).iter().enumerate() {
                std::fs::write(folder.join(format!("{number:02}")), bytes)
                    .expect("a seed is written");
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
}

/// Returns seeds: conversations that make progress, and recorded frames.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let [to_node, to_gateway] = &machines::recorded().frames;
    let framed = |kind: u8, frame: &[u8]| [&[kind], frame].concat();
    match target {
        "noise_messages" => vec![
            framed(0, &to_gateway[1]),
            framed(1, &to_node[0]),
            framed(2, &to_gateway[2]),
            framed(3, &to_gateway[8]),
            framed(4, &to_node[6]),
        ],
        "cpace_messages" => vec![vec![0; 96], vec![0xff; 96], to_node[4][..96].to_vec()],
        // Each input is a code and an argument, as the machines' properties read them.
        "native_gateway" => vec![
            // Open, begun, first message of IK, found, proven, attached, activated, an application
            // frame, a push, a tick.
            vec![0, 1, 10, 0, 1, 1, 11, 2, 1, 3, 12, 2, 17, 1, 1, 4, 20, 0, 20, 1, 21, 200, 20, 2],
            // Open, begun, first message of XX, third message, a recorded request.
            vec![0, 0, 10, 0, 1, 0, 1, 0, 5, 3, 13, 3],
            // A delegate links.
            vec![0, 2, 10, 0, 1, 2, 1, 2, 1, 5, 3, 4, 1, 1, 18, 0, 19, 0, 21, 255],
            // By setup code: open, begun, first message of XX, third message, asked, prepared, a
            // code, offered.
            vec![0, 0, 10, 0, 1, 0, 1, 0, 1, 6, 13, 5, 1, 8, 16, 2, 1, 2, 17, 1],
        ],
        "native_node" => vec![
            // Paired: connects, links, receives several messages, is revoked.
            vec![2, 9, 0, 11, 0, 0, 0, 0, 12, 0, 10, 0, 9, 14, 0, 0, 11, 14, 0],
            // By approval: asks, waits, is granted, confirms.
            vec![0, 16, 0, 9, 0, 11, 0, 0, 0, 0, 0, 14, 0, 0, 6, 14, 0, 0, 7, 13, 0],
            // By PIN: a wrong one, then another.
            vec![0, 16, 1, 9, 0, 11, 0, 0, 0, 0, 1, 15, 0, 0, 2, 0, 4, 15, 0, 0, 2, 0, 3],
            // By typed code.
            vec![0, 16, 2, 9, 0, 11, 0, 0, 0, 0, 2, 0, 5],
            // By setup code, at the gateway that it names and at another.
            vec![0, 16, 3, 9, 0, 11, 0, 0, 0, 0, 0, 0, 6, 14, 0, 0, 7],
            vec![0, 16, 19, 9, 0, 11, 0, 0, 0, 0, 0, 0, 6, 14, 0],
        ],
        _ => vec![
            vec![0, 1, 8, 0, 0, 23, 8, 0, 0, 23, 0, 23, 7, 20],
            vec![1, 2, 20, 14, 0, 0, 20, 24, 3, 0, 20, 7, 40, 8, 0, 8, 0],
            vec![0, 3, 15, 0, 0, 23, 18, 0, 0, 24, 4, 0, 23, 7, 30, 29, 3, 5, 0, 20],
            vec![1, 4, 13, 0, 0, 23, 48, 0, 16, 0, 27, 0, 4, 0, 23, 22, 0, 3, 0, 23, 21, 0, 7, 60],
            // Setup codes: a new one with a cut connection, the same again, shown by another node,
            // and after a rotation of the key.
            vec![
                1, 5, 77, 0, 1, 24, 9, 0, 23, 7, 30, 78, 0, 2, 0, 23, 78, 1, 2, 0, 23, 84, 77, 2,
                0, 0, 23, 7, 40,
            ],
            // Two gateways: a node is muted at one and unmuted at the other, given less, and a
            // gateway is cut off and loses the node's link unheard.
            vec![
                128, 6, 8, 0, 0, 23, 8, 0, 0, 23, 3, 1, 227, 0, 4, 7, 2, 3, 0, 227, 0, 5, 7, 2,
                195, 0, 0, 99, 40, 7, 30, 163, 0, 7, 40,
            ],
        ],
    }
}
