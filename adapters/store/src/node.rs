//! What a store tells of a node.

use handfast_core::id::NodeId;
use handfast_core::registry::admission::Asked;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::record::Record;
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::time::UnixTime;

use crate::BadRecord;

/// Counts the changes of one record; the store raises it with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// What [`Store::save`](crate::Store::save) asks for.
    pub version: Version,
    /// What it may do at most, if somebody has decided that.
    pub ceiling: Option<Box<Ceiling>>,
}

/// Everything about a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// Its version.
    pub version: Version,
    /// What it may do at most, if somebody has decided that.
    pub ceiling: Option<Box<Ceiling>>,
    /// What it is made of: a JSON object.
    pub profile: String,
    /// When the record last changed.
    pub changed_at: UnixTime,
    /// How often it was asked for; none if it never was, because it was imported or a code paired
    /// it.
    pub asked: Option<Asked>,
    /// How its request was turned down, if it was: when it may ask anew.
    pub rejection: Option<Rejection>,
    /// What it told last, if it ever did.
    pub observed: Option<Observation>,
    /// Who approved it, if it proves itself with a token; of a node with keys, its grants say that.
    pub maker: Maker,
}

/// A node in a listing: everything about it, or that its record is spoiled.
pub type Listed = Result<Entry, BadRecord>;

/// Which node this is; with it the next page begins.
#[must_use]
pub fn node_id(listed: &Listed) -> NodeId {
    match listed {
        Ok(entry) => entry.record.node_id,
        Err(bad) => bad.node_id,
    }
}

/// What a node told, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// When it was there.
    pub last_seen: UnixTime,
    /// Whether somebody is there.
    pub occupancy: Option<bool>,
    /// How loud it is.
    pub noise_level: Option<f64>,
    /// Whether the wake word fired by mistake.
    pub wake_word_fp: Option<bool>,
}

impl Observation {
    /// This one, filled up with what an earlier one knew.
    #[must_use]
    pub fn over(self, earlier: Option<Self>) -> Self {
        Self {
            last_seen: self.last_seen,
            occupancy: self.occupancy.or(earlier.and_then(|e| e.occupancy)),
            noise_level: self
                .noise_level
                .filter(|n| !n.is_nan())
                .or(earlier.and_then(|e| e.noise_level)),
            wake_word_fp: self.wake_word_fp.or(earlier.and_then(|e| e.wake_word_fp)),
        }
    }
}

/// Which nodes to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Those that wait for the operator and have not expired (and those an import left unapproved).
    Pending,
    /// All but the revoked and the expired.
    Current,
    /// All, the revoked too, and the expired until they are purged.
    All,
}

/// How many nodes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Waiting for the operator, not expired; unapproved ones of an import included.
    pub pending: u64,
    /// Paired and not muted.
    pub paired: u64,
    /// Muted.
    pub muted: u64,
    /// Revoked.
    pub revoked: u64,
}
