//! Replacements. These calls go to the store unchanged: a node that is out by a held decision is read
//! as revoked, so no place of it is taken and it takes none.

use async_trait::async_trait;
use handfast_core::{NodeId, UnixTime};

use super::HeldStore;
use crate::{InPlace, Replacement, Replacements, SaveError, StoreError, Version};

#[async_trait]
impl Replacements for HeldStore {
    async fn offer_in_place(&self, offered: InPlace, now: UnixTime) -> Result<Version, SaveError> {
        self.wrote_save(self.store.offer_in_place(offered, now).await)
    }

    async fn predecessors(&self, node_id: NodeId) -> Result<Vec<Replacement>, StoreError> {
        self.store.predecessors(node_id).await
    }

    async fn successor(&self, node_id: NodeId) -> Result<Option<Replacement>, StoreError> {
        self.store.successor(node_id).await
    }
}
