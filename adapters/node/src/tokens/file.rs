//! The store's files: private, replaced as a whole, with one writer at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_private_file::{self as private_file, Kind, Options, Others};
use zeroize::Zeroizing;

use super::error::TokensError;

/// Maximum wait for the lock, which is far longer than any number of well-behaved writers need.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// Root may pair for a service that runs as another user.
const OPTIONS: Options = Options::PRIVATE.for_directory_owner();

/// Reads a file of at most `most` bytes; `None` if it does not exist.
pub(super) fn read(path: &Path, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, TokensError> {
    check_directory(path)?;
    Ok(OPTIONS.read(path, most)?.map(Zeroizing::new))
}

/// Returns `true` if the directory of a file exists. An error if others could exchange its files.
/// They may list it, because its files are closed to them.
fn check_directory(path: &Path) -> Result<bool, TokensError> {
    Ok(private_file::check_directory(private_file::directory(path), Others::List)?)
}

/// Creates the directory of a file with mode 0700, unless it exists.
pub(super) fn make_directory(path: &Path) -> Result<(), TokensError> {
    if !check_directory(path)? {
        private_file::create_directory(private_file::directory(path))?;
    }
    Ok(())
}

/// Waits for the lock against other programs and threads, and holds it until the value is dropped.
/// The lock is a separate file, because each write replaces the store's file.
pub(super) fn lock(path: &Path) -> Result<File, TokensError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let locked = OPTIONS.lock(&path.with_file_name(name), LOCK_WITHIN)?;
    locked.ok_or_else(|| TokensError::Busy {
        path: PathBuf::from(path),
        seconds: LOCK_WITHIN.as_secs(),
    })
}

/// Replaces a file; the caller holds its lock. It is durable when this returns.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TokensError> {
    Ok(OPTIONS.as_only_writer().replace(path, bytes)?)
}

/// Creates a file, completely or not at all. Returns `false` if one exists already, which is left
/// unchanged.
///
/// Programs that use one key for several stores hold different locks, so there may be several
/// writers.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<bool, TokensError> {
    make_directory(path)?;
    match OPTIONS.create_new(path, bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::Exists => Ok(false),
        Err(error) => Err(error.into()),
    }
}
