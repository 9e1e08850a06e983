//! The file itself: who may read it, and that one process has it at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

const PRIVATE: u32 = 0o600;

/// Takes the lock that one process holds for as long as it has the store open. The kernel lets go of it when the process dies, however it dies.
///
/// SQLite's own locks would not do: they let several processes take turns, and each would miss what the others push to their connections.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock = beside(path, ".lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(PRIVATE).open(&lock).map_err(|e| error(&lock, e))?;
    make_private(&file, &lock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(error(path, "another process has this registry open; stop it first, or talk to it instead"))
        }
        Err(TryLockError::Error(problem)) => Err(error(&lock, problem)),
    }
}

/// Refuses a registry that was here once and is gone or empty now: beginning anew without a word would lock every node out.
pub(super) fn refuse_vanished(path: &Path, lock: &File) -> Result<(), StoreError> {
    let was_here = lock.metadata().map_err(|e| error(path, e))?.len() > 0;
    let is_here = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len() > 0,
        Err(problem) if problem.kind() == ErrorKind::NotFound => false,
        Err(problem) => return Err(error(path, problem)),
    };
    if was_here && !is_here {
        let lock = beside(path, ".lock");
        let problem = format!(
            "the registry was here and is {} now; put it back from a backup, or remove {} to begin anew with no nodes",
            if path.exists() { "empty" } else { "gone" },
            lock.display()
        );
        return Err(error(path, problem));
    }
    Ok(())
}

/// Remembers beside the file that there is a registry in it.
pub(super) fn mark(path: &Path, lock: &File) -> Result<(), StoreError> {
    use std::os::unix::fs::FileExt;
    lock.write_all_at(b"a registry is beside this file\n", 0)
        .and_then(|()| lock.sync_all())
        .map_err(|e| error(&beside(path, ".lock"), e))
}

/// Creates the file if there is none, readable by its owner only from its first moment; refuses one that others may read. SQLite gives the files
/// it puts beside it the same permissions, whatever the umask.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path) {
        Ok(file) => {
            make_private(&file, path)?;
            // SQLite makes the contents durable; that there is such a file is up to us.
            let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(directory).and_then(|d| d.sync_all()).map_err(|e| error(directory, e))
        }
        Err(problem) if problem.kind() == ErrorKind::AlreadyExists => {
            [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")].iter().try_for_each(|file| refuse_public(file))
        }
        Err(problem) => Err(error(path, problem)),
    }
}

/// Mends what an unusual umask took away (it can add nothing).
fn make_private(file: &File, path: &Path) -> Result<(), StoreError> {
    file.set_permissions(std::fs::Permissions::from_mode(PRIVATE)).map_err(|e| error(path, e))
}

fn refuse_public(path: &Path) -> Result<(), StoreError> {
    let metadata = match std::fs::metadata(path) {
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| error(path, e))?,
    };
    if !metadata.is_file() {
        return Err(error(path, "not a file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let problem = format!(
            "group or others may read or write this file, and it holds what tokens are checked against; chmod 600 {}",
            path.display()
        );
        return Err(error(path, problem));
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn error(path: &Path, problem: impl ToString) -> StoreError {
    StoreError::File { path: path.to_owned(), problem: problem.to_string() }
}
