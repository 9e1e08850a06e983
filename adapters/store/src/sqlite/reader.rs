//! The reading connections.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::file::{error, failed};
use super::schema::BUSY;
use crate::StoreError;

/// Number of connections for point reads. Each is in use for microseconds.
const POINTS: usize = 4;
/// Number of connections for listings, so that a long one delays no point read.
const PAGES: usize = 2;

/// The reading connections.
#[derive(Debug)]
pub(super) struct Readers {
    points: Pool<POINTS>,
    pages: Pool<PAGES>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { points: Pool::open(path)?, pages: Pool::open(path)? })
    }

    /// Runs a read of microseconds.
    pub(super) fn point<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        self.points.with(read)
    }

    /// Runs a read that may take longer; not for threads that must not block.
    pub(super) fn page<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        self.pages.with(read)
    }
}

#[derive(Debug)]
struct Pool<const N: usize> {
    connections: [Mutex<Connection>; N],
    next: AtomicUsize,
}

impl<const N: usize> Pool<N> {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            let connection = Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            connection.busy_timeout(BUSY)?;
            connection.execute_batch("PRAGMA trusted_schema = OFF")?;
            // One plan for all values. Otherwise SQLite plans again where a value could make
            // another plan better, which costs ten times the read.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.set_prepared_statement_cache_capacity(32);
            Ok(Mutex::new(connection))
        };
        let opened: Result<Vec<_>, rusqlite::Error> =
            std::iter::repeat_with(open).take(N).collect();
        let connections = opened.map_err(|problem| failed(path, &problem))?.try_into();
        let connections = connections.map_err(|_| error(path, "the pool has another size"))?;
        Ok(Self { connections, next: AtomicUsize::new(0) })
    }

    /// Takes a free connection, or waits for the next in turn.
    fn with<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        // Readers begin at different connections, so they seldom wait for each other.
        let first = self.next.fetch_add(1, Ordering::Relaxed) % N;
        let free = (0..N).find_map(|more| self.connections[(first + more) % N].try_lock().ok());
        // A reader that panicked leaves no state behind that could harm the next one.
        let connection = free.unwrap_or_else(|| {
            self.connections[first].lock().unwrap_or_else(PoisonError::into_inner)
        });
        read(&connection)
    }
}
