//! The place of the certificate authority in a build without the feature `tls`: it has no roots and
//! signs nothing.

use std::path::Path;
use std::sync::Arc;

use handfast_core::grant::certificate::Serial;
use handfast_core::secret::Secret;
use handfast_core::{NodeId, UnixTime};
use handfast_store::Store;
use tokio::runtime::Handle;

use super::{AuthorityError, CertificateSettings, NotARequest};
use crate::keys::seal::StoreKey;

/// Name of the directory in the gateway's data directory.
pub const DIRECTORY: &str = "ca";

/// An authority without roots.
#[derive(Debug)]
pub struct Authority {
    settings: CertificateSettings,
}

/// The key of a certificate request, of which there is none.
#[derive(Clone, Debug)]
pub enum RequestedKey {}

/// How long the roots in use stay trusted when a new one is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Until the last certificate that they signed has ended.
    UntilLeavesEnd,
    /// Not at all.
    None,
}

/// Times between which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: UnixTime,
    /// The last second.
    pub not_after: UnixTime,
}

/// A certificate that was issued to a node, of which there is none.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// Serial number.
    pub serial: Serial,
    /// Times between which it is valid.
    pub validity: Validity,
    /// The certificate.
    pub certificate: Vec<u8>,
}

/// The lists of revoked certificates, of which there are none.
#[derive(Clone, Debug)]
pub struct RevocationLists {
    /// Number of certificates in each list.
    pub revoked: usize,
    /// The time until which a reader may rely on them.
    pub next_update: UnixTime,
}

impl Authority {
    /// Returns `false`: no authority signs anything in this build.
    #[must_use]
    pub const fn is_foreign(&self, _: &[u8]) -> bool {
        false
    }

    pub(crate) const fn open(
        settings: CertificateSettings,
        _: &Secret<32>,
        _: UnixTime,
    ) -> Result<Self, AuthorityError> {
        Ok(Self { settings })
    }

    pub(crate) fn open_shared(
        settings: CertificateSettings,
        _: &Secret<32>,
        _: Arc<dyn Store>,
        _: Handle,
        _: UnixTime,
    ) -> Result<Self, AuthorityError> {
        Ok(Self { settings })
    }

    /// Returns the settings of certificates.
    #[must_use]
    pub const fn settings(&self) -> &CertificateSettings {
        &self.settings
    }

    /// Returns nothing.
    #[must_use]
    pub const fn fingerprint(&self) -> String {
        String::new()
    }

    /// Returns nothing.
    #[must_use]
    pub const fn ends(&self) -> Vec<UnixTime> {
        Vec::new()
    }

    /// Returns nothing.
    #[must_use]
    pub const fn certificates(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    pub(crate) const fn issue(
        &self,
        _: NodeId,
        key: &RequestedKey,
        _: UnixTime,
    ) -> Result<IssuedCertificate, AuthorityError> {
        match *key {}
    }

    pub(crate) const fn rotate(&self, _: Overlap, _: UnixTime) -> Result<(), AuthorityError> {
        Err(AuthorityError::WithoutTls)
    }

    pub(crate) const fn read_again(&self) -> Result<bool, AuthorityError> {
        Ok(false)
    }

    pub(crate) const fn tend(&self, _: UnixTime) -> Result<bool, AuthorityError> {
        Ok(false)
    }
}

impl RequestedKey {
    pub(crate) const fn from_csr(_: &[u8]) -> Result<Self, NotARequest> {
        Err(NotARequest::WithoutTls)
    }

    pub(crate) const fn der(&self) -> &[u8] {
        match *self {}
    }
}

impl RevocationLists {
    /// Returns nothing.
    #[must_use]
    pub const fn pem(&self) -> String {
        String::new()
    }
}

/// Returns nothing where there is no authority.
///
/// # Errors
/// [`AuthorityError::WithoutTls`] where there is one.
pub(crate) fn sealed_roots(path: &Path, _: &StoreKey) -> Result<Option<Vec<u8>>, AuthorityError> {
    match path.exists() {
        false => Ok(None),
        true => Err(AuthorityError::WithoutTls),
    }
}

/// Writes nothing.
///
/// # Errors
/// [`AuthorityError::WithoutTls`].
pub(crate) const fn write_sealed_roots(
    _: &Path,
    _: &StoreKey,
    _: &[u8],
) -> Result<(), AuthorityError> {
    Err(AuthorityError::WithoutTls)
}
