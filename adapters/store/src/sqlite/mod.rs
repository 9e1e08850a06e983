//! The registry in one SQLite file.
//!
//! rusqlite rather than sqlx, because of how changes are made durable: what costs is waiting for the disk, so every change that has arrived in the
//! meantime shares one wait (group commit). That takes one thread that owns the one writing connection, and sqlx would put a pool and a
//! worker thread per connection in between. Readers have connections of their own and wait for nobody (write-ahead log); a point read takes microseconds
//! and is done where it is called, a listing goes to a thread that may block.
//!
//! | file | concern |
//! |---|---|
//! | `file` | permissions, and one process at a time |
//! | `schema` | tables and migrations |
//! | `writer` | the thread that commits groups of changes |
//! | `changes` | the changes |
//! | `reader` | the reading connections and the queries |
//! | `rows` | rows ⇄ records |

mod changes;
mod file;
mod reader;
mod rows;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::error::Refusal;
use handfast_core::id::NodeId;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::Asking;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::time::UnixTime;
use rusqlite::ErrorCode;

use crate::{Counts, Filter, Listed, Observation, SaveError, Store, StoreError, Stored, Version, prefix};
use reader::Readers;
use writer::Writer;

/// A [`Store`] in one file, for one process at a time.
///
/// Beside the file at `path` there are `-wal` and `-shm`, which belong to it (copy it with `sqlite3 FILE .backup`, not with `cp`), and `.lock`. All of them are
/// readable by their owner only. The directory is the caller's concern. Dropping the store waits for the changes under way.
#[derive(Debug)]
pub struct SqliteStore {
    // In this order they are dropped: the last connection to close tidies the log away, and only the writer may.
    readers: Arc<Readers>,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the file, creates it if there is none, and brings an older one up to date. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`StoreError::File`] if another process has it, others than its owner could read it, it is no registry, or a newer version wrote it. In all of
    /// these cases nothing is changed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = file::lock(path)?;
        file::refuse_vanished(path, &lock)?;
        file::prepare(path)?;
        let connection = schema::open(path)?;
        let readers = Readers::open(path)?;
        file::mark(path, &lock)?;
        let writer = Writer::start(connection, lock)?;
        Ok(Self { readers: Arc::new(readers), writer })
    }

    /// Runs a read that may take long where it may block.
    async fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let read = tokio::task::spawn_blocking(move || readers.page(read)).await;
        Ok(read.map_err(|problem| StoreError::Database(problem.to_string()))??)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Database(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for SaveError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn admit(
        &self,
        asking: Asking,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        self.writer.change(move |connection| changes::admit(connection, &asking, &profile, &limits, now)).await
    }

    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
        self.readers.point(|connection| reader::load(connection, node_id))
    }

    async fn save(&self, node_id: NodeId, read_at: Version, standing: Standing, now: UnixTime) -> Result<Version, SaveError> {
        self.writer.change(move |connection| changes::save(connection, node_id, read_at, &standing, now)).await
    }

    async fn insert(&self, record: Record, profile: String, now: UnixTime) -> Result<(), SaveError> {
        self.writer.change(move |connection| changes::insert(connection, &record, &profile, now)).await
    }

    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError> {
        self.writer.change(move |connection| changes::observe(connection, node_id, observation)).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let Some(ids) = prefix::range(prefix) else { return Ok(Vec::new()) };
        self.page(move |connection| reader::find(connection, &ids, limit)).await
    }

    async fn list(&self, filter: Filter, after: Option<NodeId>, limit: usize, now: UnixTime) -> Result<Vec<Listed>, StoreError> {
        self.page(move |connection| reader::list(connection, filter, after, limit, now)).await
    }

    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError> {
        self.page(move |connection| reader::counts(connection, now)).await
    }
}

#[cfg(test)]
mod tests;
