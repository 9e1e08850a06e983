//! The database file: its permissions, and its lock for one process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use handfast_private_file as private_file;
use private_file::Kind;
use rusqlite::ErrorCode;

use super::generation;
use crate::StoreError;

/// First line of a lock file beside which there is a registry.
const MARK: &str = "a registry is beside this file\n";
/// Maximum number of bytes that are read of a lock file.
const LOCK_BYTES: u64 = 256;

/// Takes the lock that a process holds while it has the store open. The kernel releases it when the
/// process ends in any way.
///
/// SQLite's own locks are not enough: they let several processes take turns, and each would miss
/// the events that the others push to their connections.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let lock = beside(path, ".lock");
    private_file::lock(&lock)?.ok_or_else(|| {
        let who = holder(path).unwrap_or(RegistryHolder(None));
        error(path, format!("{who} has this registry open; stop it first, or talk to it instead"))
    })
}

/// A process that has a registry open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryHolder(Option<u32>);

impl std::fmt::Display for RegistryHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            // It is just opening the registry and has not written its id yet.
            None => f.write_str("another process"),
        }
    }
}

/// Returns the process that has the registry at this path open; `None` if there is none.
#[must_use]
pub fn holder(path: &Path) -> Option<RegistryHolder> {
    let lock = beside(path, ".lock");
    if !private_file::is_locked(&lock).ok()? {
        return None;
    }
    let text = private_file::read(&lock, LOCK_BYTES)
        .ok()
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    // The lock says that a process has it; the text only tells which.
    Some(RegistryHolder(text.and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("process ")?.parse().ok())
    })))
}

/// Refuses a registry that was here once and is missing or empty now: a silent new one would lock
/// every node out.
pub(super) fn refuse_vanished(path: &Path, lock: &File) -> Result<(), StoreError> {
    // A lock with content says that a registry was opened here before.
    let was_here = lock.metadata().map_err(|e| error(path, e))?.len() > 0;
    if was_here && !is_here(path)? {
        let problem = format!(
            "the registry was here and is {} now; put it back with `handfast restore`, or remove {} and {} to begin anew with no nodes",
            if path.exists() { "empty" } else { "gone" },
            beside(path, ".lock").display(),
            generation::path(path).display(),
        );
        return Err(error(path, problem));
    }
    Ok(())
}

/// Returns `true` if there is a file that is not empty.
pub(super) fn is_here(path: &Path) -> Result<bool, StoreError> {
    refuse_link(path)?;
    Ok(private_file::inspect(path)?
        && std::fs::metadata(path).map_err(|e| error(path, e))?.len() > 0)
}

/// Records in the lock file that there is a registry beside it, and the id of its process.
pub(super) fn mark(path: &Path, lock: &File) -> Result<(), StoreError> {
    let text = format!("{MARK}process {}\n", std::process::id());
    lock.write_all_at(text.as_bytes(), 0)
        .and_then(|()| lock.set_len(text.len() as u64))
        .and_then(|()| lock.sync_all())
        .map_err(|e| error(&beside(path, ".lock"), e))
}

/// Creates the file if there is none, readable only by its owner from the start; refuses one that
/// others may read. SQLite gives the files beside it the same permissions, whatever the umask.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    refuse_link(path)?;
    match private_file::create_new(path, b"") {
        Ok(()) => Ok(()),
        Err(problem) if problem.kind() == Kind::Exists => check(path),
        Err(problem) => Err(problem.into()),
    }
}

/// Checks that the file and its logs are private.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    refuse_link(path)?;
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        private_file::inspect(&file)?;
    }
    Ok(())
}

/// Refuses a link. A database behind a link has its log and its lock where the file is, or beside
/// the link, depending on the path by which it is opened, so one of the two is always missing.
fn refuse_link(path: &Path) -> Result<(), StoreError> {
    match std::fs::read_link(path) {
        Ok(target) => {
            let target = path.parent().unwrap_or(Path::new(".")).join(target);
            let home = target.parent().unwrap_or(Path::new(".")).display();
            let problem = format!(
                "this is a link to {}, and its log and its lock would not be found beside it; name the directory in which the file itself is: \
                 --data {home}",
                target.display()
            );
            Err(error(path, problem))
        }
        // The path is not a link, or nothing is there.
        Err(_) => Ok(()),
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Converts SQLite's error, with advice where the disk is full. SQLite also reports a full disk as
/// an I/O error, where it cannot make the log's index.
pub(super) fn failed(path: &Path, problem: &rusqlite::Error) -> StoreError {
    match problem.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => error(
            path,
            format!(
                "the disk is full or does not work ({problem}); free disk space and start again"
            ),
        ),
        _ => error(path, problem),
    }
}

pub(super) fn error(path: &Path, problem: impl ToString) -> StoreError {
    StoreError::File { path: path.to_owned(), problem: problem.to_string() }
}

impl From<private_file::Error> for StoreError {
    fn from(error: private_file::Error) -> Self {
        Self::File { path: error.path().to_owned(), problem: error.problem().to_owned() }
    }
}
