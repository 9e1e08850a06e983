//! A node's signed request for a new certificate.

use serde::{Deserialize, Serialize};

use crate::crypto::ed25519::{BadSignature, KeyPair, PublicKey, Signature};
use crate::crypto::labels;
use crate::crypto::noise::HandshakeHash;
use crate::wire::native::pair::Csr;

/// A node's signed request for a new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CertificateRenewal<'b> {
    #[serde(borrow)]
    csr: Option<Csr<'b>>,
    signature: Signature,
}

impl<'b> CertificateRenewal<'b> {
    /// Signs a request for the channel with this hash: for an X.509 certificate with a certificate
    /// request, for a compact one without.
    #[must_use]
    pub fn sign(csr: Option<Csr<'b>>, keys: &KeyPair, hash: &HandshakeHash) -> Self {
        Self { csr, signature: keys.sign(labels::RENEW_CERTIFICATE, covered(csr.as_ref(), hash)) }
    }

    /// Verifies that the holder of this key made the request on the channel with this hash, and
    /// only then returns it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(
        self,
        key: &PublicKey,
        hash: &HandshakeHash,
    ) -> Result<VerifiedRenewal<'b>, BadSignature> {
        let Self { csr, signature } = self;
        key.verify(labels::RENEW_CERTIFICATE, covered(csr.as_ref(), hash), &signature)?;
        Ok(VerifiedRenewal { csr })
    }
}

/// Returns the parts of a renewal in the order in which they are signed. No certificate request is
/// empty, so the absence of one is signed as well.
fn covered<'a>(csr: Option<&'a Csr<'_>>, hash: &'a HandshakeHash) -> [&'a [u8]; 2] {
    [hash.as_bytes(), csr.map_or(&[], |csr| csr.as_bytes())]
}

/// A [`CertificateRenewal`] whose signature was verified. Only [`CertificateRenewal::verify`] makes
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VerifiedRenewal<'b> {
    csr: Option<Csr<'b>>,
}

impl<'b> VerifiedRenewal<'b> {
    /// Returns the certificate request; `None` if the node wants the compact certificate.
    #[must_use]
    pub const fn csr(&self) -> Option<&Csr<'b>> {
        self.csr.as_ref()
    }
}
