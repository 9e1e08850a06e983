//! Sealing of secrets that the store keeps, with the store key.
//! ```text
//! sealed = 1 ‖ salt (32) ‖ ChaCha20-Poly1305(text) ‖ tag (16)
//! key    = HKDF-SHA256(store key, label ‖ salt)
//! ```
//! Every sealing has a key of its own, because it has a salt of its own, so no nonce is used twice.
//! A sealed text is bound to its label and id: it does not open in another place.

use handfast_core::crypto::aead::{self, TAG_BYTES};
use handfast_core::crypto::code::Code;
use handfast_core::crypto::hkdf_sha256;
use handfast_core::secret::Secret;
use zeroize::Zeroizing;

/// Size in bytes of a sealed text in the registry: a pair of private keys, or the longest code,
/// padded with zeros.
const TEXT: usize = 64;
const SALT: usize = 32;
const VERSION: u8 = 1;

/// Kind of a sealed text. A text of one kind does not open as another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SealKind {
    /// The gateway's own private keys.
    GatewayKeys,
    /// The secret of a PIN or code.
    Code,
    /// The key that signs setup codes.
    SetupKey,
    /// The roots of the certificate authority.
    Authority,
    /// The certificate of the listener for browsers, with its key.
    ListenerCertificate,
    /// The key of the marks by which a copied node is noticed.
    MarkKey,
    /// The key of messages between gateways.
    #[cfg(feature = "nats")]
    BusKey,
}

impl SealKind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::GatewayKeys => b"handfast/v1/sealed-gateway-keys\0",
            Self::Code => b"handfast/v1/sealed-code\0",
            Self::SetupKey => b"handfast/v1/sealed-setup-key\0",
            Self::Authority => b"handfast/v1/sealed-authority\0",
            Self::ListenerCertificate => b"handfast/v1/sealed-listener-certificate\0",
            Self::MarkKey => b"handfast/v1/sealed-mark-key\0",
            #[cfg(feature = "nats")]
            Self::BusKey => b"handfast/v1/sealed-bus-key\0",
        }
    }
}

/// Error of a text that was sealed with another key or for another place, or that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealBroken;

/// The key that seals all secrets in the registry.
pub(crate) struct StoreKey(pub(crate) Secret<32>);

impl StoreKey {
    /// Returns a copy of the key, for another owner.
    pub(crate) fn copy(&self) -> Secret<32> {
        Secret::new(*self.0.expose())
    }

    pub(crate) fn seal(&self, kind: SealKind, id: &[u8], text: &Secret<TEXT>) -> Vec<u8> {
        self.seal_text(kind, id, text.expose())
    }

    pub(crate) fn open(
        &self,
        kind: SealKind,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<Secret<TEXT>, SealBroken> {
        let text = self.open_text(kind, id, sealed)?;
        let text: &[u8; TEXT] = text.as_slice().try_into().map_err(|_| SealBroken)?;
        Ok(Secret::new(*text))
    }

    /// Seals a text of any length. The length is not hidden.
    pub(crate) fn seal_text(&self, kind: SealKind, id: &[u8], text: &[u8]) -> Vec<u8> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).expect("the operating system gives no randomness");
        let mut inside = Zeroizing::new(text.to_owned());
        // The nonce is always 0, because each key seals one text.
        let tag = aead::seal(&self.derive(kind, &salt), 0, &associated(kind, id), &mut inside);
        let tag = tag.expect("a text in memory is not too long");
        [&[VERSION], &salt[..], &inside[..], &tag].concat()
    }

    /// Opens a text of any length.
    pub(crate) fn open_text(
        &self,
        kind: SealKind,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealBroken> {
        let (version, rest) = sealed.split_first().ok_or(SealBroken)?;
        let (salt, rest) = rest.split_first_chunk::<SALT>().ok_or(SealBroken)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(SealBroken)?;
        if *version != VERSION {
            return Err(SealBroken);
        }
        let mut inside = Zeroizing::new(text.to_owned());
        aead::open(&self.derive(kind, salt), 0, &associated(kind, id), &mut inside, tag)
            .map_err(|_| SealBroken)?;
        Ok(inside)
    }

    pub(crate) fn seal_code(&self, id: &[u8], code: &Code) -> Vec<u8> {
        let mut text = Zeroizing::new([0; TEXT]);
        // The rest stays zero, so that the sealed text does not tell how long the code is.
        text.iter_mut().zip(code.expose()).for_each(|(to, from)| *to = *from);
        self.seal(SealKind::Code, id, &Secret::new(*text))
    }

    pub(crate) fn open_code(&self, id: &[u8], sealed: &[u8]) -> Result<Code, SealBroken> {
        let text = self.open(SealKind::Code, id, sealed)?;
        let text = std::str::from_utf8(text.expose()).map_err(|_| SealBroken)?;
        Code::parse(text.trim_end_matches('\0')).map_err(|_| SealBroken)
    }

    fn derive(&self, kind: SealKind, salt: &[u8; SALT]) -> Secret<32> {
        hkdf_sha256::derive_two(&self.0, &[kind.label(), salt].concat()).0
    }
}

fn associated(kind: SealKind, id: &[u8]) -> Vec<u8> {
    [kind.label(), id].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> StoreKey {
        StoreKey(Secret::new([byte; 32]))
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_at_its_place_and_nowhere_else() {
        let text = Secret::new([7; TEXT]);
        let sealed = key(1).seal(SealKind::Code, b"one", &text);
        assert_eq!(key(1).open(SealKind::Code, b"one", &sealed), Ok(text));
        assert_eq!(key(2).open(SealKind::Code, b"one", &sealed), Err(SealBroken));
        assert_eq!(key(1).open(SealKind::Code, b"two", &sealed), Err(SealBroken));
        assert_eq!(key(1).open(SealKind::GatewayKeys, b"one", &sealed), Err(SealBroken));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key(1).open(SealKind::Code, b"one", &changed), Err(SealBroken), "byte {at}");
            assert_eq!(
                key(1).open(SealKind::Code, b"one", &sealed[..at]),
                Err(SealBroken),
                "{at} bytes"
            );
        }
    }

    #[test]
    fn the_same_code_is_never_sealed_the_same_way_twice_and_its_length_does_not_show() {
        let code = Code::parse("847291").unwrap();
        let (first, second) = (key(1).seal_code(b"id", &code), key(1).seal_code(b"id", &code));
        assert_ne!(first, second);
        assert_eq!(
            first.len(),
            key(1).seal_code(b"id", &Code::parse("K7QFK7QFK7QFK7QF").unwrap()).len()
        );
        assert_eq!(key(1).open_code(b"id", &first), Ok(code));
    }
}
