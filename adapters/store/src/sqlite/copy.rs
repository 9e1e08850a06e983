//! Backups of a registry in use as one file, and their restoration.

use std::path::Path;

use handfast_private_file::{self as private_file, Beside};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::file::{self, beside, error};
use super::generation::{self, Generation};
use super::migrations::MIGRATIONS;
use super::schema::{self, BUSY};
use crate::StoreError;

/// Suffix of the registry that a restore replaced.
const BEFORE: &str = ".before-restore";

/// A backup that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Number of the last change in it; 0 for a registry of a version without numbers.
    pub number: u64,
    /// Number of nodes in it, in any standing.
    pub nodes: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// A completed restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Number of nodes in the registry now, in any standing.
    pub nodes: u64,
    /// The decisions of the replaced registry that the backup does not have. `None` if they cannot
    /// be determined.
    pub lost: Option<LostDecisions>,
    /// Path of the replaced registry, if there was one.
    pub replaced: Option<std::path::PathBuf>,
}

/// Decisions that are missing in a backup because they were made after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostDecisions {
    /// Nodes that were revoked or rejected since and are admitted again.
    pub revoked_nodes: u64,
    /// Nodes that were muted since and may speak again.
    pub muted_nodes: u64,
    /// Nodes that were paired since and have to pair again.
    pub new_nodes: u64,
    /// Capabilities and keys that were revoked since and are valid again.
    pub revoked_capabilities: u64,
    /// Companions' sessions that were ended since and are valid again.
    pub ended_sessions: u64,
    /// Operators' sessions and tokens that were ended since and are valid again.
    pub ended_logins: u64,
    /// Setup codes that were spent since. Those that have not expired can be spent again.
    pub spent_setup_codes: u64,
    /// Senders that were blocked or revoked since and may write again.
    pub blocked_senders: u64,
}

/// Copies the registry at `database` into the file `to`, in use or not. The copy is consistent, has
/// mode 0600, and gets its name only when it is whole and durable. An existing file is replaced
/// only if it is a registry itself. Blocks.
///
/// # Errors
/// [`StoreError`] if the copy fails; `to` is unchanged then.
pub fn backup(database: &Path, to: &Path) -> Result<Backup, StoreError> {
    if !file::is_here(database)? {
        return Err(error(
            database,
            "there is no registry here; name the gateway's data directory with --data; a registry in a \
             database is backed up with the database's own tool, for PostgreSQL pg_dump",
        ));
    }
    file::check(database)?;
    let same = |one: &Path| std::fs::canonicalize(one).ok();
    if same(to).is_some_and(|to| Some(to) == same(database)) {
        return Err(error(to, "this is the registry itself; name another file for the backup"));
    }
    refuse_other_file(to)?;
    let from = reading(database)?;
    version(&from, database)?;
    let copy = Beside::new(to)?;
    vacuum(&from, &copy, to)?;
    let made = summary(copy.path()).map_err(|problem| error(to, problem))?;
    copy.replace()?;
    Ok(made)
}

/// Refuses to overwrite a file that is no registry, so that a typing error destroys no other data.
pub(super) fn refuse_other_file(to: &Path) -> Result<(), StoreError> {
    if private_file::inspect(to)? && reading(to).and_then(|found| version(&found, to)).is_err() {
        return Err(error(
            to,
            "this file is there already and is no backup of a registry; name another one, or remove it",
        ));
    }
    Ok(())
}

