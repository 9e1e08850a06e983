//! The messages of the native wire: the committed vectors, and peers that send invalid ones.

#[path = "native_wire/mirror.rs"]
mod mirror;
#[path = "native_wire/parts.rs"]
mod parts;
#[path = "native_wire/samples.rs"]
mod samples;
#[path = "native_wire/signatures.rs"]
mod signatures;

use handfast_core::Undecodable;
use handfast_core::limits::{ASKED_SCOPES_BYTES, SETUP_TOKEN_CHARS};
use handfast_core::wire::native::open::{
    ClearRefusal, FirstAnswer, Intent, NotOpened, Open, Versions,
};
use handfast_core::wire::native::pair::{
    self, Ask, AskDefect, AskedScopes, Method, NativeProfile, Request, Selector,
};
use handfast_core::wire::native::{
    Bounded, CapabilityName, Features, NotWritten, ReasonText, link,
};
use handfast_core::wire::registration::Profile;
use handfast_host_tests::native_wire::{KINDS, Kind, any_bytes};
use handfast_host_tests::prng::Prng;
use samples::{HASH, Sample, keys, label, request, samples};

/// Returns an `Ask` that core accepts, as a declaration without checks.
fn plain_ask() -> mirror::Ask<'static> {
    mirror::Ask {
        features: 17,
        name: "Küche",
        room: "unknown",
        profile: "{}",
        method: mirror::Method::Pin,
        wants: "read:/lights/**",
        csr: None,
        signer: None,
    }
}

/// Returns a message with an id of 16 bytes behind its first bytes.
fn with_id(first: &[u8], rest: &[u8]) -> Vec<u8> {
    [first, &[3; 16], rest].concat()
}

fn refusal(kind: Kind, theirs: &impl serde::Serialize) -> Option<Undecodable> {
    kind.again(&mirror::bytes(theirs)).err()
}

