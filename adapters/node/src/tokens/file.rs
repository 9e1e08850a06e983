//! Private files: read with a check of their permissions, replaced as a whole, with one writer at a
//! time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::error::TokensError;
use super::seal;

/// Maximum wait for the lock, which is far longer than any number of well-behaved writers need.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
const LOCK_AGAIN: Duration = Duration::from_millis(5);

/// Returns the path with a suffix after its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Returns the directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads at most `most` bytes and one more, by which the caller recognizes a longer file; `None` if
/// the file does not exist.
pub(super) fn read(path: &Path, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, TokensError> {
    check_directory(directory(path))?;
    // The checks use the opened file, so it cannot be exchanged between a check and the reading.
    // Opening does not follow a link, which a replaced file would not survive anyway, and does not
    // wait for the other end of a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path);
    let irregular = |found| TokensError::Irregular { path: path.to_owned(), found };
    let file = match opened {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) if why.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(irregular("a symbolic link"));
        }
        Err(why) if why.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Err(irregular("no regular file"));
        }
        Err(why) => return Err(failed("cannot open", path)(why)),
    };
    let about = file.metadata().map_err(failed("cannot look at", path))?;
    if !about.is_file() {
        return Err(irregular(if about.is_dir() { "a directory" } else { "no regular file" }));
    }
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TokensError::TooOpen { path: path.to_owned(), mode, mend: 0o600 });
    }
    // The capacity suffices from the start, so that growth leaves no copies of a secret behind.
    let length = usize::try_from(about.len().min(most)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 64));
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed("cannot read", path))?;
    Ok(Some(bytes))
}

/// Returns `true` if the directory exists. An error if others could exchange its files. They may
/// list it, because its files are closed to them.
fn check_directory(path: &Path) -> Result<bool, TokensError> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(why) => return Err(failed("cannot look at", path)(why)),
    };
    let mode = about.mode() & 0o777;
    if mode & 0o022 == 0 {
        Ok(true)
    } else {
        Err(TokensError::TooOpen { path: path.to_owned(), mode, mend: 0o700 })
    }
}

/// Creates the directory with mode 0700, unless it exists.
pub(super) fn make_directory(path: &Path) -> Result<(), TokensError> {
    if check_directory(path)? {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("cannot make the directory", path))?;
    sync_directory(directory(path))
}

/// Waits for the lock against other programs and threads, and holds it until the value is dropped.
/// The lock is a separate file, because each write replaces the store's file.
pub(super) fn lock(path: &Path) -> Result<File, TokensError> {
    let lock_path = beside(path, ".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(
        i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default(),
    );
    let lock = options.open(&lock_path).map_err(failed("cannot open", &lock_path))?;
    give_to_owner(directory(path), &lock);
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(why)) => return Err(failed("cannot lock", &lock_path)(why)),
            Err(TryLockError::WouldBlock) if started.elapsed() > LOCK_WITHIN => {
                return Err(TokensError::Busy {
                    path: path.to_owned(),
                    seconds: LOCK_WITHIN.as_secs(),
                });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
        }
    }
}

/// Replaces a file with mode 0600; the caller holds its lock. It is durable when this returns;
/// after a power failure before that, the file has its old content or its new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TokensError> {
    let half_written = beside(path, ".tmp");
    // A file that a power cut left behind may be incomplete.
    match fs::remove_file(&half_written) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            return Err(failed("cannot remove", &half_written)(why));
        }
        Ok(()) | Err(_) => {}
    }
    write_new(&half_written, bytes)?;
    fs::rename(&half_written, path).map_err(failed("cannot write", path))?;
    sync_directory(directory(path))
}

/// Creates a file with mode 0600, completely or not at all. Returns `false` if one exists already,
/// which is left unchanged.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<bool, TokensError> {
    make_directory(directory(path))?;
    // Programs that use one key for several stores hold different locks, so each writes under a
    // name of its own.
    let unique = seal::random::<8>().map_err(|why| TokensError::Randomness { why })?;
    let half_written = beside(path, &format!(".{:016x}.tmp", u64::from_be_bytes(*unique)));
    write_new(&half_written, bytes)?;
    // A hard link never replaces an existing file, as a rename would.
    let linked = fs::hard_link(&half_written, path);
    let removed = fs::remove_file(&half_written);
    match linked {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        linked => linked.map_err(failed("cannot make", path))?,
    }
    removed.map_err(failed("cannot remove", &half_written))?;
    sync_directory(directory(path))?;
    Ok(true)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), TokensError> {
    let failed = |why| failed("cannot write", path)(why);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    give_to_owner(directory(path), &file);
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Gives a file to the directory's owner, because root may pair for a service that runs as another
/// user. A process without that right already writes as the owner.
fn give_to_owner(directory: &Path, file: &File) {
    if let (Ok(dir), Ok(about)) = (fs::metadata(directory), file.metadata())
        && (dir.uid(), dir.gid()) != (about.uid(), about.gid())
    {
        let _ = fchown(file, Some(dir.uid()), Some(dir.gid()));
    }
}

fn sync_directory(path: &Path) -> Result<(), TokensError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("cannot flush", path))
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> TokensError {
    let path = path.to_owned();
    move |why| TokensError::Io { what, path: path.clone(), why }
}
