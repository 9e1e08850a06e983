//! Nodes that took the place of others.

use async_trait::async_trait;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::{NodeId, UnixTime};

use crate::{SaveError, StoreError, Version};

/// Maximum number of nodes that one after the other had a place, as far as they are listed.
pub const PREDECESSORS: usize = 16;

/// The other node of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The node that had the place, or that has it now. Its record may have been removed.
    pub node_id: NodeId,
    /// Time of the replacement.
    pub at: UnixTime,
}

/// A node whose place is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Id of the node.
    pub node_id: NodeId,
    /// Version of its record, as it was read.
    pub version: Version,
    /// Its standing from now on, which is revoked.
    pub standing: Standing,
}

/// A waiting node that takes the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// The node's record, with the name and the room of the place.
    pub record: Record,
    /// Description of its hardware: a JSON object.
    pub profile: String,
    /// Version of its record, as it was read.
    pub read_at: Version,
    /// The grant that is offered to it.
    pub grant: Grant,
    /// Upper bound of its permissions.
    pub ceiling: Ceiling,
    /// The node whose place it takes.
    pub replaced: Replaced,
}

/// The part of a [`Store`](crate::Store) for nodes that took the place of others.
#[async_trait]
pub trait Replacements: Send + Sync + 'static {
    /// Pairs a node as [`offer`](crate::Store::offer) does, and in the same step revokes the one
    /// whose place it takes, as [`save`](crate::Store::save) does. What that one was told to do, and
    /// what it answered, becomes the new one's. Returns the new version of the new one's record.
    ///
    /// # Errors
    /// As [`offer`](crate::Store::offer); [`SaveError::Conflict`] also if another writer changed the
    /// replaced node first, and [`SaveError::Missing`] if that does not exist. Nothing is changed
    /// then.
    async fn offer_in_place(&self, offered: InPlace, now: UnixTime) -> Result<Version, SaveError>;

    /// Returns the nodes that had this one's place before it, the latest first, at most
    /// [`PREDECESSORS`].
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn predecessors(&self, node_id: NodeId) -> Result<Vec<Replacement>, StoreError>;

    /// Returns the node that took this one's place.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn successor(&self, node_id: NodeId) -> Result<Option<Replacement>, StoreError>;
}
