//! The keys that sign setup codes: the current one, and after a rotation the previous one, for as
//! long as one of its codes may be valid.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use handfast_core::UnixTime;
use handfast_core::grant::setup_code::SetupKey;
use handfast_core::limits::SETUP_TTL_MAX;
use handfast_core::secret::Secret;
use handfast_private_file as private_file;
use handfast_store::{Store, StoreError};
use zeroize::Zeroizing;

use crate::entropy;
use crate::keys::file;
use crate::keys::file::{KeyFileError, Use};
use crate::keys::seal::{SealKind, StoreKey};

/// Usual name of the key's file in the gateway's data directory.
pub const KEY_FILE: &str = "setup.key";
/// Name of the previous key's file beside it; it exists for a day after a rotation.
pub const PREVIOUS_KEY_FILE: &str = "setup.key.previous";
/// Registry name of a key without a file.
const KEY: &str = "setup-key";

/// The reason for which the key was not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupKeyError {
    /// The key has no file.
    #[error(
        "this gateway keeps its setup key in the registry, where it cannot be replaced: name a file for it (SetupSettings::key_file)"
    )]
    NoFile,
    /// The key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file could not be replaced; the old key is still valid.
    #[error("the setup key could not be replaced: {0}")]
    NotReplaced(#[from] private_file::Error),
}

/// Causes for which the keys cannot be opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The registry could not be read or written.
    Store(StoreError),
    /// The store key does not open the stored key.
    WrongStoreKey,
    /// The key file cannot be used.
    File(KeyFileError),
}

impl From<StoreError> for NotOpened {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KeyFileError> for NotOpened {
    fn from(error: KeyFileError) -> Self {
        Self::File(error)
    }
}

/// The valid keys.
pub(crate) struct SetupKeys {
    file: Option<PathBuf>,
    kept: RwLock<SetupKeyring>,
}

#[derive(Clone)]
struct SetupKeyring {
    /// The current key, then the previous one, if it is still valid.
    keys: Arc<[SetupKey]>,
    /// End of the previous key's validity.
    previous_until: Option<UnixTime>,
}

impl SetupKeys {
    /// Loads the keys, or generates one.
    ///
    /// # Errors
    /// [`StartError`] if the key file or the stored key cannot be used.
    pub(crate) async fn open(
        file: Option<PathBuf>,
        store: &dyn Store,
        seal: &StoreKey,
        now: UnixTime,
    ) -> Result<Self, NotOpened> {
        let kept = match &file {
            Some(path) => load(path, now)?,
            None => {
                SetupKeyring { keys: Arc::new([sealed(store, seal).await?]), previous_until: None }
            }
        };
        Ok(Self { file, kept: RwLock::new(kept) })
    }

    /// Returns the keys that are valid at `now`, the current one first.
    pub(crate) fn now(&self, now: UnixTime) -> Arc<[SetupKey]> {
        let kept = self.kept.read().expect("no thread panics while it holds the keys").clone();
        if kept.previous_until.is_none_or(|until| now < until) {
            return kept.keys;
        }
        // The key may have been rotated since it was read, so its end is tested again.
        let mut kept = self.kept.write().expect("no thread panics while it holds the keys");
        if kept.previous_until.is_some_and(|until| until <= now) {
            *kept = SetupKeyring {
                keys: kept.keys.iter().take(1).cloned().collect(),
                previous_until: None,
            };
        }
        Arc::clone(&kept.keys)
    }

    /// Generates a new key. The old one stays valid for a day, the longest life of a code; with
    /// `at_once` it becomes invalid immediately. Blocks.
    ///
    /// # Errors
    /// [`SetupKeyError`] with the cause.
    pub(crate) fn rotate(&self, at_once: bool, now: UnixTime) -> Result<(), SetupKeyError> {
        let path = self.file.as_deref().ok_or(SetupKeyError::NoFile)?;
        let mut kept = self.kept.write().expect("no thread panics while it holds the keys");
        let previous = beside(path);
        // The old key is renamed or removed before the new one exists: after a crash in between,
        // the next start finds a key or generates one, and never finds two current ones.
        if at_once {
            private_file::remove(&previous)?;
            private_file::remove(path)?;
        } else {
            // The modification time starts the previous key's day. Without a key file, which
            // somebody may have removed, there is no previous key.
            let rotated = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
            private_file::rename(path, &previous, Some(rotated))?;
        }
        file::load_or_create(path, Use::Setup)?;
        *kept = load(path, now)?;
        Ok(())
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".previous");
    path.with_file_name(name)
}

fn load(path: &Path, now: UnixTime) -> Result<SetupKeyring, KeyFileError> {
    let current = key(&file::load_or_create(path, Use::Setup)?, path)?;
    let previous = beside(path);
    let overlap = Duration::from_secs(SETUP_TTL_MAX.as_secs());
    let until = std::fs::symlink_metadata(&previous)
        .and_then(|found| found.modified())
        .ok()
        .and_then(|at| at.checked_add(overlap));
    // A file from the future would be valid for longer than a code may live.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    let until = until.map(|until| until.min(now + overlap));
    match until.filter(|until| now < *until) {
        Some(until) => {
            let before = key(&file::load(&previous, Use::Setup)?, &previous)?;
            let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            Ok(SetupKeyring {
                keys: Arc::new([current, before]),
                previous_until: Some(UnixTime::from_secs(until)),
            })
        }
        None => {
            // The previous key has expired, so its secret is removed from the disk.
            let _ = private_file::remove(&previous);
            Ok(SetupKeyring { keys: Arc::new([current]), previous_until: None })
        }
    }
}

fn key(bytes: &Secret<32>, path: &Path) -> Result<SetupKey, KeyFileError> {
    SetupKey::new(bytes).map_err(|_| KeyFileError::Blank { path: path.to_owned(), key: Use::Setup })
}

/// Returns the key in the registry, after generating one if there is none.
async fn sealed(store: &dyn Store, seal: &StoreKey) -> Result<SetupKey, NotOpened> {
    let mut fresh = Zeroizing::new([0; 64]);
    // A sealed text has 64 bytes, of which this key needs half.
    fresh[..32].copy_from_slice(entropy::key().expose());
    let sealed = seal.seal(SealKind::SetupKey, KEY.as_bytes(), &Secret::new(*fresh));
    // Another gateway of this registry may have stored its key first, which then counts.
    let kept = store.vault(KEY, sealed).await?;
    let opened = seal
        .open(SealKind::SetupKey, KEY.as_bytes(), &kept)
        .map_err(|_| NotOpened::WrongStoreKey)?;
    let (bytes, _) = opened.expose().split_first_chunk::<32>().expect("64 bytes are more than 32");
    SetupKey::new(&Secret::new(*bytes)).map_err(|_| NotOpened::WrongStoreKey)
}
