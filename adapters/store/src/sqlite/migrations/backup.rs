//! The copy of a registry that is made before its schema is changed.

use std::path::{Path, PathBuf};

use handfast_private_file::Beside;
use rusqlite::Connection;

use crate::StoreError;
use crate::sqlite::copy::vacuum;
use crate::sqlite::file::{beside, error};

/// Maximum number of copies of one version that are kept beside a registry.
const MOST: u32 = 99;

/// A registry that was migrated when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Version of its schema before.
    pub from: usize,
    /// Version of its schema now.
    pub to: usize,
    /// The file that holds its earlier state; [`restore`](crate::restore) accepts it.
    pub backup: PathBuf,
}

/// Copies the registry into a private file beside it, which is durable when this returns. The name
/// contains the version, and no other file is replaced.
///
/// # Errors
/// [`StoreError::File`] with advice. There is no copy then.
pub(in crate::sqlite) fn make(
    connection: &Connection,
    database: &Path,
    from: usize,
    to: usize,
) -> Result<PathBuf, StoreError> {
    let refused = |problem: &dyn std::fmt::Display| {
        error(
            database,
            format!(
                "this registry has schema {from} and is to be brought to {to}, but the copy that is made of it before could not be written: \
                 {problem}; nothing was changed"
            ),
        )
    };
    let name = free_name(database, from).ok_or_else(|| {
        let taken = beside(database, &suffix(from, 1));
        refused(&format!(
            "there are {MOST} already ({} and so on); move them away",
            taken.display()
        ))
    })?;
    let write = || {
        let copy = Beside::new(&name)?;
        vacuum(connection, &copy, &name)?;
        Ok::<_, StoreError>(copy.create()?)
    };
    write().map_err(|problem| refused(&problem))?;
    Ok(name)
}

/// Returns the first unused name.
fn free_name(database: &Path, version: usize) -> Option<PathBuf> {
    let names = (1..=MOST).map(|number| beside(database, &suffix(version, number)));
    let is_free = |name: &PathBuf| {
        std::fs::symlink_metadata(name).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
    };
    names.into_iter().find(is_free)
}

fn suffix(version: usize, number: u32) -> String {
    match number {
        1 => format!(".schema-{version}.backup"),
        _ => format!(".schema-{version}.backup-{number}"),
    }
}
