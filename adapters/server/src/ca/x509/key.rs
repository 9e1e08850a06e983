//! Private keys of certificates: ECDSA on P-256 with SHA-256.

use std::sync::Arc;

use handfast_core::secret::Secret;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

use crate::entropy;

/// Length of a point on P-256 without compression, in bytes.
pub(super) const POINT: usize = 65;
/// The beginning of an `ECPrivateKey` (RFC 5915) of 32 bytes.
const BEFORE: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
/// Its end: the curve is P-256. The point is left out, because it follows from the number.
const AFTER: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// Tries of drawing a key. One try in 4 billion gives a number beyond the curve's order.
const TRIES: usize = 8;

/// A private key on P-256, which signs certificates and TLS handshakes.
pub(crate) struct EcKey {
    number: Secret<32>,
    signing: Arc<dyn SigningKey>,
    point: [u8; POINT],
}

impl EcKey {
    pub(super) fn generate() -> Self {
        (0..TRIES)
            .find_map(|_| Self::from_number(entropy::key()))
            .expect("the library takes a random number as a key of P-256")
    }

    /// Returns the key with this private number; `None` if it is zero or beyond the curve's order.
    pub(super) fn from_number(number: Secret<32>) -> Option<Self> {
        // The encoded form has the private number, so it is wiped as well.
        let der = Zeroizing::new([&BEFORE[..], number.expose(), &AFTER].concat());
        let der = PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(&der[..]));
        let signing = any_ecdsa_type(&der).ok()?;
        let point = *signing.public_key()?.last_chunk::<POINT>()?;
        Some(Self { number, signing, point })
    }

    /// Returns the private number, for a sealed record.
    pub(super) const fn number(&self) -> &Secret<32> {
        &self.number
    }

    /// Returns the key for TLS handshakes.
    pub(super) fn for_tls(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.signing)
    }
}

impl std::fmt::Debug for EcKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EcKey").field("point", &self.point).finish_non_exhaustive()
    }
}

impl PublicKeyData for EcKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for EcKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.signing.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        signer.and_then(|signer| signer.sign(message).ok()).ok_or(rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_number_and_zero_is_no_key() {
        let key = EcKey::generate();
        let again = EcKey::from_number(Secret::new(*key.number().expose())).unwrap();
        assert_eq!(again.point, key.point);
        assert_eq!(key.point[0], 4, "the point is not compressed");
        for none in [[0; 32], [0xff; 32]] {
            assert!(EcKey::from_number(Secret::new(none)).is_none());
        }
    }

    #[test]
    fn the_number_is_not_shown() {
        let key = EcKey::from_number(Secret::new([7; 32])).unwrap();
        assert!(!format!("{key:?}").contains("7, 7, 7, 7"), "{key:?}");
    }
}
