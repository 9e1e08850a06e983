//! Sources of the key that seals the tokens.

use std::path::{Path, PathBuf};

use handfast_core::secret::Secret;
use handfast_private_file as private_file;

use super::error::TokensError;
use super::{file, keyring, seal};

/// Length of a key in bytes.
pub(super) const KEY_BYTES: usize = 32;
/// Maximum number of bytes that are read; a longer file is no key.
const MOST_BYTES: u64 = 1024;

/// The protection of tokens against readers of the store's file or a copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A random key in the keyring of the user's session (the Secret Service of the session's
    /// D-Bus), generated when the first token is stored. It belongs to the path of the store: a
    /// store that is moved has lost its key. Needs the feature `keyring`; without it, a store whose
    /// key is there is refused.
    Keyring,
    /// A random key in this file: 32 bytes, mode 0600, generated when the first token is stored.
    File(PathBuf),
    /// No key: tokens are stored in plain text, and every reader of the file can use them.
    Plain,
}

impl KeySource {
    /// Returns the key file in the directory of a store: `tokens.key`.
    #[must_use]
    pub fn beside(store: &Path) -> Self {
        Self::File(store.with_file_name("tokens.key"))
    }

    /// Loads the key; `None` if there is none.
    pub(super) fn find(&self, store: &Path) -> Result<Option<Secret<KEY_BYTES>>, TokensError> {
        match self {
            Self::Keyring => keyring::find(&id_of(store)?),
            Self::File(path) => read(path),
            Self::Plain => Ok(None),
        }
    }

    /// Loads the key, or generates it; `None` for [`Plain`](Self::Plain). Only the holder of the
    /// store's lock may call this.
    pub(super) fn find_or_make(
        &self,
        store: &Path,
    ) -> Result<Option<Secret<KEY_BYTES>>, TokensError> {
        if let Some(key) = self.find(store)? {
            return Ok(Some(key));
        }
        let fresh = || seal::new_key().map_err(|why| TokensError::Randomness { why });
        match self {
            Self::Keyring => {
                let key = fresh()?;
                keyring::keep(&id_of(store)?, &key).map(|()| Some(key))
            }
            Self::File(path) => {
                let key = fresh()?;
                // Another process may have created the file first; then its key is used.
                if file::create(path, key.expose())? { Ok(Some(key)) } else { read(path) }
            }
            Self::Plain => Ok(None),
        }
    }

    /// Returns the place of the key for error messages.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Keyring => "the keyring of this session".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Plain => "no place".to_owned(),
        }
    }

    /// Returns the value of `key_source` in the store's file; `None` for [`Plain`](Self::Plain).
    pub(super) const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Keyring => Some("keyring"),
            Self::File(_) => Some("file"),
            Self::Plain => None,
        }
    }

    /// Returns the source that a store's file names; a key file is the one beside the store. `None`
    /// if the name is unknown.
    pub(super) fn named(kind: &str, store: &Path) -> Option<Self> {
        match kind {
            "keyring" => Some(Self::Keyring),
            "file" => Some(Self::beside(store)),
            _ => None,
        }
    }
}

fn read(path: &Path) -> Result<Option<Secret<KEY_BYTES>>, TokensError> {
    let Some(bytes) = file::read(path, MOST_BYTES)? else { return Ok(None) };
    let key = <[u8; KEY_BYTES]>::try_from(&**bytes).map_err(|_| TokensError::NotAKey {
        place: path.display().to_string(),
        found: bytes.len() as u64,
    })?;
    Ok(Some(Secret::new(key)))
}

/// Returns the name of a store in the keyring: its absolute path.
fn id_of(store: &Path) -> Result<String, TokensError> {
    let io = |why| private_file::Error::io(store, "cannot be looked at", &why);
    let directory = private_file::directory(store);
    // A directory that does not exist yet has no canonical path.
    let directory =
        directory.canonicalize().or_else(|_| std::path::absolute(directory)).map_err(io)?;
    Ok(directory.join(store.file_name().unwrap_or_default()).display().to_string())
}
