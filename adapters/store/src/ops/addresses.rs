//! The gateway's addresses as each node knows them.

use async_trait::async_trait;
use handfast_core::{NodeId, UnixTime};

use super::{Database, Decided, RowResult};
use crate::audit::{Detail, Entry, What};
use crate::{AddressedNode, Addresses, NodeAddresses, StoreError};

/// The rows of the gateway's addresses as nodes know them.
pub(crate) trait AddressRows {
    /// Sets the list that this node is to know, or all that are paired or muted and have keys.
    /// Returns their number.
    fn set_told_addresses(&mut self, id: Option<NodeId>, list: &str) -> RowResult<u64>;

    /// Sets the list that a node has confirmed, if there is such a node.
    fn set_confirmed_addresses(&mut self, id: NodeId, list: &str) -> RowResult<()>;

    /// Returns the lists of a node.
    fn addresses(&mut self, id: NodeId) -> RowResult<NodeAddresses>;

    /// Returns the paired and muted nodes with keys, ordered by id, after this id.
    fn addressed_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<AddressedNode>>;
}

#[async_trait]
impl<D: Database> Addresses for D {
    async fn move_nodes(
        &self,
        node_id: Option<NodeId>,
        list: String,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        self.decide(move |tx| {
            let moved = tx.set_told_addresses(node_id, &list)?;
            if moved == 0 {
                return Ok::<_, StoreError>(Decided::nothing(0));
            }
            let whom = node_id.map_or(Detail::Count(moved), Detail::Node);
            Ok(Decided::by(moved, Entry::new(What::Move, [whom]).at(now)))
        })
        .await
    }

    async fn confirm_addresses(&self, node_id: NodeId, list: String) -> Result<(), StoreError> {
        self.change(move |tx| tx.set_confirmed_addresses(node_id, &list)).await
    }

    async fn addresses_of(&self, node_id: NodeId) -> Result<NodeAddresses, StoreError> {
        self.point(move |tx| tx.addresses(node_id)).await
    }

    async fn addressed_nodes(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<AddressedNode>, StoreError> {
        self.page(move |tx| tx.addressed_after(after, limit)).await
    }
}