/// Puts the backup `from` in the place of the registry at `database`, which no process may have
/// open. The replaced registry is kept under another name. Blocks.
///
/// # Errors
/// [`StoreError`] if the restore fails. The registry is unchanged then, or reports at the next
/// start that the restore was interrupted.
pub fn restore(from: &Path, database: &Path) -> Result<Restored, StoreError> {
    let lock = file::lock(database)?;
    if !private_file::inspect(from)? {
        return Err(error(from, "there is no such file"));
    }
    let same = |one: &Path| std::fs::canonicalize(one).ok();
    if same(from) == same(database) {
        return Err(error(from, "this is the registry itself; name a backup of it"));
    }
    // The backup is checked before anything of the registry is touched.
    let backup = reading(from)?;
    let version = version(&backup, from)?;
    let sound: String = backup
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| spoiled(from, e))?;
    if sound != "ok" {
        return Err(error(from, format!("this backup is damaged ({sound}); nothing was changed")));
    }
    let is_here = file::is_here(database)?;
    let (lost, number) = match is_here {
        true => (
            lost(database, from).ok(),
            reading(database)
                .ok()
                .and_then(|c| generation::read(&c).ok()?)
                .map_or(0, |g| g.0.number),
        ),
        false => (None, 0),
    };
    let acknowledged = generation::mark(database).ok().flatten().map_or(0, |mark| mark.number);

    let copy = Beside::new(database)?;
    vacuum(&backup, &copy, database)?;
    let id = generation::fresh_id(&backup).map_err(|e| error(database, e))?;
    let mut mark = Generation { number: 0, database: id };
    if version >= generation::SINCE {
        let own = generation::read(&backup)
            .map_err(|e| spoiled(from, e))?
            .map_or(0, |(own, _)| own.number);
        // A number above all that was acknowledged, under a new id, so that an older log or mark
        // fits neither.
        mark.number = own.max(number).max(acknowledged) + 1;
        renumber(copy.path(), mark).map_err(|e| full_or(database, e))?;
    }
    let nodes = summary(copy.path()).map_err(|problem| error(database, problem))?.nodes;
    drop(backup);
    let replaced = if is_here { Some(move_away(database)?) } else { None };
    // After a crash from here on, the registry does not match its mark, and the next start reports
    // that.
    copy.replace()?;
    generation::write_mark(database, mark)?;
    file::mark(database, &lock)?;
    Ok(Restored { nodes, lost, replaced })
}

pub(super) fn reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF")?;
        Ok(connection)
    });
    opened.map_err(|e| error(path, e))
}

/// Returns the version of a registry's schema.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let recognised =
        schema::recognise(connection, MIGRATIONS.len()).map_err(|e| spoiled(path, e))?;
    match recognised.map_err(|problem| error(path, problem))? {
        0 => Err(error(path, "this is an empty registry, and no backup")),
        version => Ok(version),
    }
}

fn spoiled(path: &Path, problem: rusqlite::Error) -> StoreError {
    match problem.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            error(path, "this is no registry, and no other SQLite file either; nothing was changed")
        }
        _ => error(path, format!("{problem}; nothing was changed")),
    }
}

/// Copies everything that is committed, without the free space that erased data has left.
pub(super) fn vacuum(from: &Connection, to: &Beside, named: &Path) -> Result<(), StoreError> {
    let path = to
        .path()
        .to_str()
        .ok_or_else(|| error(named, "the path is not UTF-8, which SQLite needs"))?;
    from.execute("VACUUM INTO ?1", [path]).map(drop).map_err(|e| full_or(named, e))
}

pub(super) fn full_or(path: &Path, problem: rusqlite::Error) -> StoreError {
    match problem.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => error(
            path,
            format!(
                "it could not be written ({problem}); nothing was left half-written; free disk space or name a file on another disk"
            ),
        ),
        _ => error(
            path,
            format!("it could not be written: {problem}; nothing was left half-written"),
        ),
    }
}

pub(super) fn summary(path: &Path) -> Result<Backup, String> {
    let read = || {
        let connection = reading(path).map_err(|e| e.to_string())?;
        let nodes: i64 = connection
            .query_row("SELECT count(*) FROM node", [], |row| row.get(0))
            .map_err(|e| e.to_string())?;
        let number = generation::read(&connection)
            .map_err(|e| e.to_string())?
            .map_or(0, |(own, _)| own.number);
        let bytes = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
        Ok::<_, String>(Backup { number, nodes: u64::try_from(nodes).unwrap_or(0), bytes })
    };
    read().map_err(|problem| format!("the copy cannot be read back: {problem}"))
}

fn renumber(path: &Path, to: Generation) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // No other process knows this file yet, so a crash need not be undone in it.
    connection.query_row("PRAGMA journal_mode = MEMORY", [], |row| row.get::<_, String>(0))?;
    generation::set(&connection, to)
}

