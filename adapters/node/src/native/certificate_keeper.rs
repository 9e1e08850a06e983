//! The node's certificates while it runs: each change is durable before anything depends on it.

use std::sync::Arc;

use super::NativeError;
use super::certificate::{CertificateStore, NodeCertificate};
use super::renewal::RenewalSchedule;
use super::storage::NativeKeeper;
use crate::clock::unix_now;

/// The certificates of a running node.
pub(super) struct NativeCertificates {
    keeper: Arc<NativeKeeper>,
    store: CertificateStore,
    renewal: RenewalSchedule,
    /// `true` if a node without a certificate asks for one.
    wanted: bool,
}

impl NativeCertificates {
    pub(super) fn new(keeper: Arc<NativeKeeper>, store: CertificateStore, wanted: bool) -> Self {
        let mut renewal = RenewalSchedule::default();
        renewal.plan(store.newest().map(Into::into));
        Self { keeper, store, renewal, wanted }
    }

    /// Returns `true` if the node has a certificate, valid or not.
    pub(super) fn has_any(&self) -> bool {
        self.store.newest().is_some()
    }

    /// Records that the gateway accepts none of the node's certificates.
    pub(super) fn refused(&mut self) {
        self.renewal.replace();
    }

    /// Records that the gateway has answered a request with nothing.
    pub(super) fn not_renewed(&mut self) {
        self.renewal.refused();
    }

    /// Records that a link is open: a node that was paired without a certificate asks for one.
    pub(super) fn linked(&mut self) {
        self.renewal.linked();
        if self.wanted && !self.has_any() {
            self.renewal.replace();
        }
    }

    /// Returns the certificates to link with now, in the order in which they are tried.
    pub(super) fn usable(&self) -> Vec<NodeCertificate> {
        self.store.usable(unix_now()).cloned().collect()
    }

    /// Waits until a renewal is due. Dropping the future loses nothing.
    pub(super) async fn due(&mut self) {
        self.renewal.due().await;
        // This is noted only once it is due, so that dropping the future loses nothing.
        self.renewal.asked();
    }

    /// Returns a request for the next certificate, whose key is durable.
    pub(super) async fn begin(&mut self) -> Result<Vec<u8>, NativeError> {
        let csr = self.store.begin()?;
        // After a crash, a certificate for a key that was not stored would be of no use.
        self.keep().await?;
        Ok(csr)
    }

    /// Makes a certificate that has come durable, with the key of the next request, and returns that
    /// request; `None` if it is not the certificate that this node has asked for.
    pub(super) async fn receive(&mut self, object: &[u8]) -> Result<Option<Vec<u8>>, NativeError> {
        match self.store.receive(object) {
            Ok(facts) => {
                tracing::info!(serial = facts.serial, "a certificate came");
                self.renewal.plan(Some((&facts).into()));
                // One write stores the certificate and the key of the next request.
                self.begin().await.map(Some)
            }
            Err(why) => {
                tracing::error!("the gateway sent a certificate that is not kept: {why}");
                Ok(None)
            }
        }
    }

    /// Records that a link with this certificate worked, so the one before is not needed any more.
    pub(super) async fn worked(&mut self, serial: &str) -> Result<(), NativeError> {
        if self.renewal.accepted() {
            // What was to be replaced is accepted after all, so its usual time counts again.
            self.renewal.plan(self.store.newest().map(Into::into));
        }
        if self.store.worked(serial) { self.keep().await } else { Ok(()) }
    }

    /// Drops the certificates of a pairing that was forgotten.
    pub(super) async fn forget(&mut self) -> Result<(), NativeError> {
        self.renewal.plan(None);
        if self.store.forget() { self.keep().await } else { Ok(()) }
    }

    async fn keep(&self) -> Result<(), NativeError> {
        let (keeper, store) = (self.keeper.clone(), self.store.clone());
        // Flushing a file may take long, so it runs on a thread that may block.
        let kept = tokio::task::spawn_blocking(move || keeper.keep_certificates(&store)).await;
        Ok(kept.map_err(|_| NativeError::Stopped)??)
    }
}
