//! A registry in a file, as a copy reads and fills it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use handfast_private_file::{self as private_file, Beside};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ToSql, params_from_iter};

use super::copy::{full_or, reading, summary, version};
use super::file::{self, beside, error};
use super::generation::{self, Generation};
use super::migrations::MIGRATIONS;
use super::schema;
use super::tx::SqliteTx;
use crate::audit::TreeHead;
use crate::transfer::{PAGE, Row, Source, Table, Target};
use crate::value::Value;
use crate::{Backup, StoreError, ops, rows};

/// Returns the tables that are copied: all but the number of the file itself.
pub(crate) fn tables() -> Result<Vec<Table>, StoreError> {
    let schema = schema::in_memory()?;
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'generation' ORDER BY name";
    let mut names = schema.prepare(names)?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let columns = "SELECT name, type, pk FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid";
    let mut columns = schema.prepare(columns)?;
    let table = |name: String| {
        let columns: Vec<(String, String, u32)> = columns
            .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut key: Vec<_> = columns.iter().enumerate().filter(|(_, it)| it.2 > 0).collect();
        key.sort_by_key(|(_, it)| it.2);
        let key = key.into_iter().map(|(place, it)| (place, it.1 == "TEXT")).collect();
        Ok(Table { name, columns: columns.into_iter().map(|it| it.0).collect(), key })
    };
    names.into_iter().map(table).collect()
}

/// An existing registry. All reads see one state of it.
pub(crate) struct Existing(Connection);

impl Existing {
    /// Opens a registry that no process has open, until the lock is dropped.
    pub(crate) fn offline(path: &Path) -> Result<(Self, File), StoreError> {
        let lock = file::lock(path)?;
        if !file::is_here(path)? {
            return Err(error(path, "there is no registry here; name its data directory"));
        }
        file::check(path)?;
        let opened = Self::backup(path)?;
        match generation::compare(&opened.0, path, MIGRATIONS.len())? {
            Some(older) => Err(generation::refusal(path, &older)),
            None => Ok((opened, lock)),
        }
    }

    /// Opens a backup.
    pub(crate) fn backup(path: &Path) -> Result<Self, StoreError> {
        if !private_file::inspect(path)? {
            return Err(error(path, "there is no such file"));
        }
        let connection = reading(path)?;
        let (has, knows) = (version(&connection, path)?, MIGRATIONS.len());
        if has != knows {
            return Err(error(
                path,
                format!(
                    "this registry has schema {has}, and {knows} is needed; start this version's gateway on it once, and nothing was changed"
                ),
            ));
        }
        connection.execute_batch("BEGIN")?;
        Ok(Self(connection))
    }
}

impl Source for Existing {
    fn page(&mut self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, StoreError> {
        page(&self.0, table, after)
    }

    fn audit(&mut self) -> Result<TreeHead, StoreError> {
        audit(&self.0)
    }
}

/// A new registry in memory, which an empty one is compared with.
pub(crate) struct Empty(Connection);

impl Empty {
    pub(crate) fn new() -> Result<Self, StoreError> {
        Ok(Self(schema::in_memory()?))
    }
}

impl Source for Empty {
    fn page(&mut self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, StoreError> {
        page(&self.0, table, after)
    }

    fn audit(&mut self) -> Result<TreeHead, StoreError> {
        audit(&self.0)
    }
}

/// The place of a registry that is to be made, and the lock on it.
pub(crate) struct Place {
    path: PathBuf,
    lock: File,
    mark: Generation,
}

impl Place {
    /// Checks that nothing is there.
    pub(crate) fn new(path: &Path) -> Result<Self, StoreError> {
        let lock = file::lock(path)?;
        if file::is_here(path)? {
            return Err(error(
                path,
                "there is a registry here already, and nothing was changed; name another data directory, or move it away",
            ));
        }
        let log = beside(path, "-wal");
        if private_file::inspect(&log)? {
            return Err(error(
                &log,
                "this is the log of a registry that is not here; put that one back, or remove this file",
            ));
        }
        let acknowledged = generation::mark(path)?.map_or(0, |mark| mark.number);
        // A number above all that was acknowledged here, under a new id.
        let database = generation::fresh_id(&Connection::open_in_memory()?)?;
        let mark = Generation { number: acknowledged + 1, database };
        Ok(Self { path: path.to_owned(), lock, mark })
    }
}

/// A registry that is being made under another name.
pub(crate) struct Fresh {
    copy: Beside,
    connection: Connection,
    named: PathBuf,
}

impl Fresh {
    /// Begins a registry for a gateway.
    pub(crate) fn registry(place: &Place) -> Result<Self, StoreError> {
        Self::new(&place.path, Some(place.mark))
    }