#[test]
fn every_message_is_the_one_of_the_committed_vectors_and_no_variant_is_without_one() {
    let all = samples();
    let last = |kind: Kind| all.iter().filter(|of| of.kind == kind).map(|of| of.bytes[0]).max();
    assert_eq!(KINDS.map(last), [4, 10, 16, 19, 2, 1].map(Some), "the last variant of each kind");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let vectors: Vec<_> = all
        .iter()
        .map(|Sample { kind, what, bytes }| {
            serde_json::json!({ "kind": format!("{kind:?}"), "message": what, "bytes": hex(bytes) })
        })
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/native-messages.json");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
        std::fs::write(path, text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    let committed: Vec<serde_json::Value> = serde_json::from_str(&committed).unwrap();
    for (vector, committed) in vectors.iter().zip(&committed) {
        assert_eq!(vector, committed, "released messages never change");
    }
    assert_eq!(vectors.len(), committed.len(), "UPDATE_VECTORS=1 writes the file");
}

#[test]
fn a_message_cut_anywhere_is_truncated_and_nothing_may_stand_behind_one() {
    for Sample { kind, bytes, .. } in samples() {
        for end in 0..bytes.len() {
            assert_eq!(
                kind.again(&bytes[..end]),
                Err(Undecodable::Truncated),
                "{kind:?} {bytes:?} at {end}"
            );
        }
        for more in 0..=255 {
            let longer = [bytes.as_slice(), &[more]].concat();
            assert_eq!(kind.again(&longer), Err(Undecodable::Trailing), "{kind:?} {bytes:?}");
        }
    }
}

#[test]
fn a_number_written_longer_than_need_be_is_taken_for_itself() {
    for Sample { kind, bytes, .. } in samples() {
        // The number of the message.
        let longer = [&[bytes[0] | 0x80, 0], &bytes[1..]].concat();
        assert_eq!(kind.again(&longer), Ok(Ok(bytes)), "{kind:?}");
    }
    let larger = [0, 0xff, 0xff, 0xff, 0xff, 0x1f];
    assert_eq!(Kind::PairFromGateway.again(&larger), Err(Undecodable::Number), "beyond 32 bits");
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    for (kind, known) in KINDS.into_iter().zip([5, 11, 17, 20, 3, 2]) {
        for number in known..=127 {
            assert_eq!(kind.again(&[number]), Err(Undecodable::Value), "{kind:?} {number}");
        }
    }
    // In order: refusal, object, last, policy, renewal, chain, action, time of a heartbeat, bye,
    // outcome, share above all, answer, outcome of an answer that another one follows.
    for (kind, bytes) in [
        (Kind::PairFromGateway, &[4, 11][..]),
        (Kind::PairFromGateway, &[5, 4]),
        (Kind::LinkFromNode, &[7, 0, 0, 2]),
        (Kind::LinkFromGateway, &[1, 5]),
        (Kind::LinkFromNode, &[3, 3]),
        (Kind::LinkFromNode, &[4, 2]),
        (Kind::LinkFromNode, &[5, 3]),
        (Kind::LinkFromGateway, &[0, 2]),
        (Kind::LinkFromGateway, &[10, 6]),
        (Kind::LinkFromNode, &with_id(&[2], &[7])),
        (Kind::LinkFromNode, &with_id(&[13], &[1, 101, 0])),
        (Kind::LinkFromNode, &with_id(&[14], &[1, 7])),
        (Kind::LinkFromNode, &with_id(&[14], &[1, 2, 0])),
        (Kind::LinkFromNode, &with_id(&[14], &[1, 2, 5])),
    ] {
        assert_eq!(kind.again(bytes), Err(Undecodable::Value), "{kind:?} {bytes:?}");
    }
}

#[test]
fn text_that_its_field_does_not_allow_is_refused() {
    let ask = plain_ask();
    let long = format!("read:/{}", "a".repeat(91));
    for wants in ["read", "read:", "read:a", "eat:/a", "read:/a\n\n", "\n", " read:/", &long] {
        let theirs = mirror::PairFromNode::Ask(mirror::Ask { wants, ..ask.clone() });
        assert_eq!(refusal(Kind::PairFromNode, &theirs), Some(Undecodable::Value), "{wants:?}");
    }
    assert_eq!(refusal(Kind::PairFromNode, &mirror::PairFromNode::Ask(ask.clone())), None);
    let long = "a".repeat(65);
    for name in ["", " ", "a\nb", "\u{202e}txt", &long] {
        let theirs = mirror::PairFromNode::Ask(mirror::Ask { name, ..ask.clone() });
        assert_eq!(refusal(Kind::PairFromNode, &theirs), Some(Undecodable::Value), "{name:?}");
        let theirs = mirror::PairFromNode::Ask(mirror::Ask { room: name, ..ask.clone() });
        assert_eq!(refusal(Kind::PairFromNode, &theirs), Some(Undecodable::Value), "{name:?}");
    }
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(250));
    for profile in ["", "[]", "7", "{", &large] {
        let theirs = mirror::PairFromNode::Ask(mirror::Ask { profile, ..ask.clone() });
        assert_eq!(refusal(Kind::PairFromNode, &theirs), Some(Undecodable::Value), "{profile:?}");
    }
    for selector in [*b"k7qf", *b"A-1B", [0; 4], [0xff; 4]] {
        let theirs = mirror::PairFromNode::Ask(mirror::Ask {
            method: mirror::Method::Code { selector },
            ..ask.clone()
        });
        assert_eq!(refusal(Kind::PairFromNode, &theirs), Some(Undecodable::Value), "{selector:?}");
    }
    let deep = "/a".repeat(17);
    for path in ["", "a", "/a/", "//", "/a//b", "/.", "/../a", "/a\n", "/a*", "/**/**", &deep] {
        let theirs = mirror::LinkFromNode::Subscribe { pattern: path };
        assert_eq!(refusal(Kind::LinkFromNode, &theirs), Some(Undecodable::Value), "{path:?}");
    }
    for address in ["/*", "/a/**", "", "/a/"] {
        let theirs = mirror::LinkFromNode::App(mirror::App {
            action: mirror::Action::Read,
            address,
            bytes: &[],
        });
        assert_eq!(refusal(Kind::LinkFromNode, &theirs), Some(Undecodable::Value), "{address:?}");
    }
    let long = "a".repeat(161);
    for reason in ["", "  ", "\u{1b}[2J", &long] {
        let theirs =
            mirror::PairFromGateway::Refused(mirror::Refusal::Denied { reason: Some(reason) });
        assert_eq!(refusal(Kind::PairFromGateway, &theirs), Some(Undecodable::Value), "{reason:?}");
        assert_eq!(ReasonText::parse(reason), None);
    }
    let long = "a".repeat(33);
    for capability in ["", "Echo", "a b", "ä", &long] {
        let (version, available, idempotent) = ("1", true, false);
        let theirs = mirror::LinkFromNode::Announce { capability, version, available, idempotent };
        assert_eq!(
            refusal(Kind::LinkFromNode, &theirs),
            Some(Undecodable::Value),
            "{capability:?}"
        );
        assert_eq!(CapabilityName::parse(capability), None);
    }
    for noise_level in ["", "x", "01", "1 "] {
        let theirs = mirror::LinkFromNode::Heartbeat {
            occupancy: None,
            noise_level: Some(noise_level),
            wake_word_fp: None,
        };
        assert_eq!(
            refusal(Kind::LinkFromNode, &theirs),
            Some(Undecodable::Value),
            "{noise_level:?}"
        );
    }
    let long = "a".repeat(SETUP_TOKEN_CHARS + 1);
    for token in ["", &long] {
        assert_eq!(
            refusal(Kind::PairFromNode, &mirror::PairFromNode::SetupCode(token)),
            Some(Undecodable::Value),
            "{token:?}"
        );
    }
    assert_eq!(Kind::PairFromNode.again(&[4, 1, 0xff]), Err(Undecodable::Value));
    // The last case is not UTF-8.
    assert_eq!(Kind::LinkFromNode.again(&[6, 2, b'/', 0xff]), Err(Undecodable::Value));
}

