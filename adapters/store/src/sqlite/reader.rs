//! The reading connections and the queries for nodes.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use handfast_core::crypto::x25519;
use handfast_core::id::NodeId;
use handfast_core::registry::grants::Grant;
use handfast_core::time::UnixTime;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::file::{error, failed};
use super::grants;
use super::rows::{integer, listed, stored};
use super::schema::BUSY;
use crate::{Counts, Filter, Listed, StoreError, Stored};

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

/// Selects everything that a listing shows, for the nodes that the rest of the query names.
macro_rules! select_listed {
    ($rest:literal) => {
        concat!(
            "SELECT node.node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause, version, static_key, signing_key,
                    ceiling, ceiling_expires, ceiling_named, ceiling_by, changed_at, profile, approved_by, last_seen, occupancy, noise_level,
                    wake_word_fp, delivery_id, delivery_until, fallback, fallback_expires, fallback_token,
                    asked.times AS times, asked.last AS last, asked.request AS request, rejection.times AS rejected, rejection.until AS until
             FROM node ",
            $rest
        )
    };
}

/// Selects the columns of a record, for the node that the rest of the query names.
macro_rules! select_stored {
    ($rest:literal) => {
        concat!(
            "SELECT node_id, name, room, address, asked_at, standing, expires, token_hash, mode, cause, version, static_key, signing_key,
                    ceiling, ceiling_expires, ceiling_named, ceiling_by, delivery_id, delivery_until, fallback, fallback_expires, fallback_token
             FROM node ",
            $rest
        )
    };
}

pub(super) fn load(connection: &Connection, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(select_stored!("WHERE node_id = ?1"))?;
    Ok(statement.query_row([node_id.as_bytes()], stored).optional()?.transpose()?)
}

pub(super) fn by_key(
    connection: &Connection,
    key: &x25519::PublicKey,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection
        .prepare_cached(select_stored!("INDEXED BY node_by_key WHERE static_key = ?1"))?;
    Ok(statement.query_row([key.as_bytes()], stored).optional()?.transpose()?)
}

pub(super) fn find(
    connection: &Connection,
    ids: &RangeInclusive<NodeId>,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let sql = select_listed!(
        "LEFT JOIN observation USING (node_id)
             LEFT JOIN asked ON asked.node_id = node.node_id LEFT JOIN rejection ON rejection.node_id = node.node_id WHERE node.node_id BETWEEN ?1 AND ?2 ORDER BY node.node_id LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_map(params![ids.start().as_bytes(), ids.end().as_bytes(), most(limit)], listed)?
        .collect()
}

pub(super) fn named(
    connection: &Connection,
    name: &str,
    limit: usize,
    now: UnixTime,
) -> rusqlite::Result<Vec<Listed>> {
    let sql = select_listed!(
        "INDEXED BY node_by_name LEFT JOIN observation USING (node_id)
         LEFT JOIN asked ON asked.node_id = node.node_id LEFT JOIN rejection ON rejection.node_id = node.node_id
         WHERE standing <> 'revoked' AND name = ?1 AND (expires IS NULL OR expires > ?3) ORDER BY node.node_id LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(params![name, most(limit), integer(now)], listed)?.collect()
}

pub(super) fn list(
    connection: &Connection,
    filter: Filter,
    after: Option<NodeId>,
    limit: usize,
    now: UnixTime,
) -> rusqlite::Result<Vec<Listed>> {
    // Each filter has an index of exactly its nodes (and of expired ones, which are few), so the
    // cost of a page depends only on its length.
    let sql = match filter {
        Filter::Pending => select_listed!(
            "INDEXED BY node_waiting LEFT JOIN observation USING (node_id)
             LEFT JOIN asked ON asked.node_id = node.node_id LEFT JOIN rejection ON rejection.node_id = node.node_id
             WHERE standing IN ('pending', 'unapproved') AND node.node_id > ?1 AND (expires IS NULL OR expires > ?3)
             ORDER BY node.node_id LIMIT ?2"
        ),
        Filter::Current => select_listed!(
            "INDEXED BY node_current LEFT JOIN observation USING (node_id)
             LEFT JOIN asked ON asked.node_id = node.node_id LEFT JOIN rejection ON rejection.node_id = node.node_id
             WHERE standing <> 'revoked' AND node.node_id > ?1 AND (expires IS NULL OR expires > ?3)
             ORDER BY node.node_id LIMIT ?2"
        ),
        Filter::All => select_listed!(
            "LEFT JOIN observation USING (node_id)
             LEFT JOIN asked ON asked.node_id = node.node_id LEFT JOIN rejection ON rejection.node_id = node.node_id WHERE node.node_id > ?1 AND ?3 IS NOT NULL ORDER BY node.node_id LIMIT ?2"
        ),
    };
    // The empty blob comes before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(params![after, most(limit), integer(now)], listed)?.collect()
}

/// Reads the nodes with keys, and the grants in force of each.
pub(super) fn list_granted(
    connection: &Connection,
    after: Option<NodeId>,
    limit: usize,
    now: UnixTime,
) -> rusqlite::Result<Vec<(Listed, Vec<Grant>)>> {
    // One snapshot of the registry for all the queries.
    let snapshot = connection.unchecked_transaction()?;
    let sql = select_listed!(
        "INDEXED BY node_keyed LEFT JOIN observation USING (node_id)
             LEFT JOIN asked ON asked.node_id = node.node_id LEFT JOIN rejection ON rejection.node_id = node.node_id
         WHERE static_key IS NOT NULL AND standing <> 'revoked' AND node.node_id > ?1 AND (expires IS NULL OR expires > ?3)
         ORDER BY node.node_id LIMIT ?2"
    );
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let mut statement = snapshot.prepare_cached(sql)?;
    let page: Vec<Listed> = statement
        .query_map(params![after, most(limit), integer(now)], listed)?
        .collect::<Result<_, _>>()?;
    let with_grants = |entry: Listed| {
        let grants = grants::open(&snapshot, crate::node_id(&entry))?;
        Ok(match (entry, grants) {
            (Err(bad), _) | (Ok(_), Err(bad)) => (Err(bad), Vec::new()),
            (Ok(entry), Ok(grants)) => {
                (Ok(entry), grants.into_iter().filter(|grant| grant.counts(now)).collect())
            }
        })
    };
    page.into_iter().map(with_grants).collect()
}

pub(super) fn counts(connection: &Connection, now: UnixTime) -> rusqlite::Result<Counts> {
    // The schema's triggers keep the tallies. Only expired requests that no admission has removed
    // yet are counted one by one.
    let mut statement = connection.prepare_cached(
        "SELECT standing, nodes FROM tally UNION ALL SELECT 'expired', count(*) FROM node INDEXED BY node_by_expiry
         WHERE standing = 'pending' AND expires <= ?1",
    )?;
    let mut rows = statement.query([integer(now)])?;
    let (mut counts, mut expired) = (Counts::default(), 0);
    while let Some(row) = rows.next()? {
        let number = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        match row.get_ref(0)?.as_str()? {
            "pending" | "unapproved" => counts.pending += number,
            "paired" => counts.paired = number,
            "muted" => counts.muted = number,
            "revoked" => counts.revoked = number,
            _ => expired = number,
        }
    }
    counts.pending = counts.pending.saturating_sub(expired);
    Ok(counts)
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
