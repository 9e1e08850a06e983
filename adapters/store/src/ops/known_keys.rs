//! The gateway's static key as each node knows it.

use async_trait::async_trait;
use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;

use super::{Database, RowResult};
use crate::{KeyCounts, KnownKeys, StoreError};

/// The rows of nodes' knowledge of the gateway's key.
pub(crate) trait KnownKeyRows {
    /// Sets the key that a node knows, if there is such a node.
    fn set_known_key(&mut self, id: NodeId, key: &PublicKey) -> RowResult<()>;

    /// Counts the paired and muted nodes with keys by their knowledge of this key.
    fn count_known_key(&mut self, key: &PublicKey) -> RowResult<KeyCounts>;
}

#[async_trait]
impl<D: Database> KnownKeys for D {
    async fn knows_key(&self, node_id: NodeId, key: PublicKey) -> Result<(), StoreError> {
        self.change(move |tx| tx.set_known_key(node_id, &key)).await
    }

    async fn key_counts(&self, key: PublicKey) -> Result<KeyCounts, StoreError> {
        self.page(move |tx| tx.count_known_key(&key)).await
    }
}
