//! Clone counters. These calls go to the store unchanged: no decision about them is held.

use async_trait::async_trait;
use handfast_core::flow::identity::clone_counter::{LinkVerdict, Shown};
use handfast_core::{NodeId, UnixTime};

use super::HeldStore;
use crate::{Clones, LinkedFrom, StoreError, StoredCounter};

#[async_trait]
impl Clones for HeldStore {
    async fn linked(
        &self,
        node_id: NodeId,
        shown: Shown,
        from: LinkedFrom,
    ) -> Result<LinkVerdict, StoreError> {
        self.wrote(self.store.linked(node_id, shown, from).await)
    }

    async fn mark_stored(
        &self,
        node_id: NodeId,
        value: u64,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        self.wrote(self.store.mark_stored(node_id, value, now).await)
    }

    async fn release(&self, node_id: NodeId, now: UnixTime) -> Result<bool, StoreError> {
        self.wrote(self.store.release(node_id, now).await)
    }

    async fn paired_anew(&self, node_id: NodeId, now: UnixTime) -> Result<(), StoreError> {
        self.wrote(self.store.paired_anew(node_id, now).await)
    }

    async fn clone_counter(&self, node_id: NodeId) -> Result<Option<StoredCounter>, StoreError> {
        self.store.clone_counter(node_id).await
    }

    async fn quarantined(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<(NodeId, StoredCounter)>, StoreError> {
        self.store.quarantined(after, limit).await
    }
}
