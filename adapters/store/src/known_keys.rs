//! The gateway's static key as each node knows it, while one key takes the place of another.

use async_trait::async_trait;
use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;

use crate::StoreError;

/// The number of nodes that know a key of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeyCounts {
    /// Nodes that have proven that they know it.
    pub know: u64,
    /// Nodes that have not, of those that are paired by their keys.
    pub lack: u64,
}

/// The part of a [`Store`](crate::Store) for what nodes know of the gateway's key.
#[async_trait]
pub trait KnownKeys: Send + Sync + 'static {
    /// Records that a node has proven that it knows this key of the gateway. Repeating the call
    /// changes nothing. An unknown node is recorded in vain.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn knows_key(&self, node_id: NodeId, key: PublicKey) -> Result<(), StoreError>;

    /// Counts the nodes that are paired by their keys, muted ones too, by their knowledge of this
    /// key. The cost grows with their number.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn key_counts(&self, key: PublicKey) -> Result<KeyCounts, StoreError>;
}