#[test]
fn bytes_that_are_too_few_or_too_many_for_their_field_are_refused() {
    let csr = |csr| {
        let signature = ([0; 32], [0; 32]);
        mirror::LinkFromNode::Renew(mirror::Renew::Certificate { csr: Some(csr), signature })
    };
    let chain = |bytes| mirror::LinkFromNode::Present { chain: mirror::Chain::Here(bytes) };
    let part = |last, bytes| {
        mirror::LinkFromNode::Part(mirror::Part {
            object: mirror::Object::Chain,
            index: 0,
            last,
            bytes,
        })
    };
    let app = |bytes| {
        mirror::LinkFromNode::App(mirror::App { action: mirror::Action::Read, address: "/", bytes })
    };
    for theirs in [
        csr(&[]),
        csr(&[0; 513]),
        chain(&[]),
        chain(&[0; 513]),
        part(true, &[]),
        part(true, &[0; 1001]),
        part(false, &[0; 999]),
        app(&[0; 865]),
    ] {
        assert_eq!(refusal(Kind::LinkFromNode, &theirs), Some(Undecodable::Value));
    }
    assert_eq!(
        refusal(Kind::LinkFromNode, &app(&[0; 1005])),
        Some(Undecodable::TooLong),
        "1 010 bytes"
    );
}

