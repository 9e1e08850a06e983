//! Opening, checking and locking of one file.

use std::fs::{File, Metadata, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use crate::{Error, Kind, Options, directory};

/// Permissions of a private file.
const PRIVATE: u32 = 0o600;
/// Wait between two attempts to take a lock.
const LOCK_AGAIN: Duration = Duration::from_millis(5);

/// Opens a file and checks it. The checks use the opened file, so it cannot be exchanged between
/// a check and the reading.
pub(crate) fn open(path: &Path, flags: OFlags, options: &Options) -> Result<File, Error> {
    // Opening a pipe would block the caller, and a terminal would become its controlling one.
    let mut flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if !options.follows_links {
        flags |= OFlags::NOFOLLOW;
    }
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(PRIVATE)) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::LOOP) => return Err(Error::link(path)),
        // A socket, or a device that does not exist.
        Err(rustix::io::Errno::NXIO) => return Err(Error::irregular(path)),
        Err(source) => return Err(Error::io(path, "cannot be opened", &source.into())),
    };
    // The open file is checked, because its path could name another one by now.
    let about = file.metadata().map_err(|source| Error::io(path, "cannot be read", &source))?;
    check(path, &about, options.refused)?;
    Ok(file)
}

/// Checks a file without opening it; `false` if it does not exist. `refused` are permission bits
/// that it must not have.
pub(crate) fn inspect(path: &Path, refused: u32) -> Result<bool, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => check(path, &found, refused).map(|()| true),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io(path, "cannot be read", &source)),
    }
}

fn check(path: &Path, found: &Metadata, refused: u32) -> Result<(), Error> {
    if found.is_symlink() {
        return Err(Error::link(path));
    }
    if !found.is_file() {
        return Err(Error::irregular(path));
    }
    let mode = found.mode() & 0o777;
    if mode & refused == 0 { Ok(()) } else { Err(Error::too_open(path, mode, PRIVATE)) }
}

/// Takes the lock at `path`; `None` if another process holds it for longer than `within`.
pub(crate) fn lock(
    path: &Path,
    within: Duration,
    options: &Options,
) -> Result<Option<File>, Error> {
    let file = open_or_create(path, options)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if started.elapsed() >= within => return Ok(None),
            // The system has no lock that waits for a limited time.
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            Err(TryLockError::Error(source)) => {
                return Err(Error::io(path, "cannot be locked", &source));
            }
        }
    }
}

/// Opens a file for reading and writing. A new one is private from the start, whatever the umask.
fn open_or_create(path: &Path, options: &Options) -> Result<File, Error> {
    // Creating comes first, so that there is no gap in which another process could do it.
    match create(path, OFlags::RDWR, options) {
        Err(error) if error.kind() == Kind::Exists => open(path, OFlags::RDWR, options),
        other => other,
    }
}

/// Creates an empty private file. It must not exist yet.
pub(crate) fn create(path: &Path, flags: OFlags, options: &Options) -> Result<File, Error> {
    let file = open(path, flags | OFlags::CREATE | OFlags::EXCL, options)?;
    // An unusual umask may have removed permissions. It can add none.
    let set = file.set_permissions(Permissions::from_mode(PRIVATE));
    set.map_err(|source| Error::io(path, "cannot be made private", &source))?;
    if options.for_directory_owner
        && let (Ok(home), Ok(about)) = (std::fs::metadata(directory(path)), file.metadata())
        && (home.uid(), home.gid()) != (about.uid(), about.gid())
    {
        // Without the right to do this, the process already writes as the owner.
        let _ = fchown(&file, Some(home.uid()), Some(home.gid()));
    }
    Ok(file)
}
