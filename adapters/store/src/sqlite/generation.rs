//! Detection of a registry that is older than what it acknowledged.
//!
//! Every commit raises a number in the database. The highest number that is known to be durable
//! stands, with the database's id, in a file of its own: the *mark*. It is written at most once a
//! second, always after the commit that it names, and once more when the store is closed. A
//! database that is below its mark, or has another id, was put back, copied while it was in use, or
//! lost its log.
//!
//! Two cases are not detected: the commits of the last second are missing, or the whole directory
//! was put back with its mark.

use std::path::{Path, PathBuf};

use handfast_private_file as private_file;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::file::{self, error};
use crate::StoreError;

/// First version of the schema that has a number.
pub(super) const SINCE: usize = 4;
/// Maximum size of a mark in bytes.
const MARK_BYTES: u64 = 256;
const FIRST_LINE: &str = "handfast generation 1";

/// The id of a database. It is drawn when the database is made or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DatabaseId(pub(super) [u8; 16]);

impl std::fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The number of a database's last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) database: DatabaseId,
}

/// Returns the path of the mark of the database at this path.
pub(super) fn path(database: &Path) -> PathBuf {
    database.with_extension("generation")
}

/// Reads the mark of the database at this path.
pub(super) fn mark(database: &Path) -> Result<Option<Generation>, StoreError> {
    let path = path(database);
    let Some(bytes) = private_file::read(&path, MARK_BYTES)? else { return Ok(None) };
    let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
    parsed.map(Some).ok_or_else(|| {
        error(&path, "this is no mark of a registry; if the registry is the one you mean, remove this file and start with --accept-older-store")
    })
}

/// Makes the mark of the database at this path durable.
pub(super) fn write_mark(database: &Path, generation: Generation) -> Result<(), StoreError> {
    let Generation { number, database: id } = generation;
    let text = format!("{FIRST_LINE}\ndatabase {id}\nnumber {number}\n");
    Ok(private_file::replace(&path(database), text.as_bytes())?)
}

fn parse(text: &str) -> Option<Generation> {
    let mut lines = text.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let id = lines.next()?.strip_prefix("database ")?;
    let number = lines.next()?.strip_prefix("number ")?.parse().ok()?;
    if id.len() != 32 || lines.next().is_some() {
        return None;
    }
    let mut database = [0; 16];
    for (place, pair) in database.iter_mut().zip(id.as_bytes().chunks_exact(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Generation { number, database: DatabaseId(database) })
}

/// Reads the number in a database, and the number up to which the file alone has everything; `None`
/// if it has none yet.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<(Generation, u64)>> {
    let has_table = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'generation'",
        [],
        |row| row.get::<_, i64>(0),
    )?;
    if has_table == 0 {
        // A registry of an older version has no numbers.
        return Ok(None);
    }
    let row = connection.query_row("SELECT number, base, database FROM generation", [], |row| {
        let number =
            |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
        let generation = Generation { number: number(0)?, database: DatabaseId(row.get(2)?) };
        Ok((generation, number(1)?))
    });
    row.optional()
}

/// Reads the same from the file alone, without its log.
fn read_file(path: &Path) -> rusqlite::Result<Option<(Generation, u64)>> {
    let mut uri = String::from("file:");
    // A `?` or `#` in the path would end it in a URI.
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    // `immutable` makes SQLite ignore the log.
    read(&Connection::open_with_flags(uri + "?immutable=1", flags)?)
}

/// Returns `true` if the error says that the file alone is not a valid database.
fn is_torn(problem: &rusqlite::Error) -> bool {
    matches!(
        problem.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Checks if a database is consistent, including its log. Reads all of it.
fn is_whole(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "PRAGMA integrity_check(1)",
        [],
        |row| Ok(row.get::<_, String>(0)? == "ok"),
    )
}

/// The reason for which a registry is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Older {
    /// It has fewer commits than were acknowledged.
    Below { has: u64, acknowledged: u64 },
    /// It has the id of another database.
    Another { is: String, expected: String },
    /// It has no mark beside it.
    NoMark { has: u64 },
    /// Its log was made on top of a newer file.
    Mixed { file: u64, log: u64 },
}

impl std::fmt::Display for Older {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Below { has, acknowledged } => {
                write!(f, "it ends with change {has}, and change {acknowledged} was acknowledged")
            }
            Self::Another { is, expected } => {
                write!(f, "it is {is}, and {expected} was in use here")
            }
            Self::NoMark { has } => {
                write!(
                    f,
                    "it ends with change {has}, and the file that says which change was acknowledged last is missing"
                )
            }
            Self::Mixed { file, log } => {
                write!(
                    f,
                    "its file ends with change {file}, and the log beside it belongs to one that has change {log}"
                )
            }
        }
    }
}