    /// Begins a backup. An existing file is overwritten only if it is a registry.
    pub(crate) fn backup(to: &Path) -> Result<Self, StoreError> {
        super::copy::refuse_other_file(to)?;
        Self::new(to, None)
    }

    fn new(to: &Path, mark: Option<Generation>) -> Result<Self, StoreError> {
        let copy = Beside::new(to)?;
        let make = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(copy.path(), flags)?;
            // No other process knows this file yet, so a crash need not be undone in it.
            connection.query_row("PRAGMA journal_mode = MEMORY", [], |_| Ok(()))?;
            connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY")?;
            schema::migrate(&mut connection, 0, MIGRATIONS)?;
            match mark {
                Some(mark) => generation::set(&connection, mark)?,
                None => drop(generation::begin_anew(&connection)?),
            }
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(connection)
        };
        let connection = make().map_err(|problem: rusqlite::Error| full_or(to, problem))?;
        Ok(Self { copy, connection, named: to.to_owned() })
    }

    /// Commits what was written.
    pub(crate) fn commit(self) -> Result<Made, StoreError> {
        let Self { copy, connection, named } = self;
        connection.execute_batch("COMMIT").map_err(|problem| full_or(&named, problem))?;
        drop(connection);
        Ok(Made { copy, named })
    }
}

impl Source for Fresh {
    fn page(&mut self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, StoreError> {
        page(&self.connection, table, after)
    }

    fn audit(&mut self) -> Result<TreeHead, StoreError> {
        audit(&self.connection)
    }
}

impl Target for Fresh {
    fn clear(&mut self, table: &Table) -> Result<(), StoreError> {
        self.connection.execute(&format!("DELETE FROM {:?}", table.name), [])?;
        Ok(())
    }

    fn add(&mut self, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
        let places: Vec<_> = (1..=table.columns.len()).map(|place| format!("?{place}")).collect();
        let sql = format!(
            "INSERT INTO {:?} ({}) VALUES ({})",
            table.name,
            columns(table),
            places.join(", ")
        );
        let mut insert = self.connection.prepare_cached(&sql)?;
        for row in rows {
            insert.execute(params_from_iter(row)).map_err(|e| full_or(&self.named, e))?;
        }
        Ok(())
    }
}

/// A registry that is whole, under another name.
pub(crate) struct Made {
    copy: Beside,
    named: PathBuf,
}

impl Made {
    /// Gives the registry its place, with the mark of what it acknowledged.
    pub(crate) fn put(self, place: Place) -> Result<(), StoreError> {
        self.copy.replace()?;
        generation::write_mark(&place.path, place.mark)?;
        file::mark(&place.path, &place.lock)
    }

    /// Gives the backup its name.
    pub(crate) fn replace(self) -> Result<Backup, StoreError> {
        let made = summary(self.copy.path()).map_err(|problem| error(&self.named, problem))?;
        self.copy.replace()?;
        Ok(made)
    }
}

fn page(
    connection: &Connection,
    table: &Table,
    after: Option<&Row>,
) -> Result<Vec<Row>, StoreError> {
    let key: Vec<_> =
        table.key.iter().map(|(place, _)| format!("{:?}", table.columns[*place])).collect();
    let key = key.join(", ");
    let places: Vec<_> = (1..=table.key.len()).map(|place| format!("?{place}")).collect();
    let beyond = match after {
        Some(_) => format!("WHERE ({key}) > ({})", places.join(", ")),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {} FROM {:?} {beyond} ORDER BY {key} LIMIT {PAGE}",
        columns(table),
        table.name
    );
    let last = |row: &Row| table.key.iter().map(|(place, _)| row[*place].clone()).collect();
    let last: Vec<Value> = after.map(last).unwrap_or_default();
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement
        .query_map(params_from_iter(last.iter().map(|it| it as &dyn ToSql)), |row| {
            (0..table.columns.len()).map(|place| rows::Row::at(row, place)).collect()
        })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn columns(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|name| format!("{name:?}")).collect();
    columns.join(", ")
}

fn audit(connection: &Connection) -> Result<TreeHead, StoreError> {
    ops::audit_head(&mut SqliteTx::new(connection, &AtomicBool::new(false)))
}
