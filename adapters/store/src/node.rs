//! Nodes as a store returns them.

use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::admission::Repetitions;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::record::Record;
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::{NodeId, UnixTime};

use crate::BadRecord;

/// Number of changes of one record; the store raises it with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// A record with its version, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record as stored.
    pub record: Record,
    /// Version for [`Store::save`](crate::Store::save).
    pub version: Version,
    /// Upper bound of the node's permissions, if one was set.
    pub ceiling: Option<Box<Ceiling>>,
}

/// Everything that a store knows of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The record as stored.
    pub record: Record,
    /// Version of the record.
    pub version: Version,
    /// Upper bound of the node's permissions, if one was set.
    pub ceiling: Option<Box<Ceiling>>,
    /// Description of the hardware: a JSON object.
    pub profile: String,
    /// Time of the record's last change.
    pub changed_at: UnixTime,
    /// Number and time of its requests; `None` if an import or a code made the node.
    pub asked: Option<Repetitions>,
    /// The rejection of its request, with the time at which it may ask again.
    pub rejection: Option<Rejection>,
    /// The permissions that a paired node has asked for beyond its ceiling, until somebody decides
    /// about its permissions; empty if it asks for no more.
    pub asks_more: AskedScopesBuf,
    /// The node's latest readings, if it sent any.
    pub observed: Option<Observation>,
    /// Maker of the approval of a node that proves itself with a token. For a node with keys, the
    /// grants have it.
    pub maker: Maker,
}

/// An item of a listing: a node's entry, or the error of its damaged record.
pub type Listed = Result<Entry, BadRecord>;

/// Returns the id of a listed node, after which the next page begins.
#[must_use]
pub fn node_id(listed: &Listed) -> NodeId {
    match listed {
        Ok(entry) => entry.record.node_id,
        Err(bad) => bad.node_id,
    }
}

/// Readings of a node, with their time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Time of the last contact.
    pub last_seen: UnixTime,
    /// Presence of people.
    pub occupancy: Option<bool>,
    /// Noise level in the node's own unit.
    pub noise_level: Option<f64>,
    /// A false activation of the wake word.
    pub wake_word_fp: Option<bool>,
}

impl Observation {
    /// Returns this observation with its gaps filled from an earlier one.
    #[must_use]
    pub fn over(self, earlier: Option<Self>) -> Self {
        Self {
            last_seen: self.last_seen,
            occupancy: self.occupancy.or(earlier.and_then(|e| e.occupancy)),
            noise_level: self
                .noise_level
                // A level that is not a number must not hide the last one.
                .filter(|n| !n.is_nan())
                .or(earlier.and_then(|e| e.noise_level)),
            wake_word_fp: self.wake_word_fp.or(earlier.and_then(|e| e.wake_word_fp)),
        }
    }
}

/// A filter for listing nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Nodes that wait for the operator and have not expired, including unapproved ones of an
    /// import.
    Pending,
    /// Paired and muted nodes that ask for more than they have.
    AskingMore,
    /// All nodes except revoked and expired ones.
    Current,
    /// All nodes, including revoked ones, and expired ones until they are purged.
    All,
}

/// Number of nodes by standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Nodes that wait for the operator and have not expired, including unapproved ones of an
    /// import.
    pub pending: u64,
    /// Nodes that are paired and not muted.
    pub paired: u64,
    /// Nodes that are muted.
    pub muted: u64,
    /// Nodes that are revoked.
    pub revoked: u64,
    /// Keys that stay revoked although their nodes' records were removed.
    pub forgotten: u64,
}
