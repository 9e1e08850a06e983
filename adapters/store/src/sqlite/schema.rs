//! Opening and migrating a database file.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::file::{self, error};
use super::generation::{self, Generation, Older};
use super::migrations::{MIGRATIONS, Migrated, make_backup};
use crate::StoreError;

/// SQLite's application id of a Handfast registry: "HfSt".
pub(super) const APPLICATION_ID: i64 = 0x4866_5374;

/// Time to wait for an operator's `sqlite3` shell that has the file locked.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// The writing connection, and the state of the database.
pub(super) struct OpenedDatabase {
    pub(super) connection: Connection,
    pub(super) generation: Generation,
    /// The reason for which it would have been refused without the caller's consent.
    pub(super) accepted: Option<Older>,
    /// The migration that took place, with the copy from before it.
    pub(super) migrated: Option<Migrated>,
}

/// Opens the writing connection on an existing file, and migrates its schema. A registry that is
/// older than what it acknowledged is refused unless the caller accepts it.
pub(super) fn open(path: &Path, accept_older: bool) -> Result<OpenedDatabase, StoreError> {
    let failed = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            error(path, "not a registry, and not any other SQLite file either")
        }
        _ => file::failed(path, &e),
    };
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // Until the file is known to be a registry, closing it must not change it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    let version = recognise(&connection, MIGRATIONS.len())
        .map_err(failed)?
        .map_err(|problem| error(path, problem))?;
    let older = generation::compare(&connection, path, version)?;
    // A log on top of another state of the file gives a mixture of both, which is never accepted.
    let acceptable = accept_older && !matches!(older, Some(Older::Mixed { .. }));
    if let (Some(older), false) = (&older, acceptable) {
        return Err(generation::refusal(path, older));
    }
    let to = MIGRATIONS.len();
    let migrated = match version {
        // The file is new and empty.
        0 => None,
        from if from == to => None,
        from => Some(Migrated { from, to, backup: make_backup(&connection, path, from, to)? }),
    };
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;

    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(error(
            path,
            "this file system cannot keep SQLite's write-ahead log; put the registry on a local disk",
        ));
    }
    // FULL: a commit has reached the disk when it returns. The writer copies the log into the file,
    // and it is cut to 64 MB after a burst. Erased data is overwritten.
    let settings =
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;
        PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;";
    connection.execute_batch(settings).map_err(failed)?;
    // One plan for all values, so that SQLite does not plan again for each.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(128);
    if let Err(problem) = migrate(&mut connection, version, MIGRATIONS) {
        return Err(not_migrated(&connection, path, version, migrated.as_ref(), &problem));
    }
    let generation = generation::settle(&connection, path, older.is_some())?;
    Ok(OpenedDatabase { connection, generation, accepted: older, migrated })
}

/// Opens the only connection to a new registry in memory.
pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    connection.execute_batch(
        "PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
    )?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    migrate(&mut connection, 0, MIGRATIONS)?;
    generation::begin_anew(&connection)?;
    Ok(connection)
}

/// Tells a new file or a registry from everything else, without changing anything. Returns the
/// version of its schema, or the reason for which it is refused.
pub(super) fn recognise(
    connection: &Connection,
    known: usize,
) -> rusqlite::Result<Result<usize, String>> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    Ok(match number("PRAGMA application_id")? {
        // An empty database has neither an id nor a version.
        0 if version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(0),
        APPLICATION_ID => usize::try_from(version).ok().filter(|&v| v <= known).ok_or_else(|| {
            format!("a newer Handfast wrote this registry (schema {version}, this one knows {known}); run that one; nothing was changed")
        }),
        _ => Err("this SQLite file belongs to another program; nothing was changed".to_owned()),
    })
}

/// Applies the missing migrations in one transaction. A new registry for which the disk has no
/// space stays empty, instead of getting an older version's schema.
pub(super) fn migrate(
    connection: &mut Connection,
    from: usize,
    migrations: &[&str],
) -> rusqlite::Result<()> {
    if from == migrations.len() {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in &migrations[from..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(
        None,
        "user_version",
        i64::try_from(migrations.len()).unwrap_or(i64::MAX),
    )?;
    transaction.commit()
}

/// Returns the error of a failed migration. An identical copy that was made of the registry is
/// removed, so that repeated attempts do not fill the disk.
fn not_migrated(
    connection: &Connection,
    path: &Path,
    version: usize,
    migrated: Option<&Migrated>,
    problem: &rusqlite::Error,
) -> StoreError {
    let Some(Migrated { from, to, backup }) = migrated else { return file::failed(path, problem) };
    let unchanged =
        matches!(recognise(connection, MIGRATIONS.len()), Ok(Ok(now)) if now == version);
    let left = match unchanged && std::fs::remove_file(backup).is_ok() {
        true => "the registry is as it was".to_owned(),
        false => format!("as it was before it is in {}", backup.display()),
    };
    error(
        path,
        format!(
            "its schema could not be brought from {from} to {to}: {problem}; {left}; if the disk is full, free space"
        ),
    )
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
        let steps =
            ["CREATE TABLE t (n)", "INSERT INTO t VALUES (1)", "INSERT INTO t SELECT n + 1 FROM t"];
        for upto in [1, 3, 3] {
            let from = version(&connection);
            migrate(&mut connection, from, &steps[..upto]).unwrap();
        }
        assert_eq!(
            connection
                .query_row("SELECT group_concat(n) FROM t", [], |row| row.get::<_, String>(0))
                .unwrap(),
            "1,2"
        );
    }

    #[test]
    fn a_failing_migration_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0, &["CREATE TABLE t (n)"]).unwrap();
        let steps = [
            "CREATE TABLE t (n)",
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (2); nonsense",
        ];
        migrate(&mut connection, 1, &steps).unwrap_err();
        assert_eq!(version(&connection), 1);
        assert_eq!(
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(),
            0
        );
    }
}
