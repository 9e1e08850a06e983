//! The decision about a certificate that a node shows, by the allow-list.

use handfast_core::UnixTime;
use handfast_core::flow::identity::certificate::NotAllowed;
use handfast_core::grant::certificate::{KeyHash, Serial};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::{Admitted, AllowList};

/// The reason for refusing a certificate whose chain is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The certificate is not X.509 of version 3 in DER.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// The certificate names another node than the one that it was issued to, or several.
    #[error("the certificate does not name its node")]
    OtherName,
    /// The decision of core.
    #[error("the certificate is not allowed: {0:?}")]
    NotAllowed(NotAllowed),
}

impl AllowList {
    /// Decides about a certificate whose chain was verified, by the registry's record of it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<Admitted, Refused> {
        let read = EndEntityCert::try_from(certificate).map_err(|_| Refused::Unreadable)?;
        // Every serial number of ours has this form.
        let serial =
            Serial::from_bytes(read.serial()).ok_or(Refused::NotAllowed(NotAllowed::Unknown))?;
        let key = KeyHash::of(&read.subject_public_key_info());
        let node_id = self.look_up(&serial, &key, now).map_err(Refused::NotAllowed)?;
        // Names are worth comparing only for a certificate that is known.
        let mut names = read.valid_uri_names();
        match (names.next(), names.next()) {
            (Some(name), None) if name == self.uri().of(node_id) => {
                Ok(Admitted { node_id, serial })
            }
            _ => Err(Refused::OtherName),
        }
    }
}
