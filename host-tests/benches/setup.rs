//! Costs of setup codes, companions' sessions and the inbound gate's decision, beside HMAC-SHA256
//! of the same bytes as the lower bound.

#![allow(missing_docs, reason = "a bench has no readers")]

use std::hint::black_box;

use divan::Bencher;
use handfast_core::flow::inbound::{ChannelPolicy, Seen, Verdict, decide};
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::grant::setup_code::{NotValid, SetupKey, Terms, VERIFY_SCRATCH, issue, verify};
use handfast_core::limits::{SETUP_PAYLOAD_CHARS, SETUP_TOKEN_CHARS};
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, InboundLimits};
use handfast_core::secret::Secret;
use handfast_core::wire::setup::{Payload, ProfileName};
use handfast_core::{Entropy, Span, UnixTime};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn main() {
    divan::main();
}

const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);
const CLAIMS: &[u8] =
    br#"{"profile":"companion-v1","expires_at":"2025-06-15T15:16:40Z","nonce":"abababababababababababababababab"}"#;

fn key(byte: u8) -> SetupKey {
    SetupKey::new(&Secret::new([byte; 32])).expect("not all zero")
}

fn token(
    key: &SetupKey,
    out: &mut [u8; SETUP_TOKEN_CHARS],
) -> Result<usize, handfast_core::grant::setup_code::NotIssued> {
    let profile = ProfileName::parse("companion-v1").expect("a profile");
    let terms = Terms { profile, device_label: None, ttl: Span::from_secs(600), bound: false };
    issue(key, &terms, NOW, &Entropy::from_recorded([0xab; 16]), out)
        .map(|issued| issued.token.len())
}

fn text(key: &SetupKey) -> String {
    let mut out = [0; SETUP_TOKEN_CHARS];
    let length = token(key, &mut out).expect("a token");
    String::from_utf8(out[..length].to_vec()).expect("ASCII")
}

fn verified(keys: &[SetupKey], token: &str) -> Result<UnixTime, NotValid> {
    let mut scratch = [0; VERIFY_SCRATCH];
    verify(black_box(keys), black_box(token), &mut scratch)
        .map(|verified| verified.claims().expires_at)
}

/// Measures HMAC with a prepared key, as a gateway uses it.
#[divan::bench]
fn hmac_sha256_of_the_claims(bencher: Bencher<'_, '_>) {
    let keyed = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("any length");
    bencher.bench_local(|| keyed.clone().chain_update(black_box(CLAIMS)).finalize());
}

/// Measures HMAC with its key set up each time, as for a caller that keeps only the key's bytes.
#[divan::bench]
fn hmac_sha256_of_the_claims_with_its_key(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        Hmac::<Sha256>::new_from_slice(black_box(&[7; 32]))
            .expect("any length")
            .chain_update(black_box(CLAIMS))
            .finalize()
    });
}

#[divan::bench]
fn issue_a_code(bencher: Bencher<'_, '_>) {
    let key = key(7);
    let mut out = [0; SETUP_TOKEN_CHARS];
    bencher.bench_local(|| token(black_box(&key), &mut out));
}

#[divan::bench]
fn verify_a_code(bencher: Bencher<'_, '_>) {
    let (keys, token) = ([key(7)], text(&key(7)));
    assert!(verified(&keys, &token).is_ok());
    bencher.bench_local(|| verified(&keys, &token));
}

#[divan::bench]
fn verify_a_code_of_the_older_of_two_keys(bencher: Bencher<'_, '_>) {
    let (keys, token) = ([key(8), key(7)], text(&key(7)));
    assert!(verified(&keys, &token).is_ok());
    bencher.bench_local(|| verified(&keys, &token));
}

#[divan::bench]
fn refuse_a_bad_signature(bencher: Bencher<'_, '_>) {
    let (keys, token) = ([key(8)], text(&key(7)));
    assert_eq!(verified(&keys, &token), Err(NotValid::Signature));
    bencher.bench_local(|| verified(&keys, &token));
}

fn payload(token: &str) -> Payload<'_> {
    Payload {
        url: "wss://gateway.example/",
        bootstrap_token: token,
        expires_at: NOW,
        fingerprint: None,
    }
}

#[divan::bench]
fn encode_a_payload(bencher: Bencher<'_, '_>) {
    let token = text(&key(7));
    let (mut scratch, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
    bencher.bench_local(|| payload(black_box(&token)).encode(&mut scratch, &mut out).map(str::len));
}

#[divan::bench]
fn decode_a_payload(bencher: Bencher<'_, '_>) {
    let token = text(&key(7));
    let (mut scratch, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
    let text = payload(&token).encode(&mut scratch, &mut out).expect("it fits").to_owned();
    bencher.bench_local(|| {
        let mut scratch = [0; 2 * SETUP_PAYLOAD_CHARS];
        Payload::decode(black_box(&text), &mut scratch).map(|payload| payload.expires_at)
    });
}

#[divan::bench]
fn hash_a_sessions_token(bencher: Bencher<'_, '_>) {
    let token = Token::parse("HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ").expect("a token");
    bencher.bench_local(|| SessionHash::of(black_box(&token)));
}

#[divan::bench]
fn decide_about_a_known_sender(bencher: Bencher<'_, '_>) {
    let facts =
        Facts { allowed: Some(Allowed { until: None, revoked_at: None }), ..Facts::default() };
    bencher.bench_local(|| decided(&facts));
}

#[divan::bench]
fn decide_about_a_stranger(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| decided(&Facts::default()));
}

fn decided(facts: &Facts) -> Verdict {
    let fresh = ChallengeCode::parse("ABCD2345").expect("a code");
    decide(
        ChannelPolicy { auto_challenge: true },
        Seen::Sender,
        black_box(facts),
        &InboundLimits::DEFAULT,
        fresh,
        NOW,
    )
}
