//! Where the key comes from that tokens are sealed with.

use std::path::{Path, PathBuf};

use handfast_core::secret::Secret;

use super::error::TokensError;
use super::{file, keyring, seal};

/// How long a key is.
pub(super) const KEY_BYTES: usize = 32;

/// What keeps tokens from whoever reads the store's file, or a copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A random key in the keyring of the user's session (the Secret Service of the session's
    /// D-Bus), made when the first token is kept. It belongs to the path of the store: a store that
    /// is moved has lost its key.
    Keyring,
    /// A random key in this file: 32 bytes, 0600, made when the first token is kept.
    File(PathBuf),
    /// None: tokens are kept as they are, and whoever can read the file can use them.
    Plain,
}

impl KeySource {
    /// The key file in the directory of a store: `tokens.key`.
    #[must_use]
    pub fn beside(store: &Path) -> Self {
        Self::File(store.with_file_name("tokens.key"))
    }

    /// The key; `None` if there is none.
    pub(super) fn find(&self, store: &Path) -> Result<Option<Secret<KEY_BYTES>>, TokensError> {
        match self {
            Self::Keyring => keyring::find(&id_of(store)?),
            Self::File(path) => read(path),
            Self::Plain => Ok(None),
        }
    }

    /// The key, made if there is none; `None` if there shall be none. Only the holder of the
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
                // Whoever was faster has made the key for all.
                if file::create(path, key.expose())? { Ok(Some(key)) } else { read(path) }
            }
            Self::Plain => Ok(None),
        }
    }

    /// For people.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Keyring => "the keyring of this session".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Plain => "no place".to_owned(),
        }
    }

    /// For the file.
    pub(super) const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Keyring => Some("keyring"),
            Self::File(_) => Some("file"),
            Self::Plain => None,
        }
    }

    /// The source that a store's file names; a key file is the one beside it. `None` if that is no
    /// source.
    pub(super) fn named(kind: &str, store: &Path) -> Option<Self> {
        match kind {
            "keyring" => Some(Self::Keyring),
            "file" => Some(Self::beside(store)),
            _ => None,
        }
    }
}

fn read(path: &Path) -> Result<Option<Secret<KEY_BYTES>>, TokensError> {
    let Some(bytes) = file::read(path, KEY_BYTES as u64)? else { return Ok(None) };
    let key = <[u8; KEY_BYTES]>::try_from(&**bytes).map_err(|_| {
        // Of a longer file no more was read than shows that it is.
        let length = std::fs::metadata(path).map_or(bytes.len() as u64, |about| about.len());
        TokensError::NotAKey { place: path.display().to_string(), found: length }
    })?;
    Ok(Some(Secret::new(key)))
}

/// The name of a store in the keyring: its path, the same from every directory.
fn id_of(store: &Path) -> Result<String, TokensError> {
    let io = |why| TokensError::Io { what: "cannot look at", path: store.to_owned(), why };
    let directory = file::directory(store);
    let directory =
        directory.canonicalize().or_else(|_| std::path::absolute(directory)).map_err(io)?;
    Ok(directory.join(store.file_name().unwrap_or_default()).display().to_string())
}
