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
//! | `changes` | the changes of nodes |
//! | `requests` | admission, count and rejection of requests |
//! | `reader` | the reading connections and the queries for nodes |
//! | `grants` | grants and revocations: changes and queries |
//! | `codes` | PINs, codes and the pairing window: changes and queries |
//! | `makers` | consequences of a session's end |
//! | `sessions` | companions' sessions and spent setup codes: changes and queries |
//! | `inbound` | senders on messaging channels: changes and queries |
//! | `time` | the mark, the run and steps of the clock |
//! | `deliveries` | secrets that are shown once: changes and queries |
//! | `rows` | conversion between rows and records |

mod changes;
mod codes;
mod copy;
mod deliveries;
mod file;
mod generation;
mod grants;
mod inbound;
mod keeper;
mod makers;
mod migrations;
mod reader;
mod requests;
mod rows;
mod schema;
mod sessions;
mod time;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::error::Refusal;
use handfast_core::grant::capability::{self, Held};
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Guesser, NoGuess, Window};
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::time::UnixTime;
use handfast_core::wire::native::pair::Selector;
use rusqlite::ErrorCode;

use crate::{
    Activation, Counts, Filter, Listed, NotMinted, Observation, Revoked, SaveError, Store,
    StoreError, Stored, StoredCode, Version, prefix,
};
use keeper::Keeper;
use reader::Readers;
use writer::WriterHandle;

pub use copy::{Backup, LostDecisions, Restored, backup, restore};
pub use file::{RegistryHolder, holder};
pub use migrations::Migrated;

