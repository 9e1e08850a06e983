//! The certificate authority of a running gateway: its upkeep, and rotation.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::Refusal;
use handfast_core::grant::certificate::Serial;
use handfast_store::audit::What;
use handfast_store::{CertificateFilter, StoreError};

use crate::ca::{AllowList, Authority, AuthorityError, Overlap};
use crate::gateway::{Gateway, Inner};

/// The interval at which the authority is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Gateway {
    /// Returns the certificate authority.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.inner.authority
    }

    /// Returns the certificates that may open a link over TLS.
    #[must_use]
    pub fn allow_list(&self) -> &Arc<AllowList> {
        &self.inner.allowed
    }

    /// Takes in that a node links with this certificate: the older ones of the node are superseded.
    ///
    /// # Errors
    /// [`Refusal::InvalidCredentials`] if the certificate is not allowed any more.
    pub(crate) async fn certificate_used(&self, serial: Serial) -> Result<(), Refusal> {
        let (inner, now) = (&self.inner, self.inner.clock.unix());
        inner.allowed.still_allows(&serial, now).map_err(|_| Refusal::InvalidCredentials)?;
        if !inner.allowed.is_news(&serial) {
            return Ok(());
        }
        match inner.store.certificate_used(serial, now).await {
            Ok(_) => inner.allowed.used(&serial),
            // The older ones stay valid until the next link writes it.
            Err(error) => tracing::warn!(%error, "the use of a certificate could not be written"),
        }
        Ok(())
    }

    /// Makes a new root of the certificate authority. With an overlap, nodes get it with their next
    /// certificate; without one, every node has to fetch a new certificate with its own key.
    ///
    /// # Errors
    /// [`AuthorityError`]. The roots are unchanged then.
    pub async fn rotate_authority(&self, overlap: Overlap) -> Result<(), AuthorityError> {
        let (authority, now) = (Arc::clone(&self.inner.authority), self.inner.clock.unix());
        let rotated = self.recorded(What::RotateCa, async {
            let done = tokio::task::spawn_blocking(move || authority.rotate(overlap, now)).await;
            done.unwrap_or(Err(AuthorityError::Interrupted))
        });
        rotated.await??;
        tracing::warn!(fingerprint = self.inner.authority.fingerprint(), "there is a new root");
        Ok(())
    }
}

/// Reads the allow-list at the start.
pub(crate) async fn read_allow_list(inner: &Inner) -> Result<(), StoreError> {
    inner.allowed.fill(inner.store.allow_list(inner.clock.unix()).await?);
    Ok(())
}

/// Number of certificates that are looked at when a gateway starts.
const LOOKED_AT: usize = 64;

/// Warns if the registry has certificates that the authority has not signed: it was restored without
/// the authority that belongs to it.
pub(crate) async fn tell_foreign(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let (filter, now) = (CertificateFilter::Live, inner.clock.unix());
    let some = inner.store.certificates(filter, None, LOOKED_AT, now).await?;
    let foreign = some.iter().filter(|one| inner.authority.is_foreign(&one.encoded)).count();
    if foreign > 0 {
        tracing::warn!(
            "{foreign} of {} certificates of nodes that were looked at are of another certificate \
             authority than this gateway's: if the registry was restored, put the folder `ca` back \
             that belongs to it; otherwise the nodes fetch new ones with their own keys",
            some.len()
        );
    }
    Ok(())
}

/// Reads the certificates anew after a step of the clock. The caller holds the clock, so that none
/// is issued meanwhile.
pub(crate) async fn follow_step(inner: &Inner) -> Result<(), StoreError> {
    let read = inner.store.allow_list(inner.clock.unix()).await?;
    inner.allowed.take_step(read.into_iter().map(|(certificate, _)| certificate));
    Ok(())
}

/// Takes over the roots that another gateway of this registry has changed.
pub(crate) async fn read_authority_again(inner: &Inner) -> Result<(), AuthorityError> {
    let authority = Arc::clone(&inner.authority);
    let read = tokio::task::spawn_blocking(move || authority.read_again()).await;
    tell_changed(inner, read.unwrap_or(Err(AuthorityError::Interrupted))?);
    Ok(())
}

fn tell_changed(inner: &Inner, is_changed: bool) {
    if is_changed {
        tracing::info!(
            roots = inner.authority.certificates().len(),
            fingerprint = inner.authority.fingerprint(),
            "the trusted roots have changed"
        );
    }
}

/// Starts the task that looks after the authority, as long as the gateway lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    // The handle is weak, because the task must not keep the gateway alive.
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(inner) = gateway.upgrade() else { return };
        // Roots that were dropped and made under a false time could not be taken back.
        let Some(now) = inner.clock.sweeps_at() else { continue };
        inner.allowed.sweep(now);
        // The authority reads and writes files, so it must not block a thread of the runtime.
        let authority = Arc::clone(&inner.authority);
        let tended = tokio::task::spawn_blocking(move || authority.tend(now)).await;
        match tended.unwrap_or(Err(AuthorityError::Interrupted)) {
            Ok(is_changed) => tell_changed(&inner, is_changed),
            Err(error) => tracing::error!(%error, "the roots were not looked after"),
        }
    }
}
