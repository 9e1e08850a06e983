//! ChaCha20-Poly1305 (RFC 8439) as Noise uses it: the nonce is a counter, and the text is sealed in
//! place.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};

use crate::secret::Secret;

/// Length of the tag that sealing adds, in bytes.
pub const TAG_BYTES: usize = 16;

/// The tag does not match the key, nonce, associated data and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Forged;

/// Encrypts the text in place and returns its tag; `None` beyond 256 GiB, which no caller of this
/// crate reaches.
#[must_use]
pub fn seal(
    key: &Secret<32>,
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
) -> Option<[u8; TAG_BYTES]> {
    let tag = cipher(key).encrypt_inout_detached(&nonce(counter), associated, text.into());
    tag.ok().map(Into::into)
}

/// Checks the tag in constant time and decrypts the text in place. A text that fails the check
/// stays encrypted.
///
/// # Errors
/// [`Forged`], if the tag does not match.
pub fn open(
    key: &Secret<32>,
    counter: u64,
    associated: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), Forged> {
    let opened = cipher(key).decrypt_inout_detached(
        &nonce(counter),
        associated,
        text.into(),
        &Tag::from(*tag),
    );
    opened.map_err(|_| Forged)
}

fn cipher(key: &Secret<32>) -> ChaCha20Poly1305 {
    let key: &Key = key.expose().into();
    ChaCha20Poly1305::new(key)
}

/// Returns four zero bytes and the counter, little endian (Noise, section 12.3).
fn nonce(counter: u64) -> Nonce {
    let mut nonce = Nonce::default();
    // Noise: 32 zero bits, then the counter in little-endian order.
    for (to, from) in nonce.iter_mut().skip(4).zip(counter.to_le_bytes()) {
        *to = from;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_only_unchanged() {
        let key = Secret::new([7; 32]);
        let mut text = *b"twelve bytes";
        let tag = seal(&key, 3, b"with", &mut text).unwrap();
        let sealed = text;
        assert_eq!(open(&key, 4, b"with", &mut text, &tag), Err(Forged));
        assert_eq!(open(&key, 3, b"without", &mut text, &tag), Err(Forged));
        assert_eq!(text, sealed, "a text that fails stays encrypted");
        assert_eq!(open(&key, 3, b"with", &mut text, &tag), Ok(()));
        assert_eq!(&text, b"twelve bytes");
    }

    #[test]
    fn the_counter_stands_behind_four_zeros() {
        let nonce: [u8; 12] = nonce(0x0102_0304_0506_0708).into();
        assert_eq!(nonce, [0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
