//! The lists of revoked certificates, for readers outside the gateway.

use handfast_core::UnixTime;
use rustls::pki_types::CertificateRevocationListDer;

use super::directory::block;

/// The lists of revoked certificates, one of each trusted root. Each names all of them, whichever
/// root has signed a certificate.
#[derive(Clone, Debug)]
pub struct RevocationLists {
    /// The list of the newest root.
    pub newest: CertificateRevocationListDer<'static>,
    /// The lists of the older roots, the newer first.
    pub older: Vec<CertificateRevocationListDer<'static>>,
    /// Number of certificates in each list.
    pub revoked: usize,
    /// The time until which a reader may rely on them.
    pub next_update: UnixTime,
}

impl RevocationLists {
    /// Returns all lists, the newest root's first.
    pub fn all(&self) -> impl Iterator<Item = &CertificateRevocationListDer<'static>> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// Returns all lists as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.all().map(|list| block("X509 CRL", list)).collect()
    }
}