/// A [`Store`] in one file, for one process at a time.
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
    readers: Arc<Readers>,
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
        let writer = WriterHandle::start(connection, lock, Keeper::new(path, generation))?;
        let store =
            Self { readers: Arc::new(readers), writer, inbound_epoch: Arc::default(), migrated };
        Ok((store, accepted.map(|older| older.to_string())))
    }

    /// Runs a read that may take long on a thread that may block.
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
        asking: PendingRequest,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        self.writer
            .change(move |connection| requests::admit(connection, &asking, &profile, &limits, now))
            .await
    }

    async fn rejection(&self, key: RequestKey) -> Result<Option<Rejection>, StoreError> {
        Ok(self.readers.point(|connection| requests::rejection(connection, &key))?)
    }

    async fn named(
        &self,
        name: &str,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        let name = name.to_owned();
        self.page(move |connection| reader::named(connection, &name, limit, now)).await
    }

    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
        self.readers.point(|connection| reader::load(connection, node_id))
    }

    async fn save(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.writer
            .change(move |connection| changes::save(connection, node_id, read_at, &standing, now))
            .await
    }

    async fn save_by(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        maker: Maker,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.writer
            .change(move |connection| {
                changes::save_by(connection, node_id, read_at, &standing, maker, now)
            })
            .await
    }

    async fn insert(
        &self,
        record: Record,
        profile: String,
        now: UnixTime,
    ) -> Result<(), SaveError> {
        self.writer
            .change(move |connection| changes::insert(connection, &record, &profile, now))
            .await
    }

    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError> {
        self.writer
            .change(move |connection| changes::observe(connection, node_id, observation))
            .await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let Some(ids) = prefix::range(prefix) else { return Ok(Vec::new()) };
        self.page(move |connection| reader::find(connection, &ids, limit)).await
    }

    async fn list(
        &self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        self.page(move |connection| reader::list(connection, filter, after, limit, now)).await
    }

    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError> {
        self.page(move |connection| reader::counts(connection, now)).await
    }

    async fn by_key(&self, key: &x25519::PublicKey) -> Result<Option<Stored>, StoreError> {
        self.readers.point(|connection| reader::by_key(connection, key))
    }

    async fn offer(
        &self,
        record: Record,
        profile: String,
        read_at: Option<Version>,
        grant: Grant,
        ceiling: Option<Ceiling>,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        let offer = move |connection: &rusqlite::Connection| {
            grants::offer(connection, &record, &profile, read_at, &grant, ceiling.as_ref(), now)
        };
        self.writer.change(offer).await
    }

    async fn set_ceiling(
        &self,
        node_id: NodeId,
        read_at: Version,
        ceiling: Ceiling,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.writer
            .change(move |connection| {
                grants::set_ceiling(connection, node_id, read_at, &ceiling, now)
            })
            .await
    }

    async fn grants(&self, node_id: NodeId) -> Result<Vec<Grant>, StoreError> {
        self.readers.point(|connection| grants::of(connection, node_id))
    }

    async fn activate(
        &self,
        node_id: NodeId,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<Activation, StoreError> {
        self.writer
            .change(move |connection| grants::activate(connection, node_id, grant, now))
            .await
    }

    async fn end_grants(
        &self,
        node_id: NodeId,
        which: Option<GrantId>,
        now: UnixTime,
    ) -> Result<Vec<capability::Id>, StoreError> {
        self.writer.change(move |connection| grants::end(connection, node_id, which, now)).await
    }

    async fn grant_of(&self, capability: &capability::Id) -> Result<Option<Grant>, StoreError> {
        self.readers.point(|connection| grants::with(connection, capability))
    }

    async fn list_granted(
        &self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<(Listed, Vec<Grant>)>, StoreError> {
        self.page(move |connection| reader::list_granted(connection, after, limit, now)).await
    }

    async fn revoke(&self, what: Revoked, now: UnixTime) -> Result<(), StoreError> {
        self.writer.change(move |connection| grants::revoke(connection, &what, now)).await
    }

    async fn is_revoked(&self, held: Vec<Held>) -> Result<bool, StoreError> {
        self.readers.point(|connection| grants::is_revoked(connection, &held))
    }

    async fn window(&self) -> Result<Window, StoreError> {
        self.readers.point(codes::window)
    }

    async fn set_window(&self, window: Window) -> Result<(), StoreError> {
        self.writer.change(move |connection| codes::begin_window(connection, &window)).await
    }

    async fn mint(
        &self,
        code: StoredCode,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError> {
        let erased = self.writer.erased();
        self.writer.change(move |connection| codes::mint(connection, &code, now, &erased)).await
    }

    async fn code(&self, id: CodeId) -> Result<Option<StoredCode>, StoreError> {
        self.readers.point(|connection| codes::code(connection, id))
    }

    async fn code_by_selector(
        &self,
        selector: Selector,
        now: UnixTime,
    ) -> Result<Option<StoredCode>, StoreError> {
        self.readers.point(|connection| codes::by_selector(connection, selector, now))
    }

    async fn codes(&self, now: UnixTime) -> Result<Vec<StoredCode>, StoreError> {
        self.page(move |connection| codes::live(connection, now)).await?
    }

    async fn guessers(&self) -> Result<Vec<Guesser>, StoreError> {
        self.page(codes::guessers).await?
    }

    async fn reserve(
        &self,
        code: Option<CodeId>,
        source: Source,
        now: UnixTime,
    ) -> Result<Result<u8, NoGuess>, StoreError> {
        self.writer.change(move |connection| codes::reserve(connection, code, source, now)).await
    }

    async fn spend(
        &self,
        code: CodeId,
        source: Source,
        reserved_at: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let erased = self.writer.erased();
        self.writer
            .change(move |connection| {
                codes::spend(connection, code, source, reserved_at, now, &erased)
            })
            .await
    }

    async fn withdraw(&self, code: CodeId, now: UnixTime) -> Result<bool, StoreError> {
        let erased = self.writer.erased();
        self.writer.change(move |connection| codes::withdraw(connection, code, now, &erased)).await
    }

    async fn vault(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let name = name.to_owned();
        self.writer.change(move |connection| changes::vault(connection, &name, &fresh)).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.writer
            .change(|connection| {
                Ok(connection.execute("UPDATE generation SET base = base", []).map(drop)?)
            })
            .await
    }
}

#[cfg(test)]
mod tests;
