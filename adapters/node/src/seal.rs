//! Encryption of what a node stores: XChaCha20-Poly1305, whose nonces are long enough to be random
//! for the whole life of a key.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use getrandom::{SysRng, rand_core::TryRng};
use handfast_core::secret::Secret;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// The bytes do not open: they were not sealed, or with another key or other associated data.
#[derive(Debug)]
pub(crate) struct DoesNotOpen;

/// Returns random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; N]);
    SysRng.try_fill_bytes(&mut *bytes).map(|()| bytes)
}

/// Seals a text: nonce, ciphertext and tag. `None` for more than 256 GiB.
pub(crate) fn seal(
    key: &Secret<32>,
    associated: &[u8],
    text: &[u8],
) -> Result<Option<Vec<u8>>, getrandom::Error> {
    // A nonce of 24 random bytes never repeats in practice, so no counter is stored.
    let nonce = random::<NONCE_BYTES>()?;
    // The capacity suffices for the whole text, so that growth leaves no copies of a secret behind.
    let mut bytes = Vec::with_capacity(NONCE_BYTES + text.len() + TAG_BYTES);
    bytes.extend_from_slice(&*nonce);
    bytes.extend_from_slice(text);
    let (_, place) = bytes.split_at_mut(NONCE_BYTES);
    let sealed =
        cipher(key).encrypt_inout_detached(&XNonce::from(*nonce), associated, place.into());
    let Ok(tag) = sealed else {
        // The text may have stayed as it was, so it is wiped.
        drop(Zeroizing::new(bytes));
        return Ok(None);
    };
    bytes.extend_from_slice(&tag);
    Ok(Some(bytes))
}

/// Opens the output of [`seal`] in place, and returns the text in it.
pub(crate) fn open<'b>(
    key: &Secret<32>,
    associated: &[u8],
    bytes: &'b mut [u8],
) -> Result<&'b mut [u8], DoesNotOpen> {
    let (nonce, rest) = bytes.split_first_chunk_mut::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
    let (text, tag) = rest.split_last_chunk_mut::<TAG_BYTES>().ok_or(DoesNotOpen)?;
    let opened = cipher(key).decrypt_inout_detached(
        &XNonce::from(*nonce),
        associated,
        (&mut *text).into(),
        &Tag::from(*tag),
    );
    opened.map_err(|_| DoesNotOpen)?;
    Ok(text)
}

fn cipher(key: &Secret<32>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose().into())
}
