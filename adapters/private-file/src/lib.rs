//! Durable files that only their owner can read.
//!
//! Every file is a regular file with mode 0600. A link in its place is refused, never followed. A
//! file is written under a temporary name, flushed, and renamed, and the directory is flushed:
//! after a crash it has its old content or its new one.

mod beside;
mod error;

use std::fs::{File, Permissions, TryLockError};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

pub use beside::Beside;
pub use error::{Error, Kind};

/// Permissions of a private file.
const PRIVATE: u32 = 0o600;
/// Spare capacity after the content, so that reading to its end does not grow the buffer.
const ROOM: usize = 64;
/// The permission bits of the group and of others.
const OTHERS: u32 = 0o077;

/// Reads a file of at most `most` bytes; `None` if it does not exist.
///
/// # Errors
/// [`Error`] if it is not a regular file, if others may read or write it, if it is longer, or if
/// the system refuses.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
    let file = match open(path, OFlags::RDONLY) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        other => other?,
    };
    // The capacity suffices from the start, so that growth leaves no copies of a secret behind.
    let length =
        file.metadata().map_err(|source| Error::io(path, "cannot be read", &source))?.len();
    let mut bytes = Vec::with_capacity(
        usize::try_from(length.min(most)).unwrap_or_default().saturating_add(ROOM),
    );
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io(path, "cannot be read", &source))?;
    if bytes.len() as u64 > most {
        return Err(Error::new(
            path.to_owned(),
            Kind::Content,
            format!("the file has more than {most} bytes"),
        ));
    }
    Ok(Some(bytes))
}

fn open(path: &Path, flags: OFlags) -> Result<File, Error> {
    // Opening a pipe would block the caller, and a terminal would become its controlling one.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(PRIVATE)) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::LOOP) => return Err(Error::link(path)),
        Err(source) => return Err(Error::io(path, "cannot be opened", &source.into())),
    };
    check(path, &file)?;
    Ok(file)
}

/// Checks that the path is a private regular file, without opening it; `false` if it does not
/// exist.
///
/// # Errors
/// As for [`read`].
pub fn inspect(path: &Path) -> Result<bool, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => check_metadata(path, &found).map(|()| true),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io(path, "cannot be read", &source)),
    }
}

fn check(path: &Path, file: &File) -> Result<(), Error> {
    check_metadata(
        path,
        &file.metadata().map_err(|source| Error::io(path, "cannot be read", &source))?,
    )
}

fn check_metadata(path: &Path, found: &std::fs::Metadata) -> Result<(), Error> {
    if found.is_symlink() {
        return Err(Error::link(path));
    }
    if !found.is_file() {
        return Err(Error::new(path.to_owned(), Kind::Irregular, "not a file".to_owned()));
    }
    if found.permissions().mode() & OTHERS != 0 {
        let problem = format!(
            "group or others may read or write this file; mend it with: chmod 600 {}",
            path.display()
        );
        return Err(Error::new(path.to_owned(), Kind::TooOpen, problem));
    }
    Ok(())
}

/// Creates a file with this content. It must not exist yet.
///
/// # Errors
/// [`Kind::Exists`] if the name is taken; that file is left unchanged. [`Error`] if the system
/// refuses.
pub fn create_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut beside = Beside::new(path)?;
    beside.write(bytes)?;
    beside.create()
}

/// Writes a file with this content, and replaces an existing one.
///
/// # Errors
/// [`Error`] if the system refuses, or if the name belongs to something else than a private file,
/// which is left unchanged.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut beside = Beside::new(path)?;
    beside.write(bytes)?;
    beside.replace()
}

/// Takes the lock at `path` and creates the file if needed; `None` if another process holds it. The
/// lock is held until the returned file is dropped. The kernel releases it when the process ends in
/// any way.
///
/// # Errors
/// As for [`read`].
pub fn lock(path: &Path) -> Result<Option<File>, Error> {
    let file = open_or_create(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(Error::io(path, "cannot be locked", &source)),
    }
}

/// Returns `true` if a process holds the lock at `path`.
///
/// # Errors
/// As for [`read`].
pub fn is_locked(path: &Path) -> Result<bool, Error> {
    let file = match open(path, OFlags::RDONLY) {
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

/// Opens a file for reading and writing. A new one is private from the start, whatever the umask.
fn open_or_create(path: &Path) -> Result<File, Error> {
    match open(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
        Ok(file) => {
            make_private(path, &file)?;
            Ok(file)
        }
        Err(error) if error.kind() == Kind::Exists => open(path, OFlags::RDWR),
        Err(error) => Err(error),
    }
}

/// Restores permissions that an unusual umask removed. The umask can add none.
fn make_private(path: &Path, file: &File) -> Result<(), Error> {
    let set = file.set_permissions(Permissions::from_mode(PRIVATE));
    set.map_err(|source| Error::io(path, "cannot be made private", &source))
}

/// Makes the names in the path's directory durable.
///
/// # Errors
/// [`Error`] if the system refuses.
pub fn sync_dir(path: &Path) -> Result<(), Error> {
    let directory =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| Error::io(directory, "cannot be flushed", &source))
}

#[cfg(test)]
mod tests;
