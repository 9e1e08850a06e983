//! The lists of revoked certificates, for readers outside the gateway.

use std::sync::Arc;
use std::time::Duration;

use handfast_core::UnixTime;
use handfast_core::flow::identity::certificate::NotAllowed;
use handfast_core::grant::certificate::Serial;
use handfast_store::{CertificateFilter, StoredCertificate};
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use webpki::EndEntityCert;

use crate::ca::{AuthorityError, RevocationLists};
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;

/// Number of certificates that are read from the store at once.
const PAGE: usize = 500;
/// The time for which strangers get the same lists.
pub(crate) const RECENT: Duration = Duration::from_secs(60);

/// Errors of the revocation lists.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotListed {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] OperatorError),
    /// The authority does not sign them.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Gateway {
    /// Returns the lists of the certificates that have not ended and open no link any more:
    /// revoked ones, superseded ones, and those of nodes that were evicted or revoked.
    ///
    /// # Errors
    /// [`NotListed`].
    pub async fn revocation_lists(&self) -> Result<Arc<RevocationLists>, NotListed> {
        let mut kept = self.inner.revocation_lists.lock().await;
        let lists = Arc::new(self.sign_revocation_lists().await?);
        *kept = Some((Instant::now(), Arc::clone(&lists)));
        Ok(lists)
    }

    /// As [`revocation_lists`](Self::revocation_lists), at most a minute old: everybody may ask,
    /// and signing them reads every certificate.
    pub(crate) async fn recent_revocation_lists(&self) -> Result<Arc<RevocationLists>, NotListed> {
        let mut kept = self.inner.revocation_lists.lock().await;
        if let Some((at, lists)) = &*kept
            && at.elapsed() < RECENT
        {
            return Ok(Arc::clone(lists));
        }
        let lists = Arc::new(self.sign_revocation_lists().await?);
        *kept = Some((Instant::now(), Arc::clone(&lists)));
        Ok(lists)
    }

    async fn sign_revocation_lists(&self) -> Result<RevocationLists, NotListed> {
        let now = self.inner.clock.unix();
        let (mut revoked, mut after) = (Vec::new(), None);
        loop {
            let all = CertificateFilter::All;
            let page = self.inner.store.certificates(all, after, PAGE, now).await;
            let page = page.map_err(OperatorError::from)?;
            after = page.last().map(|stored| stored.certificate.serial);
            revoked.extend(page.iter().filter_map(|stored| self.withdrawn(stored, now)));
            if page.len() < PAGE {
                break;
            }
        }
        Ok(self.inner.authority.revocation_lists(&revoked, now)?)
    }

    /// Returns the serial number of a certificate that opens no link any more although it has not
    /// ended, and the time of that; the time of its issue if the other is not known.
    fn withdrawn(&self, stored: &StoredCertificate, now: UnixTime) -> Option<(Serial, UnixTime)> {
        let serial = stored.certificate.serial;
        // A compact certificate is not X.509, and no reader of the lists knows it.
        let der = CertificateDer::from(&stored.encoded[..]);
        if stored.certificate.not_after < now || EndEntityCert::try_from(&der).is_err() {
            return None;
        }
        match self.inner.allowed.still_allows(&serial, now) {
            Ok(_) | Err(NotAllowed::NotYet | NotAllowed::Expired) => None,
            Err(
                NotAllowed::Unknown
                | NotAllowed::OtherKey
                | NotAllowed::Revoked
                | NotAllowed::Superseded
                | NotAllowed::OldEpoch
                | NotAllowed::NotPaired,
            ) => Some((serial, stored.ended.unwrap_or(stored.issued_at))),
        }
    }
}
