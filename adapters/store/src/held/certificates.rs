//! Certificates, with held revocations and evictions applied to every read.

use async_trait::async_trait;
use handfast_core::flow::identity::certificate::{Certificate, NodeStanding, evicted};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::{NodeId, UnixTime};

use super::{Cut, HeldStore};
use crate::{
    Allowed, CertificateFilter, Certificates, Issuing, NotStored, RevokedCertificates, SaveError,
    StoreError, StoredCertificate,
};

impl HeldStore {
    fn seen_certificate(&self, mut stored: StoredCertificate) -> StoredCertificate {
        if let Some(since) = self.held.revoked_since(&stored) {
            stored.certificate.state = stored.certificate.state.revoked();
            // A certificate that had ended before keeps its time.
            stored.ended.get_or_insert(since);
        }
        stored
    }

    fn seen_certificates(&self, stored: Vec<StoredCertificate>) -> Vec<StoredCertificate> {
        stored.into_iter().map(|stored| self.seen_certificate(stored)).collect()
    }

    fn seen_standing(&self, node_id: NodeId, stored: NodeStanding) -> NodeStanding {
        // A muted node keeps its certificates.
        let is_out = matches!(
            self.held.node(node_id),
            Some(Cut::Node { decision: Decision::Unpair | Decision::Reject | Decision::Bar, .. })
        );
        NodeStanding {
            epoch: self.seen_epoch(node_id, stored.epoch),
            may_link: stored.may_link && !is_out,
        }
    }

    fn seen_epoch(&self, node_id: NodeId, stored: u32) -> u32 {
        match self.held.evicted_from(node_id) {
            Some(from) if from == stored => evicted(from),
            // Another epoch in the store means that the eviction is stored already, or outdated.
            Some(_) | None => stored,
        }
    }

    fn is_key_out(&self, key: KeyHash) -> bool {
        self.held.has_certificates(RevokedCertificates::Key(key))
    }

    /// Returns the reason for which a held decision keeps a certificate from being stored.
    pub(super) fn may_issue(&self, of: &Certificate) -> Result<(), NotStored> {
        if self.is_key_out(of.key) {
            return Err(NotStored::KeyRevoked);
        }
        // While an eviction or a revocation waits to be stored, the store would take a certificate
        // that it ends.
        let standing = NodeStanding { epoch: of.epoch, may_link: true };
        match self.seen_standing(of.node_id, standing) == standing {
            true => Ok(()),
            false => Err(NotStored::Changed),
        }
    }
}

#[async_trait]
impl Certificates for HeldStore {
    async fn issuing(&self, node_id: NodeId, now: UnixTime) -> Result<Option<Issuing>, StoreError> {
        let issuing = self.store.issuing(node_id, now).await?;
        let seen = |it: Issuing| Issuing { epoch: self.seen_epoch(node_id, it.epoch), ..it };
        Ok(issuing.map(seen))
    }

    async fn issue(
        &self,
        certificate: StoredCertificate,
        now: UnixTime,
    ) -> Result<Result<(), NotStored>, StoreError> {
        if let Err(not) = self.may_issue(&certificate.certificate) {
            return Ok(Err(not));
        }
        self.wrote(self.store.issue(certificate, now).await)
    }

    async fn confirm_certificate(
        &self,
        node_id: NodeId,
        serial: Serial,
    ) -> Result<bool, StoreError> {
        // The store does not know yet what a held decision has revoked.
        let held =
            self.certificate(serial).await?.is_some_and(|it| !it.certificate.state.is_live());
        Ok(!held && self.wrote(self.store.confirm_certificate(node_id, serial).await)?)
    }

    async fn certificate_used(
        &self,
        serial: Serial,
        now: UnixTime,
    ) -> Result<Vec<Serial>, StoreError> {
        self.wrote(self.store.certificate_used(serial, now).await)
    }

    async fn revoke_certificates(
        &self,
        which: RevokedCertificates,
        now: UnixTime,
    ) -> Result<Vec<Serial>, StoreError> {
        self.wrote(self.store.revoke_certificates(which, now).await)
    }

    async fn is_certificate_key_revoked(&self, key: KeyHash) -> Result<bool, StoreError> {
        Ok(self.is_key_out(key) || self.store.is_certificate_key_revoked(key).await?)
    }

    async fn evict(&self, node_id: NodeId, from: u32) -> Result<u32, SaveError> {
        self.wrote_save(self.store.evict(node_id, from).await)
    }

    async fn allow_list(&self, now: UnixTime) -> Result<Vec<Allowed>, StoreError> {
        let allowed = self.store.allow_list(now).await?;
        // A gateway reads the list when it starts, and then nothing is held.
        if self.held.is_empty() {
            return Ok(allowed);
        }
        let mut seen = Vec::new();
        for (certificate, standing) in allowed {
            let of = self.certificate(certificate.serial).await?;
            if of.is_some_and(|stored| stored.is_live(now)) {
                let node_id = certificate.node_id;
                seen.push((certificate, standing.map(|it| self.seen_standing(node_id, it))));
            }
        }
        Ok(seen)
    }

    async fn node_standing(&self, node_id: NodeId) -> Result<Option<NodeStanding>, StoreError> {
        let standing = self.store.node_standing(node_id).await?;
        Ok(standing.map(|stored| self.seen_standing(node_id, stored)))
    }

    async fn certificate(&self, serial: Serial) -> Result<Option<StoredCertificate>, StoreError> {
        let stored = self.store.certificate(serial).await?;
        Ok(stored.map(|stored| self.seen_certificate(stored)))
    }

    async fn certificate_by_fingerprint(
        &self,
        fingerprint: [u8; 32],
    ) -> Result<Option<StoredCertificate>, StoreError> {
        let stored = self.store.certificate_by_fingerprint(fingerprint).await?;
        Ok(stored.map(|stored| self.seen_certificate(stored)))
    }

    async fn certificates_of(
        &self,
        node_id: NodeId,
        limit: usize,
    ) -> Result<Vec<StoredCertificate>, StoreError> {
        Ok(self.seen_certificates(self.store.certificates_of(node_id, limit).await?))
    }

    async fn certificates(
        &self,
        filter: CertificateFilter,
        after: Option<Serial>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<StoredCertificate>, StoreError> {
        let stored = self.store.certificates(filter, after, limit, now).await?;
        // A held one stays in the page, shown as revoked: leaving it out could make a page look
        // like the last one.
        Ok(self.seen_certificates(stored))
    }
}
