//! The gateway's addresses as nodes know them. These calls go to the store unchanged.

use async_trait::async_trait;
use handfast_core::{NodeId, UnixTime};

use super::HeldStore;
use crate::{AddressedNode, Addresses, NodeAddresses, StoreError};

#[async_trait]
impl Addresses for HeldStore {
    async fn move_nodes(
        &self,
        node_id: Option<NodeId>,
        list: String,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        self.wrote(self.store.move_nodes(node_id, list, now).await)
    }

    async fn confirm_addresses(&self, node_id: NodeId, list: String) -> Result<(), StoreError> {
        self.wrote(self.store.confirm_addresses(node_id, list).await)
    }

    async fn addresses_of(&self, node_id: NodeId) -> Result<NodeAddresses, StoreError> {
        self.store.addresses_of(node_id).await
    }

    async fn addressed_nodes(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<AddressedNode>, StoreError> {
        self.store.addressed_nodes(after, limit).await
    }
}
