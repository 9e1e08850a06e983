//! Copies of a whole registry between a file of SQLite and a PostgreSQL database.
//!
//! The two have the same tables with the same columns, so a copy goes table by table, and knows no
//! table by its name. It is made in one transaction of the target, which is read back and compared
//! row by row with the source before it is committed. Secrets stay sealed as they are: both sides
//! need the same store key. What belongs to gateways alone stays behind: their leases, their claims,
//! and the log of changes.
//!
//! [`to_database`] and [`to_file`] move a registry, which no process may have open meanwhile.
//! [`backup`] and [`restore`] do for a database what [`crate::backup()`] and [`crate::restore()`] do
//! for a file.

use std::path::Path;

use rusqlite::types::Value;

use crate::audit::TreeHead;
use crate::postgres::transfer as database;
use crate::sqlite::transfer as file;
use crate::{Backup, PostgresAddress, StoreError};

/// Number of rows that are read and written at once.
pub(crate) const PAGE: usize = 200;

/// A finished copy of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Number of nodes, in any standing.
    pub nodes: u64,
    /// Number of rows in all tables.
    pub rows: u64,
    /// The tree of the audit log, which is the same on both sides.
    pub audit: TreeHead,
}

/// A table that is copied.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// The columns that are stored, in their order.
    pub(crate) columns: Vec<String>,
    /// The places of the columns by which rows are ordered, and whether each is a text.
    pub(crate) key: Vec<(usize, bool)>,
}

/// A row, with a value for each column.
pub(crate) type Row = Vec<Value>;

/// A registry that is read.
pub(crate) trait Source {
    /// Returns the rows after this one in the order of the table's key, at most [`PAGE`].
    fn page(&mut self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, StoreError>;

    /// Returns the tree of the audit log.
    fn audit(&mut self) -> Result<TreeHead, StoreError>;
}

/// A registry that is filled, in a transaction without triggers.
pub(crate) trait Target: Source {
    /// Removes the rows that a new registry has.
    fn clear(&mut self, table: &Table) -> Result<(), StoreError>;

    /// Adds rows.
    fn add(&mut self, table: &Table, rows: &[Row]) -> Result<(), StoreError>;
}

/// Moves the registry at `from` into an empty database. The file stays as it is. Blocks.
///
/// # Errors
/// [`StoreError`] if a process has one of the two open, the database has a registry that is not
/// empty, the file has another version's schema or is older than what it acknowledged, or the copy
/// fails. The database has at most an empty registry then.
pub fn to_database(from: &Path, to: &PostgresAddress) -> Result<Copied, StoreError> {
    apart(|| {
        // Held until the copy is committed.
        let (mut source, _lock) = file::Existing::offline(from)?;
        into_database(&mut source, to)
    })
}

/// Moves the registry of a database into a new file. The database stays as it is. Blocks.
///
/// # Errors
/// [`StoreError`] if a gateway has the database open, there is a registry at `to`, the database has
/// another version's schema, or the copy fails. There is no registry at `to` then.
pub fn to_file(from: &PostgresAddress, to: &Path) -> Result<Copied, StoreError> {
    apart(|| {
        let mut source = database::Existing::offline(from)?;
        let place = file::Place::new(to)?;
        let mut target = file::Fresh::registry(&place)?;
        let copied = carry(&mut source, &mut target)?;
        target.commit()?.put(place)?;
        Ok(copied)
    })
}

/// Copies the registry of a database, in use or not, into a file that [`restore`] and
/// [`crate::restore()`] take. The copy is consistent, has mode 0600, and gets its name only when it
/// is whole and durable. An existing file is replaced only if it is a registry itself. Blocks.
///
/// # Errors
/// [`StoreError`] if the copy fails; `to` is unchanged then.
pub fn backup(from: &PostgresAddress, to: &Path) -> Result<Backup, StoreError> {
    apart(|| {
        let mut source = database::Existing::in_use(from)?;
        let mut target = file::Fresh::backup(to)?;
        carry(&mut source, &mut target)?;
        target.commit()?.replace()
    })
}

/// Puts a backup into an empty database. Blocks.
///
/// # Errors
/// As for [`to_database`].
pub fn restore(from: &Path, to: &PostgresAddress) -> Result<Copied, StoreError> {
    apart(|| into_database(&mut file::Existing::backup(from)?, to))
}

/// Runs a copy on a thread of its own: a connection is waited for in a way that a thread of an
/// asynchronous caller must not.
fn apart<T: Send>(copy: impl FnOnce() -> Result<T, StoreError> + Send) -> Result<T, StoreError> {
    let panicked = |_| Err(StoreError::Database("the copy has panicked".to_owned()));
    std::thread::scope(|scope| scope.spawn(copy).join().unwrap_or_else(panicked))
}

fn into_database(source: &mut dyn Source, to: &PostgresAddress) -> Result<Copied, StoreError> {
    let mut target = database::Fresh::new(to)?;
    let tables = file::tables()?;
    // Whatever differs from a new registry is somebody's.
    if compare(&mut file::New::new()?, &mut target, &tables)?.is_err() {
        return Err(StoreError::Refused(
            "this database has a registry already, and nothing was changed; create an empty database, or set that registry aside: \
             ALTER SCHEMA handfast RENAME TO handfast_before"
                .to_owned(),
        ));
    }
    target.without_triggers(&tables)?;
    let copied = carry(source, &mut target)?;
    target.commit(&tables)?;
    Ok(copied)
}

/// Copies everything, and compares it.
fn carry(source: &mut dyn Source, target: &mut dyn Target) -> Result<Copied, StoreError> {
    let tables = file::tables()?;
    for table in &tables {
        carry_table(source, target, table).map_err(|error| match error {
            StoreError::Database(problem) => {
                StoreError::Database(format!("table {}: {problem}", table.name))
            }
            other => other,
        })?;
    }
    let differs = |table| {
        StoreError::Database(format!(
            "the copy differs from the original in {table}, so it was not kept"
        ))
    };
    compare(source, target, &tables)?.map_err(differs)
}

fn carry_table(
    source: &mut dyn Source,
    target: &mut dyn Target,
    table: &Table,
) -> Result<(), StoreError> {
    target.clear(table)?;
    let mut last = None;
    loop {
        let mut rows = source.page(table, last.as_ref())?;
        if rows.is_empty() {
            return Ok(());
        }
        target.add(table, &rows)?;
        last = rows.pop();
    }
}

/// Compares two registries row by row. The inner error is what differs.
fn compare(
    one: &mut dyn Source,
    other: &mut dyn Source,
    tables: &[Table],
) -> Result<Result<Copied, String>, StoreError> {
    let (mut nodes, mut all) = (0, 0);
    for table in tables {
        let (mut last, mut number) = (None, 0);
        loop {
            let mut rows = one.page(table, last.as_ref())?;
            if rows != other.page(table, last.as_ref())? {
                return Ok(Err(format!("table {} after row {number}", table.name)));
            }
            number += rows.len() as u64;
            let Some(row) = rows.pop() else { break };
            last = Some(row);
        }
        all += number;
        if table.name == "node" {
            nodes = number;
        }
    }
    let audit = one.audit()?;
    match other.audit()? == audit {
        true => Ok(Ok(Copied { nodes, rows: all, audit })),
        false => Ok(Err("the tree of the audit log".to_owned())),
    }
}
