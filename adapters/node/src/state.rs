//! The state directory: the data of a node that survives restarts and power cuts.
//!
//! | file | content |
//! |---|---|
//! | `node.json` | gateway, name, room, node id; the token only if entered ([`token_entered`]) |
//! | `keys.json` | the two private keys of a node of the native wire |
//! | `native.json` | its gateway, name, room, and the state of its pairing |
//! | `certificate.json` | its key for mutual TLS, and its certificates |
//! | `board.sealed` | the dispatches that it has taken lately, sealed under its keys |
//! | `addresses.json` | the addresses at which the gateway says that it is reached |
//! | `standing.json` | the node's latest known standing, for `status` |
//! | `….json.tmp` | an interrupted write; never read |
//! | `lock` | empty; a writer holds its lock, so two processes never share an identity |
//!
//! The directory has mode 0700, its files 0600. A file is replaced as a whole: written under a
//! temporary name, flushed, and renamed; then the directory is flushed.
//!
//! [`token_entered`]: crate::Owner::token_entered

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_private_file::{self as private_file, Kind, Options, Others};
use zeroize::Zeroizing;

/// File of a node without keys.
pub(crate) const FILE: &str = "node.json";
/// File of the node's two private keys.
pub(crate) const KEYS: &str = "keys.json";
/// File of the state of the native wire.
pub(crate) const NATIVE: &str = "native.json";
/// File of the node's latest known standing.
pub(crate) const STANDING: &str = "standing.json";
/// File of the node's certificates.
pub(crate) const CERTIFICATE: &str = "certificate.json";
/// File of the dispatches that the node has taken lately.
pub(crate) const BOARD: &str = "board.sealed";
/// File of the addresses that the gateway told the node.
pub(crate) const ADDRESSES: &str = "addresses.json";
/// All files with content that the directory may hold.
const FILES: [&str; 7] = [FILE, KEYS, NATIVE, CERTIFICATE, BOARD, STANDING, ADDRESSES];
const LOCK: &str = "lock";
const MOST_BYTES: u64 = 64 * 1024;
/// Maximum wait for the lock. `status` holds it for an instant; a node that starts at that moment
/// tries again.
const LOCK_WITHIN: Duration = Duration::from_millis(500);
/// The lock of the directory makes its holder the only writer. Root may pair for a service that
/// runs as another user.
const OPTIONS: Options = Options::PRIVATE.for_directory_owner().as_only_writer();

/// The reason for which the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A file or the directory cannot be used, or others can use it.
    #[error(transparent)]
    File(#[from] private_file::Error),
    /// A file's content is invalid. It is left unchanged.
    #[error(
        "{path} is damaged: {why}. It was left as it is: restore it from a backup, or forget this \
         node and pair it again"
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
        match OPTIONS.read(&path, MOST_BYTES) {
            Ok(found) => Ok(found.map(Zeroizing::new)),
            Err(error) if error.kind() == Kind::Content => {
                Err(StateError::Damaged { path, why: error.problem().to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns `true` if a process holds the directory.
    #[must_use]
    pub fn is_held(&self) -> bool {
        private_file::is_locked(&self.path.join(LOCK)).unwrap_or(false)
    }

    /// Locks the directory for this process, and creates it if needed.
    ///
    /// # Errors
    /// [`StateError`] if another process holds it, or it cannot be created or written to.
    pub fn hold(self) -> Result<HeldState, StateError> {
        if !self.check()? {
            private_file::create_directory(&self.path)?;
        }
        match OPTIONS.lock(&self.path.join(LOCK), LOCK_WITHIN)? {
            Some(lock) => Ok(HeldState { dir: self, _lock: lock }),
            None => Err(StateError::Busy { path: self.path }),
        }
    }

    /// Returns `true` if the directory exists. An error if it exists but is not private.
    fn check(&self) -> Result<bool, StateError> {
        Ok(private_file::check_directory(&self.path, Others::Nothing)?)
    }
}

impl HeldState {
    /// Returns the directory for reading.
    #[must_use]
    pub const fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Replaces a file of the directory durably.
    pub(crate) fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        Ok(OPTIONS.replace(&self.dir.path.join(name), bytes)?)
    }

    /// Removes a file of the directory, if it is there.
    pub(crate) fn remove_file(&self, name: &str) -> Result<(), StateError> {
        private_file::remove(&self.dir.path.join(name))?;
        Ok(())
    }

    /// Erases everything. Returns `true` if there was anything.
    ///
    /// # Errors
    /// [`StateError`] if a file could not be removed.
    pub fn erase(&self) -> Result<bool, StateError> {
        let mut found = false;
        for name in FILES {
            found |= private_file::remove(&self.dir.path.join(name))?;
            // A write that was cut off has left this one, and it may hold a secret, too.
            private_file::remove(&self.dir.path.join(format!("{name}.tmp")))?;
        }
        Ok(found)
    }
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
