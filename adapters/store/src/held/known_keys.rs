//! Nodes' knowledge of the gateway's key. These calls go to the store unchanged.

use async_trait::async_trait;
use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;

use super::HeldStore;
use crate::{KeyCounts, KnownKeys, StoreError};

#[async_trait]
impl KnownKeys for HeldStore {
    async fn knows_key(&self, node_id: NodeId, key: PublicKey) -> Result<(), StoreError> {
        self.wrote(self.store.knows_key(node_id, key).await)
    }

    async fn key_counts(&self, key: PublicKey) -> Result<KeyCounts, StoreError> {
        self.store.key_counts(key).await
    }
}
