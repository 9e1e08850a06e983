//! HMAC-SHA512 (RFC 2104, FIPS 198-1), for the confirmation tags of CPace.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;

use crate::secret::Secret;

/// Computes the tag of the parts, in order, under a key of 64 bytes.
#[must_use]
pub fn tag(key: &Secret<64>, parts: &[&[u8]]) -> Secret<64> {
    // HMAC pads its key to the block. A key of the block's length takes the same path and cannot
    // fail.
    let mut block = hmac::digest::Key::<Hmac<Sha512>>::default();
    for (to, from) in block.iter_mut().zip(key.expose()) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha512>::new(&block);
    // The padded copy holds the key.
    zeroize::Zeroize::zeroize(block.as_mut_slice());
    for part in parts {
        mac.update(part);
    }
    Secret::new(mac.finalize().into_bytes().into())
}
