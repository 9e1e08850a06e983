//! The state directory: the data of a node that survives restarts and power cuts.
//!
//! | file | content |
//! |---|---|
//! | `node.json` | gateway, name, room, node id; the token only if entered ([`token_entered`]) |
//! | `keys.json` | the two private keys of a node of the native wire |
//! | `native.json` | its gateway, name, room, and the state of its pairing |
//! | `standing.json` | the node's latest known standing, for `status` |
//! | `….json.tmp` | an interrupted write; never read |
//! | `lock` | empty; a writer holds its lock, so two processes never share an identity |
//!
//! The directory has mode 0700, its files 0600. A file is replaced as a whole: written under a
//! temporary name, flushed, and renamed; then the directory is flushed.
//!
//! [`token_entered`]: crate::Owner::token_entered

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// File of a node without keys.
pub(crate) const FILE: &str = "node.json";
/// File of the node's two private keys.
pub(crate) const KEYS: &str = "keys.json";
/// File of the state of the native wire.
pub(crate) const NATIVE: &str = "native.json";
/// File of the node's latest known standing.
pub(crate) const STANDING: &str = "standing.json";
/// All files with content that the directory may hold.
const FILES: [&str; 4] = [FILE, KEYS, NATIVE, STANDING];
const LOCK: &str = "lock";
const MOST_BYTES: u64 = 64 * 1024;
/// Maximum wait for the lock. `status` holds it for an instant; a node that starts at that moment
/// tries again.
const LOCK_WITHIN: Duration = Duration::from_millis(500);

/// The reason for which the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A read or a write failed.
    #[error(
        "{what} {path}: {why}; name another directory with --state, or run as the owner of this one"
    )]
    Io {
        /// The failed operation, as a verb phrase.
        what: &'static str,
        /// Path of the file or directory.
        path: PathBuf,
        /// The error of the system.
        why: io::Error,
    },
    /// Other users have access.
    #[error(
        "{path} can be used by others (mode {mode:03o}); make it the owner's alone with\n  chmod {mend:03o} {path}"
    )]
    TooOpen {
        /// Path of the file or directory.
        path: PathBuf,
        /// Its current permissions.
        mode: u32,
        /// The permissions that it should have.
        mend: u32,
    },
    /// The path does not lead to a directory.
    #[error("the state directory {path} is no directory; name one with --state")]
    NoDirectory {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A file's content is invalid. It is left unchanged.
    #[error(
        "{path} is damaged: {why}. It was left as it is: restore it from a backup, or forget this node with\n  \
         handfast-node reset --yes\nand pair again"
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Description of the damage, without the file's content.
        why: String,
    },
    /// Another process holds the directory.
    #[error("another handfast-node uses {path}; stop it first (systemctl stop handfast-node)")]
    Busy {
        /// Path of the directory.
        path: PathBuf,
    },
}

/// A state directory for reading. It need not exist.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// A state directory that only this process may write to, until this value is dropped.
#[derive(Debug)]
pub struct HeldState {
    dir: StateDir,
    _lock: File,
}

