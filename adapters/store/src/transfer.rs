//! All rows of a registry, from one store into another.

use crate::StoreError;
use crate::audit::TreeHead;
use crate::value::Value;

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

/// Copies everything, and compares it.
pub(crate) fn carry(
    source: &mut dyn Source,
    target: &mut dyn Target,
    tables: &[Table],
) -> Result<Copied, StoreError> {
    for table in tables {
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
    compare(source, target, tables)?.map_err(differs)
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
pub(crate) fn compare(
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
