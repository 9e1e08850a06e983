//! What can go wrong.

use handfast_core::id::NodeId;

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