impl StateDir {
    /// Names the directory at this path. Does not access it.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the default directory: `$STATE_DIRECTORY` (set by systemd), else
    /// `/var/lib/handfast-node` for root, else `${XDG_STATE_HOME:-~/.local/state}/handfast-node`.
    /// `None` if there is no home directory either.
    #[must_use]
    pub fn default_path() -> Option<PathBuf> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(given) = variable("STATE_DIRECTORY") {
            // systemd separates several directories by colons; the first is the node's.
            return std::env::split_paths(&given).next();
        }
        if rustix::process::geteuid().is_root() {
            return Some(PathBuf::from("/var/lib/handfast-node"));
        }
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let base = variable("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|base| base.is_absolute())
            .or_else(home);
        base.map(|base| base.join("handfast-node"))
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file of the directory; `None` if it does not exist.
    pub(crate) fn read_file(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        if !self.check()? {
            return Ok(None);
        }
        let path = self.path.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(StateError::Io { what: "cannot open", path, why }),
        };
        let unreadable = |why| StateError::Io { what: "cannot read", path: path.clone(), why };
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StateError::TooOpen { path, mode, mend: 0o600 });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(StateError::Damaged {
                path,
                why: format!("it is larger than {MOST_BYTES} bytes"),
            });
        }
        Ok(Some(bytes))
    }

    /// Returns `true` if a process holds the directory.
    #[must_use]
    pub fn is_held(&self) -> bool {
        // A shared lock is released at once, so it disturbs only a node that starts at that moment.
        File::open(self.path.join(LOCK))
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Locks the directory for this process, and creates it if needed.
    ///
    /// # Errors
    /// [`StateError`] if another process holds it, or it cannot be created or written to.
    pub fn hold(self) -> Result<HeldState, StateError> {
        if !self.check()? {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
            made.map_err(|why| StateError::Io {
                what: "cannot make the state directory",
                path: self.path.clone(),
                why,
            })?;
            // The new directory's own name has to survive a power cut as well.
            if let Some(parent) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
        }
        let path = self.path.join(LOCK);
        let failed = |why| StateError::Io { what: "cannot open", path: path.clone(), why };
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        self.give_to_owner(&lock);
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(HeldState { dir: self, _lock: lock }),
                Err(TryLockError::Error(why)) => return Err(failed(why)),
                Err(TryLockError::WouldBlock) if started.elapsed() > LOCK_WITHIN => {
                    return Err(StateError::Busy { path: self.path });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Returns `true` if the directory exists. An error if it exists but is not private.
    fn check(&self) -> Result<bool, StateError> {
        let about = match fs::metadata(&self.path) {
            Ok(about) => about,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(why) => {
                return Err(StateError::Io {
                    what: "cannot look at",
                    path: self.path.clone(),
                    why,
                });
            }
        };
        let mode = about.mode() & 0o777;
        match about.is_dir() {
            false => Err(StateError::NoDirectory { path: self.path.clone() }),
            true if mode & 0o077 != 0 => {
                Err(StateError::TooOpen { path: self.path.clone(), mode, mend: 0o700 })
            }
            true => Ok(true),
        }
    }

    /// Gives a file to the directory's owner, because root may pair for a service that runs as
    /// another user. A process without that right already writes as the owner.
    fn give_to_owner(&self, file: &File) {
        if let (Ok(dir), Ok(about)) = (fs::metadata(&self.path), file.metadata())
            && (dir.uid(), dir.gid()) != (about.uid(), about.gid())
        {
            let _ = fchown(file, Some(dir.uid()), Some(dir.gid()));
        }
    }
}

/// The steps of a write, in order; the power may fail before any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteStep {
    Open,
    Fill,
    Flush,
    Rename,
    FlushDirectory,
}

impl HeldState {
    /// Returns the directory for reading.
    #[must_use]
    pub const fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Replaces a file of the directory durably.
    pub(crate) fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.write(name, bytes, |_| false)
    }

    /// Writes a file. `cut` returns `true` if the power fails before a step; then nothing more
    /// happens.
    fn write(
        &self,
        name: &str,
        bytes: &[u8],
        cut: impl Fn(WriteStep) -> bool,
    ) -> Result<(), StateError> {
        let (beside, path) = (self.dir.path.join(half_written(name)), self.dir.path.join(name));
        let failed = |why| StateError::Io { what: "cannot write", path: beside.clone(), why };
        if cut(WriteStep::Open) {
            return Ok(());
        }
        // A file that a power cut left behind may be incomplete.
        match fs::remove_file(&beside) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(failed(why)),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed)?;
        self.dir.give_to_owner(&file);
        if cut(WriteStep::Fill) {
            return Ok(());
        }
        file.write_all(bytes).map_err(failed)?;
        if cut(WriteStep::Flush) {
            return Ok(());
        }
        file.sync_all().map_err(failed)?;
        if cut(WriteStep::Rename) {
            return Ok(());
        }
        fs::rename(&beside, &path).map_err(failed)?;
        if cut(WriteStep::FlushDirectory) {
            return Ok(());
        }
        sync_directory(&self.dir.path)
    }

    /// Erases everything. Returns `true` if there was anything.
    ///
    /// # Errors
    /// [`StateError`] if a file could not be removed.
    pub fn erase(&self) -> Result<bool, StateError> {
        let mut found = false;
        for name in FILES {
            found |= self.remove(name)?;
            self.remove(&half_written(name))?;
        }
        sync_directory(&self.dir.path)?;
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<bool, StateError> {
        let path = self.dir.path.join(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(StateError::Io { what: "cannot remove", path, why }),
        }
    }
}

/// Returns the name under which a file is written before it is renamed.
fn half_written(name: &str) -> String {
    format!("{name}.tmp")
}

fn sync_directory(path: &Path) -> Result<(), StateError> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(|why| StateError::Io { what: "cannot flush", path: path.to_owned(), why })
}

/// Describes an error by its place only: the parser's message may quote the token.
pub(crate) fn place(error: serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "a field is missing, unknown or of the wrong kind",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is no JSON",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
