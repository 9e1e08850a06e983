//! Durable files that only their owner can read.
//!
//! Every file is a regular file with mode 0600. A link in its place is refused, never followed. A
//! file is written under a temporary name, flushed, and renamed, and the directory is flushed:
//! after a crash it has its old content or its new one. [`Options`] name the exceptions.

mod beside;
mod directory;
mod error;
mod file;
mod options;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

pub use beside::Beside;
pub use directory::{Others, check_directory, create_directory, directory, sync_dir};
pub use error::{Error, Kind};
pub use options::Options;

/// Reads a file of at most `most` bytes; `None` if it does not exist.
///
/// # Errors
/// [`Error`] if it is not a regular file, if others may read or write it, if it is longer, or if
/// the system refuses.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    Options::PRIVATE.read(path, most)
}

/// Checks that the path is a private regular file, without opening it; `false` if it does not
/// exist.
///
/// # Errors
/// As for [`read`].
pub fn inspect(path: &Path) -> Result<bool, Error> {
    Options::PRIVATE.inspect(path)
}

/// Creates a file with this content. It must not exist yet.
///
/// # Errors
/// [`Kind::Exists`] if the name is taken; that file is left unchanged. [`Error`] if the system
/// refuses.
pub fn create_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Options::PRIVATE.create_new(path, bytes)
}

/// Writes a file with this content, and replaces an existing one.
///
/// # Errors
/// [`Error`] if the system refuses, or if the name belongs to something else than a private file,
/// which is left unchanged.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Options::PRIVATE.replace(path, bytes)
}

/// Takes the lock at `path` and creates the file if needed; `None` if another process holds it. The
/// lock is held until the returned file is dropped. The kernel releases it when the process ends in
/// any way.
///
/// # Errors
/// As for [`read`].
pub fn lock(path: &Path) -> Result<Option<File>, Error> {
    Options::PRIVATE.lock(path, Duration::ZERO)
}

/// Returns `true` if a process holds the lock at `path`.
///
/// # Errors
/// As for [`read`].
pub fn is_locked(path: &Path) -> Result<bool, Error> {
    let file = match file::open(path, OFlags::RDONLY, &Options::PRIVATE) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(false),
        other => other?,
    };
    // A shared lock that is released at once can only disturb a process that tries to lock at this
    // moment.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(Error::io(path, "cannot be looked at", &source)),
    }
}

/// Removes a file durably. Returns `false` if it did not exist. A link is removed, not its target.
///
/// # Errors
/// [`Error`] if the system refuses.
pub fn remove(path: &Path) -> Result<bool, Error> {
    match std::fs::remove_file(path) {
        // A removed secret must not come back after a power cut.
        Ok(()) => sync_dir(path).map(|()| true),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io(path, "cannot be removed", &source)),
    }
}

/// Renames a private file within its directory durably, replaces a private file of that name, and
/// sets the modification time if one is given. Returns `false` if there is no such file.
///
/// # Errors
/// [`Error`] if one of the two is no private file, or if the system refuses.
pub fn rename(from: &Path, to: &Path, modified: Option<SystemTime>) -> Result<bool, Error> {
    let file = match file::open(from, OFlags::WRONLY, &Options::PRIVATE) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(false),
        other => other?,
    };
    inspect(to)?;
    let set = modified.map_or(Ok(()), |modified| file.set_modified(modified));
    // The time is set on the open file before the rename, so no crash leaves the old one.
    set.and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(from, to))
        .map_err(|source| Error::io(from, "cannot be renamed", &source))?;
    sync_dir(to).map(|()| true)
}

#[cfg(test)]
mod tests;
