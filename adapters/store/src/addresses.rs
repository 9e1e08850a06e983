//! The addresses of the gateway as its nodes are to know them, and as they have confirmed them.

use async_trait::async_trait;
use handfast_core::{NodeId, UnixTime};

use crate::StoreError;

/// What a node is to know of the gateway's addresses, and what it knows. Each list is a text in
/// the form of [`GatewayAddresses`].
///
/// [`GatewayAddresses`]: handfast_core::wire::gateway_addresses::GatewayAddresses
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAddresses {
    /// The list that an operator has decided for the node; `None` for that of the settings.
    pub told: Option<String>,
    /// The list that the node has confirmed last.
    pub confirmed: Option<String>,
}

/// A node that is paired by its keys, with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressedNode {
    /// The node's id.
    pub node_id: NodeId,
    /// The node's name for people.
    pub name: String,
    /// The lists.
    pub addresses: NodeAddresses,
}

/// The part of a [`Store`](crate::Store) for the gateway's addresses as nodes know them.
#[async_trait]
pub trait Addresses: Send + Sync + 'static {
    /// Decides the list of this node, or of all that are paired by their keys now, muted ones too.
    /// Returns the number of nodes that it was decided for; nodes of other dialects are passed
    /// over.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn move_nodes(
        &self,
        node_id: Option<NodeId>,
        list: String,
        now: UnixTime,
    ) -> Result<u64, StoreError>;

    /// Records that a node has confirmed this list. An unknown node is recorded in vain.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn confirm_addresses(&self, node_id: NodeId, list: String) -> Result<(), StoreError>;

    /// Returns the lists of a node; empty ones for an unknown node.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn addresses_of(&self, node_id: NodeId) -> Result<NodeAddresses, StoreError>;

    /// Returns the nodes that are paired by their keys, ordered by id, after this id.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn addressed_nodes(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<AddressedNode>, StoreError>;
}
