//! The reasons for which a node gets no certificate of its request.

use handfast_core::limits::CSR_BYTES;

/// The reason for which a certificate request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotARequest {
    /// The request is longer than the wire allows.
    #[error("the certificate request has more than {CSR_BYTES} bytes")]
    TooLong,
    /// The request is not DER, or something follows it.
    #[error("the certificate request is not a PKCS #10 request in DER")]
    Malformed,
    /// The key is neither ECDSA on P-256 nor Ed25519, or is weak.
    #[error("the key in the certificate request is neither ECDSA on P-256 nor Ed25519")]
    Key,
    /// The request was not signed with its key.
    #[error("the certificate request is not signed with the key in it")]
    Signature,
    /// The gateway was built without TLS.
    #[error(
        "this gateway was built without handfast-server's feature `tls`, so it issues no X.509 \
         certificates"
    )]
    WithoutTls,
}
