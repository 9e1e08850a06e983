//! Where a gateway keeps its registry.
//!
//! [`Store`] is what a gateway needs of a database, in the words of the registry: one atomic, durable write per decision, an optimistic version per
//! record, and work per operation that does not grow with the number of nodes. [`MemoryStore`] forgets when it is dropped; [`SqliteStore`] is a
//! file. [`conformance`] is the suite that every store passes.

pub mod conformance;
mod memory;
mod prefix;
mod sqlite;

use async_trait::async_trait;
use handfast_core::error::Refusal;
use handfast_core::id::NodeId;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::Asking;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::time::UnixTime;

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// A registry that outlives the process.
///
/// Whatever a call has answered `Ok` to is durable, and every read that begins after the answer sees it. Every call is one atomic step: a crash at
/// any moment leaves all of it or nothing. A change whose future is dropped before it answers is made or not; who needs to know reads again.
///
/// One record that cannot be read never hides the others: [`Store::load`] of that node fails with [`StoreError::BadRecord`], listings have it in its
/// place as an `Err` ([`Listed`]), and everything else goes on.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Lets a pairing request in: finds the entry with the same key that has not expired, or enters the record under the caps of `limits`
    /// (see [`handfast_core::registry::admission::decide`]). `profile` is a JSON object. Expired entries make room first.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the inner error is [`Refusal::TooManyPending`].
    async fn admit(
        &self,
        asking: Asking,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError>;

    /// Reads one record. A pending entry that has expired is still there until it is purged; its standing says so.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, which is never the same as "there is none"; [`StoreError::BadRecord`] if it is there, but spoiled.
    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError>;

    /// Saves a new standing, if the record still has the version it was read at. The answer is its version from now on.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if somebody else changed it first: read it again and decide anew. [`SaveError::Missing`] if there is no such node (any more).
    async fn save(&self, node_id: NodeId, read_at: Version, standing: Standing, now: UnixTime) -> Result<Version, SaveError>;

    /// Adds a record as it is, for instance from another system.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if the id is taken; nothing is overwritten.
    async fn insert(&self, record: Record, profile: String, now: UnixTime) -> Result<(), SaveError>;

    /// Keeps what a node told; what is `None` (or no number) leaves the last value as it is. Does not change the record's version. What a node tells
    /// that is not in the registry is told in vain, and no error.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be kept.
    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError>;

    /// Reads everything about the nodes whose id begins with `prefix` (lower-case hex and dashes; anything else begins no id), in order of their ids, at
    /// most `limit`. The revoked and the expired are among them.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError>;

    /// Reads a page of nodes in order of their ids, beginning after `after`, at most `limit`. The next page begins after the [`node_id`] of this one's last.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn list(&self, filter: Filter, after: Option<NodeId>, limit: usize, now: UnixTime) -> Result<Vec<Listed>, StoreError>;

    /// How many nodes there are.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError>;
}

/// Counts the changes of one record; the store raises it with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// What [`Store::save`] asks for.
    pub version: Version,
}

/// Everything about a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// Its version.
    pub version: Version,
    /// What it is made of: a JSON object.
    pub profile: String,
    /// When the record last changed.
    pub changed_at: UnixTime,
    /// What it told last, if it ever did.
    pub observed: Option<Observation>,
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
    fn over(self, earlier: Option<Self>) -> Self {
        Self {
            last_seen: self.last_seen,
            occupancy: self.occupancy.or(earlier.and_then(|e| e.occupancy)),
            noise_level: self.noise_level.filter(|n| !n.is_nan()).or(earlier.and_then(|e| e.noise_level)),
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

/// Why a change was not saved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SaveError {
    /// Somebody else changed the record first, or the id is taken.
    #[error("the record was changed by somebody else meanwhile")]
    Conflict,
    /// There is no such record.
    #[error("there is no such node")]
    Missing,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or the directory.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What is wrong with it and what mends it.
        problem: String,
    },
    /// A stored record is spoiled. Nothing was changed.
    #[error(transparent)]
    BadRecord(#[from] BadRecord),
    /// No space is left for a change. Reading goes on, and so do changes as soon as there is space.
    #[error("the disk is full")]
    DiskFull,
    /// The database itself.
    #[error("database: {0}")]
    Database(String),
}

/// A stored record that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored record of node {node_id} cannot be read: {problem}")]
pub struct BadRecord {
    /// Which.
    pub node_id: NodeId,
    /// What is wrong with it.
    pub problem: String,
}
