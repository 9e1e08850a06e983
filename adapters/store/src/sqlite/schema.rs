//! Tables and migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::file::error;
use crate::StoreError;

/// "HfSt": what makes a SQLite file one of ours.
pub(super) const APPLICATION_ID: i64 = 0x4866_5374;

/// How long to wait for an operator's `sqlite3` shell that has the file locked.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Each brings the schema from the version that is its place here to the next. What has been released is never changed.
pub(super) const MIGRATIONS: &[&str] = &[V1];

/// The rows of `node` are in the order in which they came, so that the admissions of one group share pages; ids are random, and only the small entries of
/// their index are scattered. The profile comes last, so that reading a record never walks past it.
///
/// What is counted is counted by triggers: inside the transaction of whatever changes a node, and in one place for all of them. The tallies of pending
/// include the expired until they are purged.
const V1: &str = "
CREATE TABLE node (
    seq         INTEGER PRIMARY KEY,
    node_id     BLOB NOT NULL UNIQUE CHECK (length(node_id) = 16),
    name        TEXT NOT NULL,
    room        TEXT NOT NULL,
    address     TEXT NOT NULL,
    asked_at    INTEGER NOT NULL,
    standing    TEXT NOT NULL CHECK (standing IN ('pending', 'unapproved', 'paired', 'muted', 'revoked')),
    expires     INTEGER CHECK ((expires IS NOT NULL) = (standing = 'pending')),
    token_hash  BLOB CHECK ((token_hash IS NOT NULL) = (standing IN ('unapproved', 'paired', 'muted'))),
    mode        TEXT CHECK ((mode IS NOT NULL) = (standing IN ('paired', 'muted'))),
    cause       TEXT CHECK ((cause IS NOT NULL) = (standing = 'revoked')),
    version     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    source      BLOB NOT NULL CHECK (length(source) = 16),
    request_key BLOB CHECK (request_key IS NULL OR (length(request_key) = 32 AND standing = 'pending')),
    profile     TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX node_by_request ON node (request_key)     WHERE standing = 'pending';
CREATE INDEX node_by_expiry         ON node (expires)         WHERE standing = 'pending';
CREATE INDEX node_by_source         ON node (source, expires) WHERE standing = 'pending';
CREATE INDEX node_waiting           ON node (node_id)         WHERE standing IN ('pending', 'unapproved');
CREATE INDEX node_current           ON node (node_id)         WHERE standing <> 'revoked';

CREATE TABLE observation (
    node_id      BLOB NOT NULL PRIMARY KEY,
    last_seen    INTEGER NOT NULL,
    occupancy    INTEGER,
    noise_level  REAL,
    wake_word_fp INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (standing TEXT NOT NULL PRIMARY KEY, nodes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO tally VALUES ('pending', 0), ('unapproved', 0), ('paired', 0), ('muted', 0), ('revoked', 0);
CREATE TABLE pending_of_source (source BLOB NOT NULL PRIMARY KEY, nodes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TRIGGER node_enters AFTER INSERT ON node BEGIN
    UPDATE tally SET nodes = nodes + 1 WHERE standing = NEW.standing;
END;
CREATE TRIGGER node_moves AFTER UPDATE OF standing ON node WHEN NEW.standing <> OLD.standing BEGIN
    UPDATE tally SET nodes = nodes - 1 WHERE standing = OLD.standing;
    UPDATE tally SET nodes = nodes + 1 WHERE standing = NEW.standing;
END;
CREATE TRIGGER node_goes AFTER DELETE ON node BEGIN
    UPDATE tally SET nodes = nodes - 1 WHERE standing = OLD.standing;
    DELETE FROM observation WHERE node_id = OLD.node_id;
END;

CREATE TRIGGER pending_enters AFTER INSERT ON node WHEN NEW.standing = 'pending' BEGIN
    INSERT INTO pending_of_source VALUES (NEW.source, 1) ON CONFLICT (source) DO UPDATE SET nodes = nodes + 1;
END;
CREATE TRIGGER pending_returns AFTER UPDATE OF standing ON node WHEN NEW.standing = 'pending' AND OLD.standing <> 'pending' BEGIN
    INSERT INTO pending_of_source VALUES (NEW.source, 1) ON CONFLICT (source) DO UPDATE SET nodes = nodes + 1;
END;
CREATE TRIGGER pending_leaves AFTER UPDATE OF standing ON node WHEN OLD.standing = 'pending' AND NEW.standing <> 'pending' BEGIN
    UPDATE pending_of_source SET nodes = nodes - 1 WHERE source = OLD.source;
    DELETE FROM pending_of_source WHERE source = OLD.source AND nodes <= 0;
END;
CREATE TRIGGER pending_goes AFTER DELETE ON node WHEN OLD.standing = 'pending' BEGIN
    UPDATE pending_of_source SET nodes = nodes - 1 WHERE source = OLD.source;
    DELETE FROM pending_of_source WHERE source = OLD.source AND nodes <= 0;
END;
";

/// Opens the writing connection on a file that exists, and brings its schema up to date.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let failed = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => error(path, "not a registry, and not any other SQLite file either"),
        _ => error(path, e),
    };
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // Until it is clear that the file is ours, closing it must not tidy up in it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    let version = recognise(&connection, MIGRATIONS.len()).map_err(failed)?.map_err(|problem| error(path, problem))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;

    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(error(path, "this file system cannot keep SQLite's write-ahead log; put the registry on a local disk"));
    }
    // FULL: a commit has reached the disk when it returns. The log is copied into the file about every 16 MB and cut to 64 MB after a rush.
    let settings =
        "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;
        PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;";
    connection.execute_batch(settings).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    migrate(&mut connection, version, MIGRATIONS).map_err(failed)?;
    Ok(connection)
}

/// Tells a new file, or one of ours, from everything else, without changing anything. The answer is the version of its schema, or why it is not for us.
fn recognise(connection: &Connection, known: usize) -> rusqlite::Result<Result<usize, String>> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    Ok(match number("PRAGMA application_id")? {
        0 if version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(0),
        APPLICATION_ID => usize::try_from(version).ok().filter(|&v| v <= known).ok_or_else(|| {
            format!("a newer Handfast wrote this registry (schema {version}, this one knows {known}); run that one; nothing was changed")
        }),
        _ => Err("this SQLite file belongs to another program; nothing was changed".to_owned()),
    })
}

/// Applies what is missing, each step in one transaction: all of it or nothing.
fn migrate(connection: &mut Connection, from: usize, migrations: &[&str]) -> rusqlite::Result<()> {
    for (version, step) in migrations.iter().enumerate().skip(from) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(version + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> usize {
        recognise(connection, 9).unwrap().unwrap()
    }

    #[test]
    fn migrations_run_once_and_in_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE t (n)", "INSERT INTO t VALUES (1)", "INSERT INTO t SELECT n + 1 FROM t"];
        for upto in [1, 3, 3] {
            let from = version(&connection);
            migrate(&mut connection, from, &steps[..upto]).unwrap();
        }
        assert_eq!(connection.query_row("SELECT group_concat(n) FROM t", [], |row| row.get::<_, String>(0)).unwrap(), "1,2");
    }

    #[test]
    fn a_failing_migration_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0, &["CREATE TABLE t (n)", "INSERT INTO t VALUES (1); nonsense"]).unwrap_err();
        assert_eq!(version(&connection), 1);
        assert_eq!(connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }
}
