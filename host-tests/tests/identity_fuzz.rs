//! The properties of the fuzz targets about certificates, marks and dispatches over seeded bytes,
//! so that a simple `cargo test` runs them too.

use handfast_core::crypto::{ed25519, x25519};
use handfast_core::grant::certificate::{CompactFields, Serial, issue_compact};
use handfast_core::wire::native::link::{
    DispatchAnswer, DispatchId, DispatchOutcome, DispatchResult, FromNode, KnownDispatch,
};
use handfast_core::{Entropy, NodeId, UnixTime};
use handfast_host_tests::prng::Prng;
use handfast_host_tests::{dispatches, identity, models};

use crate::setup_codes::corpus;

fn any_bytes(seed: u64, runs: u32, most: u64, property: fn(&[u8])) {
    let mut prng = Prng::new(seed);
    for _ in 0..runs {
        let length = prng.below(most);
        let bytes: Vec<u8> = (0..length).map(|_| prng.draw().to_le_bytes()[0]).collect();
        property(&bytes);
    }
}

#[test]
fn a_node_is_told_from_its_copies_in_long_runs_and_only_marks_that_were_made_are_read() {
    any_bytes(1, 3_000, 400, identity::clone_marks);
}

#[test]
fn two_gateways_over_one_registry_agree_about_a_nodes_link_in_long_runs() {
    any_bytes(5, 1_000, 400, models::two_gateways);
}

#[test]
fn nothing_runs_twice_in_long_runs_and_whatever_either_side_says() {
    any_bytes(2, 3_000, 400, dispatches::script);
}

/// Checks certificates with a few bytes changed, which random bytes do not come close to, and the
/// body of one with every number in a longer form.
#[test]
fn a_compact_certificate_has_one_form() {
    any_bytes(3, 500, 260, identity::any_compact);
    let mut prng = Prng::new(4);
    for _ in 0..1_000 {
        let mut bytes = prng.pick(&[true, false]).then(certificate).unwrap_or_else(body);
        for _ in 0..1 + prng.below(2) {
            let at = prng.below(bytes.len() as u64) as usize;
            match prng.below(3) {
                0 => bytes[at] = prng.draw().to_le_bytes()[0],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, prng.pick(&[0, 0x80, 0xff])),
            }
        }
        identity::any_compact(&bytes);
    }
    for at in 0..body().len() {
        let mut longer = body();
        longer[at] |= 0x80;
        longer.insert(at + 1, 0);
        identity::any_compact(&longer);
    }
}

/// Returns a certificate of the gateway that the property knows.
fn certificate() -> Vec<u8> {
    let key = |byte| ed25519::KeyPair::generate(&Entropy::from_recorded([byte; 32]));
    let fields = CompactFields {
        node_id: NodeId::from_bytes([1; 16]),
        channel: x25519::PublicKey::parse(&[2; 32]).expect("a key"),
        signing: key(3).public(),
        epoch: 4,
        serial: Serial::new(&Entropy::from_recorded([5; 20])),
        not_before: UnixTime::from_secs(1_800_000_000),
        not_after: UnixTime::from_secs(1_800_086_400),
    };
    issue_compact(&fields, &key(7)).expect("a certificate").to_vec()
}

fn body() -> Vec<u8> {
    let bytes = certificate();
    bytes[..bytes.len() - 64].to_vec()
}

/// Returns seeds that make progress: a certificate as it is and as a body to be signed, runs that
/// link, copy and release, and frames about a dispatch that was sent.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "compact_certificate" => vec![certificate(), body()],
        "clone_marks" => vec![
            [&[0][..], &[0, 1, 2, 3].repeat(30)].concat(),
            [&[1][..], &[0, 0, 0, 0, 5, 1, 4, 0, 2, 6, 7].repeat(20)].concat(),
            [&[4][..], &[0, 0, 1, 0, 3, 0, 4, 2].repeat(20)].concat(),
        ],
        "dispatch_script" => {
            let id = DispatchId::from_bytes([1; 16]);
            let mut frame = [0; 64];
            let mut written = |message: FromNode<'_>| {
                let frame = message.write(&mut frame).expect("it fits");
                [&[6 + 8 * frame.len() as u8][..], frame].concat()
            };
            let outcome = DispatchOutcome::Started;
            let started = written(FromNode::DispatchResult(DispatchResult { id, outcome }));
            let outcome = DispatchOutcome::TimedOut;
            let ended = written(FromNode::DispatchResult(DispatchResult { id, outcome }));
            let known = KnownDispatch::NeverCame;
            let never = written(FromNode::Answer(DispatchAnswer { id, number: 1, known }));
            vec![
                [&[0][..], &started, &[2, 1], &never, &[0][..], &ended].concat(),
                [&[8][..], &[2, 1], &never, &[5, 0, 3], &ended].concat(),
                [&[24][..], &[0, 1, 0, 2, 0, 3, 5, 5, 2, 2, 1, 9, 0, 17, 2, 17].repeat(12)]
                    .concat(),
            ]
        }
        "sharing_script" => vec![
            [&[0][..], &[0, 2, 1, 2, 3, 1].repeat(30)].concat(),
            [&[9][..], &[0, 3, 9, 1, 4, 9, 9, 9, 2, 0, 9].repeat(20)].concat(),
            [&[127][..], &[1, 2, 5, 0, 4, 6, 9, 8, 3, 7, 9, 9].repeat(20)].concat(),
        ],
        _ => unreachable!("{target} has seeds"),
    }
}

/// Replays the corpus, which `UPDATE_CORPUS=1` writes, always the same.
#[test]
fn every_seed_of_the_identity_fuzz_targets_corpus_holds() {
    type Property = fn(&[u8]);
    let targets: [(&str, Property); 4] = [
        ("compact_certificate", identity::any_compact),
        ("clone_marks", identity::clone_marks),
        ("dispatch_script", dispatches::script),
        ("sharing_script", models::two_gateways),
    ];
    for (target, property) in targets {
        corpus(target, &seeds(target), property);
    }
}
