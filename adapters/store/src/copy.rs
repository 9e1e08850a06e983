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

use crate::postgres::transfer as database;
use crate::sqlite::transfer as file;
use crate::transfer::{Source, carry, compare};
use crate::{Backup, PostgresAddress, StoreError};

pub use crate::transfer::Copied;

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
        let copied = carry(&mut source, &mut target, &file::tables()?)?;
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
        carry(&mut source, &mut target, &file::tables()?)?;
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
    if compare(&mut file::Empty::new()?, &mut target, &tables)?.is_err() {
        return Err(StoreError::Refused(
            "this database has a registry already, and nothing was changed; create an empty database, or set that registry aside: \
             ALTER SCHEMA handfast RENAME TO handfast_before"
                .to_owned(),
        ));
    }
    target.without_triggers(&tables)?;
    let copied = carry(source, &mut target, &tables)?;
    target.commit(&tables)?;
    Ok(copied)
}
