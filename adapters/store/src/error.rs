//! Errors of stores.

use handfast_core::NodeId;

/// The reason for which a change was not saved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SaveError {
    /// Another writer changed the record first, or the id is taken.
    #[error("the record was changed by somebody else meanwhile")]
    Conflict,
    /// The record does not exist.
    #[error("there is no such node")]
    Missing,
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A failure of the store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file or its directory cannot be used.
    #[error("{path}: {problem}")]
    File {
        /// Path of the file or directory.
        path: std::path::PathBuf,
        /// Description of the problem, with advice on how to solve it.
        problem: String,
    },
    /// A stored record is damaged. Nothing was changed.
    #[error(transparent)]
    BadRecord(#[from] BadRecord),
    /// The disk has no space for a change. Reads still work, and changes work again once there is
    /// space.
    #[error("the disk is full")]
    DiskFull,
    /// The database is none that this version can work on, or is not reached safely. Nothing was
    /// changed.
    #[error("{0}")]
    Refused(String),
    /// The database cannot be reached, or was lost before a change was committed. Nothing was
    /// changed.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The database did not answer in time. Nothing was changed.
    #[error("the database did not answer in time")]
    Timeout,
    /// The database was lost while a change was being committed, and did not come back in time: the
    /// change was made or not. Reading again tells.
    #[error(
        "the database was lost during a commit, so the change was made or not ({0}); read again to find out"
    )]
    OutcomeUnknown(String),
    /// The database reported this error.
    #[error("database: {0}")]
    Database(String),
}

/// A stored record that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored record of node {node_id} cannot be read: {problem}")]
pub struct BadRecord {
    /// Id of the record's node.
    pub node_id: NodeId,
    /// Description of the damage.
    pub problem: String,
}
