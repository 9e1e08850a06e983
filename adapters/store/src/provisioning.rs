//! Nodes that registered over HTTP by a provisioning token.

use async_trait::async_trait;
use handfast_core::grant::keyed_secret::KeyedHash;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::provisioning::{NodeKeyId, NotRegistered};
use handfast_core::registry::record::Record;
use handfast_core::registry::sessions::Maker;
use handfast_core::registry::trusted_time::Moment;
use handfast_core::{Name, NodeId};

use crate::{SaveError, StoreError, Stored, Version};

/// The key of a node for HTTP requests, and the name by which it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionedNode {
    /// Id of the node in the registry.
    pub node_id: NodeId,
    /// The name by which the other system knows the node.
    pub external: Name,
    /// Public id of the node's key.
    pub key: NodeKeyId,
    /// Hash of the node's key.
    pub hash: KeyedHash,
}

/// A node that registers by its token, which is spent with it.
#[derive(Clone, Debug)]
pub struct NewProvisioned {
    /// Id of the token.
    pub token: CodeId,
    /// Hash of the token that the node has shown.
    pub shown: KeyedHash,
    /// The node's key for HTTP requests.
    pub node: ProvisionedNode,
    /// The record that is entered.
    pub record: Record,
    /// The node's profile, a JSON object.
    pub profile: String,
    /// The version of the record that this one replaces; `None` for a new record.
    pub read_at: Option<Version>,
    /// The rights of a node with a native key; the maker of the token for a node without one.
    pub rights: ProvisionedRights,
}

/// The rights of a node that registers.
#[derive(Clone, Debug)]
pub enum ProvisionedRights {
    /// The node has a native key, and is offered this grant under this ceiling.
    Offer(Box<(Grant, Ceiling)>),
    /// The node has no native key, and its approval ends with this maker.
    ApprovedBy(Maker),
}

/// The part of a [`Store`](crate::Store) for provisioned nodes. Their tokens are
/// [codes](crate::Store::mint).
#[async_trait]
pub trait Provisioning: Send + Sync + 'static {
    /// Enters a node and spends its token, in one step.
    /// [`handfast_core::registry::provisioning::register`] decides. The first key of a node is
    /// replaced if the record replaces an older one.
    ///
    /// # Errors
    /// As [`offer`](crate::Store::offer). The inner error is [`NotRegistered`]; nothing is changed
    /// then.
    async fn register(
        &self,
        node: NewProvisioned,
        moment: Moment,
    ) -> Result<Result<(), NotRegistered>, SaveError>;

    /// Reads the node with this key for HTTP requests, in any standing, and its record.
    ///
    /// # Errors
    /// As [`load`](crate::Store::load).
    async fn by_node_key(
        &self,
        id: NodeKeyId,
    ) -> Result<Option<(ProvisionedNode, Stored)>, StoreError>;

    /// Reads the name and the key of a node that registered.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn provisioned(&self, node_id: NodeId) -> Result<Option<ProvisionedNode>, StoreError>;
}
