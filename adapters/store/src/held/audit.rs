//! The methods of [`Audit`]. A held decision has no entry before it is stored.

use async_trait::async_trait;
use handfast_core::NodeId;
use handfast_core::registry::audit_tree::Proof;

use super::HeldStore;
use crate::audit::{Audit, Entry, ProvenEntry, TreeHead};
use crate::{SenderName, StoreError};

#[async_trait]
impl Audit for HeldStore {
    async fn note(&self, entry: Entry) -> Result<(), StoreError> {
        self.wrote(self.store.note(entry).await)
    }

    async fn audit_lines(&self, from: u64, limit: usize) -> Result<Vec<String>, StoreError> {
        self.store.audit_lines(from, limit).await
    }

    async fn audit_lines_of(
        &self,
        node_id: NodeId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.store.audit_lines_of(node_id, before, limit).await
    }

    async fn audit_head(&self, size: Option<u64>) -> Result<Option<TreeHead>, StoreError> {
        self.store.audit_head(size).await
    }

    async fn audit_entry(
        &self,
        number: u64,
        size: Option<u64>,
    ) -> Result<Option<ProvenEntry>, StoreError> {
        self.store.audit_entry(number, size).await
    }

    async fn audit_consistency(
        &self,
        earlier: u64,
        size: u64,
    ) -> Result<Option<Proof>, StoreError> {
        self.store.audit_consistency(earlier, size).await
    }

    async fn audited_sender(&self, reference: [u8; 32]) -> Result<Option<SenderName>, StoreError> {
        self.store.audited_sender(reference).await
    }
}