#[test]
fn public_keys_that_are_none_are_refused() {
    for ed25519 in [[0; 32], [0xff; 32]] {
        let signer = Some(mirror::Signer { ed25519, signature: ([0; 32], [0; 32]) });
        let theirs = mirror::PairFromNode::Ask(mirror::Ask { signer, ..plain_ask() });
        assert_eq!(refusal(Kind::PairFromNode, &theirs), Some(Undecodable::Value));
    }
    let theirs = mirror::LinkFromGateway::Policy(mirror::Policy::GatewayKey([0xff; 32]));
    assert_eq!(refusal(Kind::LinkFromGateway, &theirs), Some(Undecodable::Value));
}

#[test]
fn only_an_outcome_that_no_other_follows_answers_that_a_dispatch_is_done() {
    use link::DispatchOutcome::{AwaitingMediation, Cancelled, Started, TimedOut};
    for outcome in [AwaitingMediation, Started] {
        assert_eq!(link::FinalOutcome::new(outcome), None);
    }
    for outcome in [Cancelled, TimedOut] {
        assert_eq!(link::FinalOutcome::new(outcome).map(|done| done.outcome()), Some(outcome));
    }
}

#[test]
fn an_ask_without_a_signer_names_no_signing_key_and_gets_no_certificate() {
    let plain = Request { csr: None, ..request() };
    let asked = Ask::unsigned(plain).verify(&HASH).unwrap();
    assert_eq!((*asked.request(), asked.key()), (plain, None));
    assert_eq!(Ask::unsigned(plain).covered(&HASH), None);
    assert_eq!(Ask::unsigned(request()).verify(&HASH), Err(AskDefect::Unsigned));
}

#[test]
fn bits_of_features_that_nobody_knows_are_read_and_change_nothing() {
    let features = Features::from_bits(u64::MAX << 7).with(Features::PING);
    assert!(features.contains(Features::PING) && !features.contains(Features::APP));
    let message = pair::PairFromNode::Ask(Ask::unsigned(Request { features, ..request() }));
    let mut out = [0; 1008];
    let written = message.write(&mut out).unwrap();
    assert_eq!(pair::PairFromNode::parse(written), Ok(message));
}

#[test]
fn an_ask_fits_whatever_its_names_and_tells_when_its_certificate_request_is_too_much() {
    let widest = "𐍈".repeat(64);
    let wants = format!("read:/{}\n", "a".repeat(89));
    assert_eq!(wants.len(), ASKED_SCOPES_BYTES);
    let object = format!("{{\"a\":\"{}\"}}", "x".repeat(248));
    let profile = NativeProfile::new(Profile::parse(&object).unwrap()).unwrap();
    let method = Method::Code { selector: Selector::parse("AAAA").unwrap() };
    let request = Request {
        features: Features::from_bits(u64::MAX),
        name: label(&widest),
        room: label(&widest),
        profile,
        method,
        wants: AskedScopes::parse(&wants).unwrap(),
        csr: None,
    };
    let message = pair::PairFromNode::Ask(Ask::sign(request, &keys(), &HASH));
    let mut out = [0; 1008];
    let length = message.write(&mut out).unwrap().len();
    assert_eq!(pair::PairFromNode::parse(&out[..length]), Ok(message));
    for room in 0..length {
        assert_eq!(message.write(&mut vec![0; room]), Err(NotWritten::BufferTooSmall));
    }
    let request = Request { csr: Bounded::new(&[0; 512]), ..request };
    let message = pair::PairFromNode::Ask(Ask::sign(request, &keys(), &HASH));
    assert_eq!(message.write(&mut [0; 2000]), Err(NotWritten::MessageTooLong));
    assert_eq!(
        NativeProfile::new(Profile::parse(&format!("{object} ")).unwrap()),
        None,
        "257 bytes"
    );
}

