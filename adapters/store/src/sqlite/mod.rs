//! The registry in one SQLite file.
//!
//! It uses rusqlite rather than sqlx because of how changes are made durable. The cost is the wait
//! for the disk, so all changes that have arrived in the meantime share one wait (group commit).
//! That takes one thread that owns the one writing connection; sqlx would put a pool and a worker
//! thread per connection in between. Readers have connections of their own and wait for nobody
//! (write-ahead log). A point read takes microseconds and runs on the calling thread; a listing
//! runs on a thread that may block.
//!
//! | file | concern |
//! |---|---|
//! | `file` | permissions, and the lock for one process |
//! | `schema` | opening, and migrating |
//! | `migrations` | the tables |
//! | `generation` | detection of a registry that is older than what it acknowledged |
//! | `copy` | backups, and their restoration |
//! | `writer` | the thread that commits groups of changes |
//! | `keeper` | the thread that marks commits, and has the log emptied while nothing is written |
//! | `reader` | the reading connections |
//! | `tx` | the transaction that an operation runs in |
//! | `nodes` | statements for nodes |
//! | `requests` | statements for requests that wait, and rejections |
//! | `grants` | statements for grants and revocations |
//! | `codes` | statements for PINs, codes and the pairing window |
//! | `policies` | statements for approvals in advance |
//! | `provisioning` | statements for nodes that registered over HTTP |
//! | `logins` | operators' sessions and tokens |
//! | `makers` | statements for all that a session made |
//! | `sessions` | statements for companions' sessions and spent setup codes |
//! | `senders` | statements for senders on messaging channels |
//! | `time` | statements for the mark, the run and steps of the clock |
//! | `deliveries` | statements for secrets that are shown once |
//! | `certificates` | statements for certificates and epochs |
//! | `clones` | statements for clone counters |
//! | `replacements` | statements for nodes that took the place of others |
//! | `dispatches` | statements for tasks and capabilities |
//! | `audit` | statements for the audit log |
//! | `transfer` | the whole registry, as a copy to or from PostgreSQL reads and fills it |

mod addresses;
mod audit;
mod certificates;
mod clones;
mod codes;
mod copy;
mod deliveries;
mod dispatches;
mod file;
mod generation;
mod grants;
mod keeper;
mod known_keys;
mod logins;
mod makers;
mod migrations;
mod nodes;
mod policies;
mod provisioning;
mod reader;
mod replacements;
mod requests;
mod schema;
mod senders;
mod sessions;
mod time;
#[cfg(feature = "postgres")]
pub(crate) mod transfer;
mod tx;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::{Connection, ErrorCode};

use crate::StoreError;
use crate::audit::Origin;
use crate::ops::{Database, Tx};
use keeper::Keeper;
use reader::Readers;
use tx::SqliteTx;
use writer::WriterHandle;

pub use copy::{Backup, LostDecisions, Restored, backup, restore};
pub use file::{RegistryHolder, holder};
pub use migrations::Migrated;

/// A [`Store`](crate::Store) in one file, for one process at a time, or
/// [in memory](SqliteStore::in_memory).
///
/// Beside the file at `path` there are `-wal` and `-shm`, which belong to it (copy it with
/// [`backup`](crate::backup()), not with `cp`), `.lock`, and the mark (`handfast.generation` for
/// `handfast.db`), which holds the number of the last acknowledged change. All of them are readable
/// only by their owner. The caller is responsible for the directory. Dropping the store waits for
/// the changes under way.
///
/// A database that is below its mark, or has another id, is refused: it was put back, copied while
/// it was in use, or has lost its log. Two cases are not detected: the changes of the last second
/// are missing, or the whole directory was put back.
#[derive(Debug)]
pub struct SqliteStore {
    // Fields are dropped in this order: the last connection to close removes the log, and only the
    // writer may do that.
    /// `None` in memory, where the writer's connection is the only one.
    readers: Option<Arc<Readers>>,
    writer: WriterHandle,
    inbound_epoch: Arc<AtomicU64>,
    migrated: Option<Migrated>,
}

