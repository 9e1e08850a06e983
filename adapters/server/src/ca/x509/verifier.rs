//! The decision about a node's certificate during a handshake: first its chain, then the
//! allow-list.

use std::sync::Arc;

use handfast_core::UnixTime;
use handfast_core::flow::identity::certificate::NotAllowed;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{self, CertificateDer};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::AllowList;
use super::admission::Refused;
use super::authority::Authority;

/// The signatures that the keys of certificates make.
const SCHEMES: [SignatureScheme; 2] =
    [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519];

/// The verifier of nodes' certificates. It follows rotations and the allow-list as they change.
#[derive(Debug)]
pub struct NodeVerifier {
    authority: Arc<Authority>,
    allowed: Arc<AllowList>,
    /// `true` if a connection without a certificate is refused.
    mandatory: bool,
}

impl NodeVerifier {
    /// Creates a verifier. With `mandatory` a connection without a certificate is refused.
    #[must_use]
    pub fn new(authority: Arc<Authority>, allowed: Arc<AllowList>, mandatory: bool) -> Self {
        Self { authority, allowed, mandatory }
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Nodes have one certificate, so they need no hint; and the roots change.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: pki_types::UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now = UnixTime::from_secs(now.as_secs());
        let verified = self.authority.verify_chain(end_entity, now)?;
        match self.allowed.admit(end_entity, now) {
            Ok(_) => Ok(verified),
            Err(refused) => {
                tracing::debug!(%refused, "a node's certificate is refused");
                Err(Error::InvalidCertificate(as_tls(refused)))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let trust = self.authority.trust();
        trust.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// Returns the error whose alert tells the node as much as it needs: that its certificate has
/// ended, was revoked, or is not accepted.
fn as_tls(refused: Refused) -> CertificateError {
    match refused {
        Refused::Unreadable => CertificateError::BadEncoding,
        Refused::OtherName => CertificateError::NotValidForName,
        Refused::NotAllowed(reason) => match reason {
            NotAllowed::Revoked => CertificateError::Revoked,
            NotAllowed::Expired => CertificateError::Expired,
            NotAllowed::NotYet => CertificateError::NotValidYet,
            NotAllowed::Unknown
            | NotAllowed::OtherKey
            | NotAllowed::Superseded
            | NotAllowed::OldEpoch
            | NotAllowed::NotPaired => CertificateError::ApplicationVerificationFailure,
        },
    }
}
