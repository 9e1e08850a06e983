//! Provisioned nodes. Registering gives something, so it is never held; a node is read as the held
//! decisions leave it.

use async_trait::async_trait;
use handfast_core::NodeId;
use handfast_core::registry::provisioning::{NodeKeyId, NotRegistered};
use handfast_core::registry::trusted_time::Moment;

use super::HeldStore;
use crate::{NewProvisioned, ProvisionedNode, Provisioning, SaveError, StoreError, Stored};

#[async_trait]
impl Provisioning for HeldStore {
    async fn register(
        &self,
        node: NewProvisioned,
        moment: Moment,
    ) -> Result<Result<(), NotRegistered>, SaveError> {
        // A withdrawn token is void even while its withdrawal cannot be stored.
        if self.held.has_code(node.token) {
            return Ok(Err(NotRegistered::Token));
        }
        self.wrote_save(self.store.register(node, moment).await)
    }

    async fn by_node_key(
        &self,
        id: NodeKeyId,
    ) -> Result<Option<(ProvisionedNode, Stored)>, StoreError> {
        let found = self.store.by_node_key(id).await?;
        Ok(found.and_then(|(node, stored)| Some((node, self.seen_stored(Some(stored))?))))
    }

    async fn provisioned(&self, node_id: NodeId) -> Result<Option<ProvisionedNode>, StoreError> {
        self.store.provisioned(node_id).await
    }
}