#[test]
fn open_is_of_version_one_and_keeps_its_bytes() {
    for (intent, theirs) in [
        (Intent::Pair, mirror::Intent::Pair),
        (Intent::Link, mirror::Intent::Link),
        (Intent::Delegate, mirror::Intent::Delegate),
    ] {
        let theirs = mirror::bytes(&mirror::Open { version: 1, intent: theirs });
        let open = Open::parse(&theirs).unwrap();
        assert_eq!((open.intent(), open.as_bytes()), (intent, theirs.as_slice()));
        assert_eq!(Open::new(intent).as_bytes(), theirs);
    }
    for (bytes, malformed) in [
        (&[][..], Undecodable::Truncated),
        (&[1], Undecodable::Truncated),
        (&[1, 3], Undecodable::Value),
        (&[1, 0x80, 0], Undecodable::Number),
        (&[1, 0, 0], Undecodable::Trailing),
    ] {
        assert_eq!(Open::parse(bytes), Err(NotOpened::Malformed(malformed)), "{bytes:?}");
    }
    for version in (0..=255).filter(|version| *version != 1) {
        assert_eq!(
            Open::parse(&[version, 0]),
            Err(NotOpened::Version(version)),
            "whatever follows"
        );
        assert_eq!(
            Open::parse(&[version, 9, 9, 9]),
            Err(NotOpened::Version(version)),
            "whatever follows"
        );
    }
}

#[test]
fn a_refusal_in_clear_is_told_from_a_handshake_by_its_length() {
    assert_eq!(FirstAnswer::parse(&[0]), Ok(FirstAnswer::Clear(ClearRefusal::Refused)));
    let unsupported = ClearRefusal::Unsupported { versions: Versions::OURS };
    assert_eq!(FirstAnswer::parse(&[1, 1, 1]), Ok(FirstAnswer::Clear(unsupported)));
    assert_eq!(FirstAnswer::parse(&[0; 48]), Ok(FirstAnswer::Handshake(&[0; 48])));
    assert_eq!(FirstAnswer::parse(&[]), Err(Undecodable::Truncated));
    for (bytes, error) in [
        (&[1, 0][..], Undecodable::Value),
        (&[1, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9], Undecodable::Value),
        (&[1, 2, 2, 1], Undecodable::Value),
        (&[1, 2, 1, 1], Undecodable::Value),
        (&[0; 16], Undecodable::Trailing),
    ] {
        assert_eq!(FirstAnswer::parse(bytes), Err(error), "{bytes:?}");
    }
}

/// Replays the corpus, to which `UPDATE_CORPUS=1` adds a seed of every variant.
#[test]
fn every_variant_is_a_seed_of_the_corpus_and_every_seed_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/native_wire");
    let mut variants = std::collections::BTreeMap::new();
    for Sample { kind, bytes, .. } in samples() {
        let name = format!("{kind:?}_{:02}", bytes[0]);
        variants.entry(name).or_insert(bytes);
    }
    for (name, bytes) in variants {
        let path = std::path::Path::new(corpus).join(&name);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        let seed = std::fs::read(&path).ok();
        assert_eq!(seed, Some(bytes), "{name}: UPDATE_CORPUS=1 writes it");
    }
    for seed in std::fs::read_dir(corpus).unwrap() {
        any_bytes(&std::fs::read(seed.unwrap().path()).unwrap());
    }
}

#[test]
fn any_bytes_and_any_change_to_a_message_are_refused_or_written_again_as_they_were() {
    let all = samples();
    let mut chance = Prng::new(1);
    for Sample { bytes, .. } in &all {
        any_bytes(bytes);
    }
    for round in 0..20_000u32 {
        let mut bytes = if round % 4 == 0 {
            (0..chance.below(64)).map(|_| chance.draw().to_le_bytes()[0]).collect()
        } else {
            all[usize::try_from(chance.below(all.len() as u64)).unwrap()].bytes.clone()
        };
        for _ in 0..chance.below(3) {
            if let Some(at) = chance.draw().checked_rem(bytes.len() as u64) {
                bytes[usize::try_from(at).unwrap()] = chance.draw().to_le_bytes()[0];
            }
        }
        any_bytes(&bytes);
    }
}
