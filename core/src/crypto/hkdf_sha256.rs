//! HKDF-SHA256 (RFC 5869) with two outputs and no info: the `HKDF` of Noise (section 4.3), and the
//! only form that this crate needs.

use zeroize::Zeroize;

use super::hmac_sha256;
use crate::secret::Secret;

/// Derives the first 64 bytes of HKDF with a salt of 32 bytes, as two keys.
#[must_use]
pub fn derive_two(salt: &Secret<32>, input: &[u8]) -> (Secret<32>, Secret<32>) {
    let key = hmac_sha256::tag_parts(salt, input, &[]);
    let first = hmac_sha256::tag_parts(&key, &[1], &[]);
    // The second block is `T(2) = HMAC(key, T(1) | 0x02)` (RFC 5869, section 2.3).
    let mut block = [2; 33];
    for (to, from) in block.iter_mut().zip(first.expose()) {
        *to = *from;
    }
    let second = hmac_sha256::tag_parts(&key, &block, &[]);
    block.zeroize();
    (first, second)
}
