//! HMAC-SHA256 (RFC 2104, FIPS 198-1).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::sha256::len_prefix;
use crate::secret::Secret;

/// Computes the tag of a label and length-prefixed parts under a key.
#[must_use]
pub fn tag_parts(key: &Secret<32>, label: &[u8], parts: &[&[u8]]) -> Secret<32> {
    let mut mac = keyed(key.expose());
    mac.update(label);
    for part in parts {
        // Each part stands behind its length, so that no two lists of parts give one text.
        mac.update(&len_prefix(part));
        mac.update(part);
    }
    Secret::new(mac.finalize().into_bytes().into())
}

/// A key that authenticates many messages; its setup is done once.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Sets up a key.
    #[must_use]
    pub fn new(key: &Secret<32>) -> Self {
        Self(keyed(key.expose()))
    }

    /// Computes the tag of a message.
    #[must_use]
    pub fn tag(&self, message: &[u8]) -> Secret<32> {
        #[cfg(test)]
        tests::count();
        let mut mac = self.0.clone();
        mac.update(message);
        Secret::new(mac.finalize().into_bytes().into())
    }
}

crate::secret::redacted!(Key);

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC pads its key to the block. A key of the block's length takes the same path and cannot
    // fail.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::new(&block)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    std::thread_local! {
        static TAGS: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
    }

    pub(super) fn count() {
        TAGS.set(TAGS.get().saturating_add(1));
    }

    /// Returns the number of tags that this thread has computed with prepared keys.
    pub(crate) fn counted() -> u32 {
        TAGS.get()
    }

    #[test]
    fn a_padded_key_gives_the_tag_of_rfc_4231() {
        // RFC 4231, test case 2: key "Jefe".
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mut mac = keyed(&key);
        mac.update(b"what do ya want for nothing?");
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(tag[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
    }
}
