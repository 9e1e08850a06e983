//! Certificate requests (PKCS #10). Only the public key is taken from one: the names, key usages
//! and extensions that it asks for have no effect.

use handfast_core::crypto::ed25519::{PublicKey, Signature};
use handfast_core::limits::CSR_BYTES;
use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::NotARequest;
use super::key::POINT;

/// The beginning of a `SubjectPublicKeyInfo` (RFC 5480) with a point on P-256.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The beginning of a `SubjectPublicKeyInfo` (RFC 8410) with an Ed25519 key.
const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The first byte of a point without compression.
const UNCOMPRESSED: u8 = 4;
/// ecdsa-with-SHA256, as the content of a DER object identifier.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// id-Ed25519, likewise.
const ED25519_SIGNATURE: &[u8] = &[0x2b, 0x65, 0x70];

/// The public key of a certificate request whose signature was verified.
#[derive(Clone, Debug)]
pub struct RequestedKey {
    der: Vec<u8>,
    info: SubjectPublicKeyInfo,
}

impl RequestedKey {
    /// Reads a request and verifies its signature, which proves that the node has the key.
    ///
    /// # Errors
    /// [`NotARequest`].
    pub fn from_csr(csr: &[u8]) -> Result<Self, NotARequest> {
        if csr.len() > CSR_BYTES {
            return Err(NotARequest::TooLong);
        }
        let (rest, request) =
            X509CertificationRequest::from_der(csr).map_err(|_| NotARequest::Malformed)?;
        // What follows the request is covered by no signature.
        if !rest.is_empty() || request.signature_value.unused_bits != 0 {
            return Err(NotARequest::Malformed);
        }
        let signed = request.certification_request_info.raw;
        let signature = &*request.signature_value.data;
        let algorithm = request.signature_algorithm.algorithm.as_bytes();
        // One encoding of each key is accepted, so that equal keys have equal hashes.
        let der = request.certification_request_info.subject_pki.raw;
        if let Some(key) = der.strip_prefix(P256) {
            if key.len() != POINT || key.first() != Some(&UNCOMPRESSED) {
                return Err(NotARequest::Key);
            }
            let verified = algorithm == ECDSA_SHA256
                && webpki::aws_lc_rs::ECDSA_P256_SHA256
                    .verify_signature(key, signed, signature)
                    .is_ok();
            verified.then_some(()).ok_or(NotARequest::Signature)?;
        } else if let Some(key) = der.strip_prefix(ED25519) {
            let key: &[u8; 32] = key.try_into().map_err(|_| NotARequest::Key)?;
            // A key of small order is refused, because its signatures prove nothing.
            let key = PublicKey::parse(key).map_err(|_| NotARequest::Key)?;
            let signature: &[u8; 64] = signature.try_into().map_err(|_| NotARequest::Signature)?;
            // A PKCS #10 request is signed without a label of this protocol.
            let verified = algorithm == ED25519_SIGNATURE
                && key.verify(b"", [signed, b""], &Signature::from_bytes(*signature)).is_ok();
            verified.then_some(()).ok_or(NotARequest::Signature)?;
        } else {
            return Err(NotARequest::Key);
        }
        let info = SubjectPublicKeyInfo::from_der(der).map_err(|_| NotARequest::Key)?;
        Ok(Self { der: der.to_owned(), info })
    }

    /// Returns the key as a DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) const fn info(&self) -> &SubjectPublicKeyInfo {
        &self.info
    }
}
