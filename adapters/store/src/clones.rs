//! Clone counters: whether the state of a node was copied.

use std::net::IpAddr;

use async_trait::async_trait;
use handfast_core::flow::identity::clone_counter::{CloneCounter, LinkVerdict, Shown};
use handfast_core::{NodeId, UnixTime};

use crate::StoreError;

/// A link of a node: its address, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkedFrom {
    /// Address of the peer; 0.0.0.0 for a serial line.
    pub address: IpAddr,
    /// Time of the link.
    pub at: UnixTime,
}

/// The clone counter of a node, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StoredCounter {
    /// The counter.
    pub counter: CloneCounter,
    /// The last link before an alarm. Its time may be an hour old while the address is the same.
    pub linked: Option<LinkedFrom>,
    /// The link that raised the last alarm.
    pub alarmed: Option<LinkedFrom>,
}

/// The part of a [`Store`](crate::Store) for clone counters.
/// [`handfast_core::flow::identity::clone_counter`] decides.
#[async_trait]
pub trait Clones: Send + Sync + 'static {
    /// Decides about a link of a node that shows this, in one step.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the node must not be offered a mark then.
    async fn linked(
        &self,
        node_id: NodeId,
        shown: Shown,
        from: LinkedFrom,
    ) -> Result<LinkVerdict, StoreError>;

    /// Records that the node has stored this value.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn mark_stored(
        &self,
        node_id: NodeId,
        value: u64,
        now: UnixTime,
    ) -> Result<(), StoreError>;

    /// Releases a node from quarantine. `false` if it is in none.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn release(&self, node_id: NodeId, now: UnixTime) -> Result<bool, StoreError>;

    /// Records that a node was paired anew, which raises no alarm on its next link.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn paired_anew(&self, node_id: NodeId, now: UnixTime) -> Result<(), StoreError>;

    /// Reads a node's counter; `None` if it has none yet.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn clone_counter(&self, node_id: NodeId) -> Result<Option<StoredCounter>, StoreError>;

    /// Reads a page of the nodes in quarantine after `after`, ordered by id, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn quarantined(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<(NodeId, StoredCounter)>, StoreError>;
}