impl SqliteStore {
    /// Opens the file, and creates it if there is none. Migrates one of an older version after
    /// making a [copy](SqliteStore::migrated) of it. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`StoreError::File`] if another process has it open, others than its owner could read it, it
    /// is a link, it is not a registry, a newer version wrote it, it is older than what it
    /// acknowledged, or no copy can be made before a migration. Nothing is changed in any of these
    /// cases.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_either(path, false).map(|(store, _)| store)
    }

    /// Opens the file as [`open`](Self::open) does, but accepts a registry that is older than what
    /// it acknowledged. The answer describes the difference.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    pub fn open_accepting_older(path: &Path) -> Result<(Self, Option<String>), StoreError> {
        Self::open_either(path, true)
    }

    /// Creates an empty registry in memory, for a gateway that is embedded in another program and
    /// need not remember anything. It is private to this value and gone when that is dropped; a
    /// gateway over it needs no key. It does all that a registry in a file does, except that
    /// nothing is durable. Reads wait for the changes before them.
    ///
    /// # Errors
    /// [`StoreError::Database`] if there is no memory, or no thread to write with.
    pub fn in_memory() -> Result<Self, StoreError> {
        let writer = WriterHandle::start(schema::in_memory()?, None)?;
        Ok(Self { readers: None, writer, inbound_epoch: Arc::default(), migrated: None })
    }

    /// Returns the migration that took place when the registry was opened, after a copy was made of
    /// it; `None` if none was needed.
    #[must_use]
    pub const fn migrated(&self) -> Option<&Migrated> {
        self.migrated.as_ref()
    }

    fn open_either(path: &Path, accept_older: bool) -> Result<(Self, Option<String>), StoreError> {
        let lock = file::lock(path)?;
        file::refuse_vanished(path, &lock)?;
        file::prepare(path)?;
        let schema::OpenedDatabase { connection, generation, accepted, migrated } =
            schema::open(path, accept_older)?;
        let readers = Readers::open(path)?;
        file::mark(path, &lock)?;
        let kept = (lock, Keeper::new(path, generation));
        let writer = WriterHandle::start(connection, Some(kept))?;
        let readers = Some(Arc::new(readers));
        let store = Self { readers, writer, inbound_epoch: Arc::default(), migrated };
        Ok((store, accepted.map(|older| older.to_string())))
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

impl Database for SqliteStore {
    type Base = Self;

    fn base(self: Arc<Self>) -> Arc<Self> {
        self
    }

    fn origin(&self) -> Origin {
        Origin::GATEWAY
    }

    async fn change<T, E>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (erased, epoch) = (self.writer.erased(), Arc::clone(&self.inbound_epoch));
        let make = move |connection: &Connection| {
            let mut tx = SqliteTx::new(connection, &erased);
            let made = operation(&mut tx)?;
            Ok((made, tx.facts_changed))
        };
        // On the writing thread: a gate reads the epoch, then the facts, and caches these under
        // that number. Facts cached under the new number were therefore read when the change was
        // visible; facts that were read earlier are cached under the old number, which is stale.
        let before_answer = move |(_, facts_changed): &(T, bool)| {
            if *facts_changed {
                epoch.fetch_add(1, Ordering::Release);
            }
        };
        self.writer.change_then(make, before_answer).await.map(|(made, _)| made)
    }

    async fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.readers {
            Some(readers) => readers.point(|connection| reading(connection, read)),
            None => self.change(read).await,
        }
    }

    async fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(readers) = &self.readers else { return self.change(read).await };
        let readers = Arc::clone(readers);
        let page = move || {
            readers.page(|connection| {
                // One snapshot of the registry for all the queries.
                let snapshot = connection.unchecked_transaction()?;
                reading(&snapshot, read)
            })
        };
        let read = tokio::task::spawn_blocking(page).await;
        read.map_err(|problem| StoreError::Database(problem.to_string()))?
    }

    fn epoch(&self) -> u64 {
        self.inbound_epoch.load(Ordering::Acquire)
    }

    fn forgets(&self) -> bool {
        self.readers.is_none()
    }
}

/// Runs a read on a reading connection, where nothing can be erased.
fn reading<T>(
    connection: &Connection,
    read: impl FnOnce(&mut dyn Tx) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    read(&mut SqliteTx::new(connection, &AtomicBool::new(false)))
}

#[cfg(test)]
mod tests;