/// Renames a registry and its log.
fn move_away(database: &Path) -> Result<std::path::PathBuf, StoreError> {
    let away = beside(database, BEFORE);
    // Both are checked before either moves: a database without its log has lost its last changes.
    private_file::inspect(database)?;
    private_file::inspect(&beside(database, "-wal"))?;
    // The log of an earlier one would be taken for the log of this one.
    private_file::remove(&beside(&away, "-wal"))?;
    private_file::remove(&beside(&away, "-shm"))?;
    // The log goes first, so that a crash in between never leaves it beside another file.
    private_file::rename(&beside(database, "-wal"), &beside(&away, "-wal"), None)?;
    private_file::rename(database, &away, None)?;
    private_file::remove(&beside(database, "-shm"))?;
    Ok(away)
}

/// Counts the decisions of the registry at `database` that the backup does not have.
fn lost(database: &Path, backup: &Path) -> Result<LostDecisions, StoreError> {
    let connection = reading(database)?;
    let failed = |e: rusqlite::Error| error(database, e);
    let path = backup
        .to_str()
        .ok_or_else(|| error(backup, "the path is not UTF-8, which SQLite needs"))?;
    connection.execute("ATTACH ?1 AS backup", [path]).map_err(failed)?;
    // A backup of an older version lacks whole tables; their present content is not in it.
    let has = |schema: &str, table: &str| {
        let sql = format!("SELECT 1 FROM {schema}.sqlite_schema WHERE name = ?1");
        connection.query_row(&sql, [table], |_| Ok(())).optional().map(|found| found.is_some())
    };
    let count = |table: &str, both: &str, alone: &str| -> rusqlite::Result<u64> {
        if !has("main", table)? {
            return Ok(0);
        }
        let sql = if has("backup", table)? { both } else { alone };
        connection
            .query_row(&format!("SELECT count(*) FROM {sql}"), [], |row| row.get::<_, i64>(0))
            .map(|n| u64::try_from(n).unwrap_or(0))
    };
    let counted = || {
        Ok::<_, rusqlite::Error>(LostDecisions {
            revoked_nodes: count(
                "node",
                "main.node AS now JOIN backup.node AS then_ USING (node_id) WHERE now.standing = 'revoked' AND then_.standing <> 'revoked'",
                "main.node WHERE 0",
            )?,
            muted_nodes: count(
                "node",
                "main.node AS now JOIN backup.node AS then_ USING (node_id) WHERE now.standing = 'muted' AND then_.standing NOT IN ('muted', 'revoked')",
                "main.node WHERE 0",
            )?,
            new_nodes: count(
                "node",
                "main.node AS now LEFT JOIN backup.node AS then_ USING (node_id)
                     WHERE now.standing IN ('paired', 'muted') AND (then_.standing IS NULL OR then_.standing NOT IN ('paired', 'muted'))",
                "main.node WHERE 0",
            )?,
            revoked_capabilities: count(
                "revocation",
                "main.revocation AS now WHERE NOT EXISTS (SELECT 1 FROM backup.revocation AS then_ WHERE then_.what = now.what AND then_.id = now.id)",
                "main.revocation",
            )?,
            ended_sessions: count(
                "session",
                "main.session AS now JOIN backup.session AS then_ USING (session_id) WHERE now.revoked_at IS NOT NULL AND then_.revoked_at IS NULL",
                "main.session WHERE 0",
            )?,
            ended_logins: count(
                "login",
                "main.login AS now JOIN backup.login AS then_ USING (login_id) WHERE now.revoked_at IS NOT NULL AND then_.revoked_at IS NULL",
                "main.login WHERE 0",
            )?,
            spent_setup_codes: count(
                "spent_setup_code",
                "main.spent_setup_code WHERE nonce NOT IN (SELECT nonce FROM backup.spent_setup_code)",
                "main.spent_setup_code",
            )?,
            blocked_senders: count(
                "sender_blocked",
                "main.sender_blocked AS now WHERE NOT EXISTS
                     (SELECT 1 FROM backup.sender_blocked AS then_ WHERE (then_.channel, then_.account, then_.sender) = (now.channel, now.account, now.sender))",
                "main.sender_blocked",
            )? + count(
                "sender_allowed",
                "main.sender_allowed AS now JOIN backup.sender_allowed AS then_ USING (channel, account, sender)
                     WHERE now.revoked_at IS NOT NULL AND then_.revoked_at IS NULL",
                "main.sender_allowed WHERE 0",
            )?,
        })
    };
    counted().map_err(failed)
}