/// Compares a database that is being opened with its mark. Changes nothing.
pub(super) fn compare(
    connection: &Connection,
    path: &Path,
    version: usize,
) -> Result<Option<Older>, StoreError> {
    let failed = |e: rusqlite::Error| file::failed(path, &e);
    let mark = mark(path)?;
    let found = if version >= SINCE { read(connection).map_err(failed)? } else { None };
    Ok(match (found, mark) {
        // It was never used with a number: the mark was made for it before its first use, or an
        // older version without numbers wrote it.
        (None, None | Some(Generation { number: 0, .. })) => None,
        (None, Some(mark)) => {
            let (is, expected) = (
                "a registry without a number".to_owned(),
                format!("database {} at change {}", mark.database, mark.number),
            );
            Some(Older::Another { is, expected })
        }
        (Some((found, _)), None) => Some(Older::NoMark { has: found.number }),
        (Some((found, _)), Some(mark)) if found.database != mark.database => {
            let named =
                |one: Generation| format!("database {} at change {}", one.database, one.number);
            Some(Older::Another { is: named(found), expected: named(mark) })
        }
        (Some((found, _)), Some(mark)) if found.number < mark.number => {
            Some(Older::Below { has: found.number, acknowledged: mark.number })
        }
        (Some((_, base)), Some(_)) => {
            // The log needs a file that holds at least the commits up to `base`.
            let file = match read_file(path) {
                Ok(file) => file.map_or(0, |(file, _)| file.number),
                // The disk became full, or the power failed, while the log was being copied into
                // the file. With its log the database is whole.
                Err(torn) if is_torn(&torn) && is_whole(connection).map_err(failed)? => base,
                Err(problem) => return Err(failed(problem)),
            };
            (file < base).then_some(Older::Mixed { file, log: base })
        }
    })
}

/// Returns the error for a registry that is older, with advice.
pub(super) fn refusal(path: &Path, older: &Older) -> StoreError {
    let mend = match older {
        Older::Mixed { .. } => {
            let log = super::file::beside(path, "-wal");
            format!("the file was put back without removing the log of the one before; remove {} and start again", log.display())
        }
        Older::Below { .. } | Older::Another { .. } | Older::NoMark { .. } => {
            "what was decided since is not in it, so nodes that were revoked would be let in again; put the right file back, bring a backup in with \
             `handfast restore FILE`, or go on with this one: `handfast serve --accept-older-store`"
                .to_owned()
        }
    };
    error(
        path,
        format!(
            "this registry is not the one that was in use here: {older}; nothing was changed; {mend}"
        ),
    )
}

/// Makes sure that the database has a number, and that its mark exists. With `anew` the database
/// gets a new id: the numbers that were acknowledged before are not continued.
pub(super) fn settle(
    connection: &Connection,
    path: &Path,
    anew: bool,
) -> Result<Generation, StoreError> {
    let failed = |e: rusqlite::Error| file::failed(path, &e);
    let found = read(connection).map_err(failed)?;
    let generation = match (found, mark(path)) {
        (Some((found, _)), _) if !anew => found,
        // The mark is written first, so that a crash in between leaves a mark that demands nothing.
        (None, Ok(Some(mark))) if !anew => begin(connection, mark).map_err(failed)?,
        (found, mark) => {
            // The number continues from the highest one known, so that it never repeats.
            let number = found
                .map_or(0, |(found, _)| found.number)
                .max(mark.ok().flatten().map_or(0, |mark| mark.number));
            let fresh = Generation { number: 0, database: fresh_id(connection).map_err(failed)? };
            write_mark(path, fresh)?;
            begin(connection, Generation { number, ..fresh }).map_err(failed)?
        }
    };
    Ok(generation)
}

/// Writes the first number of a new registry.
pub(super) fn begin_anew(connection: &Connection) -> rusqlite::Result<Generation> {
    begin(connection, Generation { number: 0, database: fresh_id(connection)? })
}

/// Draws the id of a database.
pub(super) fn fresh_id(connection: &Connection) -> rusqlite::Result<DatabaseId> {
    connection.query_row("SELECT randomblob(16)", [], |row| row.get(0)).map(DatabaseId)
}

/// Writes the next number.
fn begin(connection: &Connection, from: Generation) -> rusqlite::Result<Generation> {
    let next = Generation { number: from.number + 1, ..from };
    set(connection, next).map(|()| next)
}

/// Writes a number, all of which the file alone has.
pub(super) fn set(connection: &Connection, to: Generation) -> rusqlite::Result<()> {
    let row = params![i64::try_from(to.number).unwrap_or(i64::MAX), to.database.0];
    let sql =
        "INSERT OR REPLACE INTO generation (one, number, base, database) VALUES (1, ?1, 0, ?2)";
    connection.execute(sql, row).map(drop)
}

/// Raises the number, within the transaction that is being committed.
pub(super) fn raise(connection: &Connection, base: u64) -> rusqlite::Result<u64> {
    let mut statement = connection
        .prepare_cached("UPDATE generation SET number = number + 1, base = ?1 RETURNING number")?;
    let number: i64 =
        statement.query_row([i64::try_from(base).unwrap_or(i64::MAX)], |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_as_it_was_written_and_nothing_else_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handfast.db");
        assert_eq!(mark(&path).unwrap(), None);
        let generation = Generation {
            number: u64::MAX,
            database: DatabaseId(std::array::from_fn(|n| n as u8 * 17)),
        };
        write_mark(&path, generation).unwrap();
        assert_eq!(mark(&path).unwrap(), Some(generation));
        let text = std::fs::read_to_string(directory.path().join("handfast.generation")).unwrap();
        for spoiled in [
            text.replace("number", "nomber"),
            text.replace("11", "1"),
            text.clone() + "x\n",
            String::new(),
        ] {
            private_file::replace(&super::path(&path), spoiled.as_bytes()).unwrap();
            assert!(
                mark(&path).unwrap_err().to_string().contains("handfast.generation"),
                "{spoiled}"
            );
        }
    }
}
