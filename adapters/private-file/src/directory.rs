//! The directories of private files.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use crate::{Error, Kind};

/// Permissions of a new directory.
const PRIVATE: u32 = 0o700;

/// What others may do in a directory of private files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Others may not enter it.
    Nothing,
    /// Others may list it, as a home directory, but not exchange its files.
    List,
}

impl Others {
    const fn refused(self) -> u32 {
        match self {
            Self::Nothing => 0o077,
            Self::List => 0o022,
        }
    }
}

/// Returns the directory of a path; `.` for a bare name.
#[must_use]
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that a directory grants others no more than this; `false` if it does not exist. A link
/// to a directory is followed.
///
/// # Errors
/// [`Error`] if others may do more, or the path is not a directory.
pub fn check_directory(path: &Path, others: Others) -> Result<bool, Error> {
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::io(path, "cannot be looked at", &source)),
    };
    if !about.is_dir() {
        let problem = "this is no directory; name one".to_owned();
        return Err(Error::new(path.to_owned(), Kind::Irregular, problem));
    }
    let mode = about.mode() & 0o777;
    if mode & others.refused() == 0 { Ok(true) } else { Err(Error::too_open(path, mode, PRIVATE)) }
}

/// Creates a directory and those above it with mode 0700, unless it exists. The directory's own
/// name is durable when this returns.
///
/// # Errors
/// [`Error`] if the system refuses.
pub fn create_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(path)
        .map_err(|source| Error::io(path, "cannot be made", &source))?;
    sync_dir(path)
}

/// Makes the names in the path's directory durable.
///
/// # Errors
/// [`Error`] if the system refuses.
pub fn sync_dir(path: &Path) -> Result<(), Error> {
    let directory = directory(path);
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| Error::io(directory, "cannot be flushed", &source))
}
