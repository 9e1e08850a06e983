//! The keys that sign setup codes: the current one, and after a rotation the previous one, for as
//! long as one of its codes may be valid. They are files, or sealed in the registry.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use handfast_core::UnixTime;
use handfast_core::grant::setup_code::SetupKey;
use handfast_core::limits::SETUP_TTL_MAX;
use handfast_core::secret::{Secret, exposed};
use handfast_private_file as private_file;
use handfast_store::{SETUP_KEY, Store, StoreError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::entropy;
use crate::keys::file;
use crate::keys::file::{KeyFileError, Use};
use crate::keys::seal::{SealKind, StoreKey};

/// Usual name of the key's file in the gateway's data directory.
pub const KEY_FILE: &str = "setup.key";
/// Name of the previous key's file beside it; it exists for a day after a rotation.
pub const PREVIOUS_KEY_FILE: &str = "setup.key.previous";
/// Length of a key that was never rotated, as it is sealed: padded with zeros.
const FIRST_KEY: usize = 64;
/// Maximum length of a record of keys.
const RECORD_BYTES: usize = 128;
/// Number of times that a rotation is tried again because another gateway made one meanwhile.
const MOST_CONFLICTS: usize = 16;

/// The keys after a rotation, as they are sealed in the registry.
#[derive(Serialize, Deserialize)]
struct KeysRecord {
    #[serde(with = "exposed")]
    current: Secret<32>,
    previous: Option<PreviousRecord>,
}

#[derive(Serialize, Deserialize)]
struct PreviousRecord {
    #[serde(with = "exposed")]
    key: Secret<32>,
    until: UnixTime,
}

/// The reason for which the key was not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupKeyError {
    /// The key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file could not be replaced; the old key is still valid.
    #[error("the setup key could not be replaced: {0}")]
    NotReplaced(#[from] private_file::Error),
    /// The registry that has the key failed; the old key is still valid.
    #[error("the setup key could not be replaced in the registry: {0}")]
    Registry(#[from] StoreError),
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
    /// `None` if the registry has them.
    file: Option<PathBuf>,
    kept: RwLock<SetupKeyring>,
    /// Held from the reading of the registry until the keys are taken over, so that nobody takes
    /// over what was read before a change.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct SetupKeyring {
    /// The current key, then the previous one, if it is still valid.
    keys: Arc<[SetupKey]>,
    /// End of the previous key's validity.
    previous_until: Option<UnixTime>,
    /// The text in the registry that they were read from; empty for keys in files.
    sealed: Vec<u8>,
}

impl SetupKeys {
    /// Loads the keys, or generates one.
    ///
    /// # Errors
    /// [`NotOpened`] if the key file or the stored key cannot be used.
    pub(crate) async fn open(
        file: Option<PathBuf>,
        store: &dyn Store,
        seal: &StoreKey,
        now: UnixTime,
    ) -> Result<Self, NotOpened> {
        let kept = match &file {
            Some(path) => load(path, now)?,
            None => {
                let fresh = KeysRecord { current: entropy::key(), previous: None };
                // Another gateway of this registry may have stored its key first, which then
                // counts.
                let sealed = store.vault(SETUP_KEY, sealed(seal, &fresh)?).await?;
                keyring(seal, sealed, now).ok_or(NotOpened::WrongStoreKey)?
            }
        };
        Ok(Self { file, kept: RwLock::new(kept), reading: tokio::sync::Mutex::default() })
    }

    /// Returns `true` if the registry has the keys.
    pub(crate) const fn is_in_registry(&self) -> bool {
        self.file.is_none()
    }

    /// Returns the keys that are valid at `now`, the current one first.
    pub(crate) fn now(&self, now: UnixTime) -> Arc<[SetupKey]> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.previous_until.is_none_or(|until| now < until) {
            return kept.keys;
        }
        // The key may have been rotated since it was read, so its end is tested again.
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.previous_until.is_some_and(|until| until <= now) {
            kept.keys = kept.keys.iter().take(1).cloned().collect();
            kept.previous_until = None;
        }
        Arc::clone(&kept.keys)
    }

    /// Reads the keys in the registry again, which another gateway may have replaced.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or were sealed with another store key.
    pub(crate) async fn read_again(
        &self,
        store: &dyn Store,
        seal: &StoreKey,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        if !self.is_in_registry() {
            return Ok(());
        }
        let _reading = self.reading.lock().await;
        // There is a key, so the text is never stored.
        let sealed = store.vault(SETUP_KEY, Vec::new()).await?;
        if self.kept.read().unwrap_or_else(PoisonError::into_inner).sealed != sealed {
            self.take(keyring(seal, sealed, now).ok_or_else(other_seal)?);
        }
        Ok(())
    }

    /// Generates a new key in the registry. The old one stays valid for a day, the longest life of a
    /// code; with `at_once` it becomes invalid immediately.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    pub(crate) async fn rotate_in_registry(
        &self,
        store: &dyn Store,
        seal: &StoreKey,
        at_once: bool,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let _reading = self.reading.lock().await;
        for _ in 0..MOST_CONFLICTS {
            let before = store.vault(SETUP_KEY, Vec::new()).await?;
            let KeysRecord { current, .. } = opened(seal, &before).ok_or_else(other_seal)?;
            let previous = (!at_once)
                .then(|| PreviousRecord { key: current, until: now.after(SETUP_TTL_MAX) });
            let after = sealed(seal, &KeysRecord { current: entropy::key(), previous })?;
            if store.replace_vault(SETUP_KEY, before, after.clone(), None).await? {
                self.take(keyring(seal, after, now).ok_or_else(other_seal)?);
                return Ok(());
            }
        }
        Err(StoreError::Database("the setup key changes all the time".to_owned()))
    }

    /// Generates a new key in the file. The old one stays valid for a day, the longest life of a
    /// code; with `at_once` it becomes invalid immediately. Without a file nothing is done. Blocks.
    ///
    /// # Errors
    /// [`SetupKeyError`] with the cause.
    pub(crate) fn rotate_in_file(&self, at_once: bool, now: UnixTime) -> Result<(), SetupKeyError> {
        let Some(path) = self.file.as_deref() else { return Ok(()) };
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
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

    fn take(&self, keyring: SetupKeyring) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = keyring;
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".previous");
    path.with_file_name(name)
}

/// Returns the end of the previous key beside a file, if its time is not over.
fn previous_until(path: &Path, now: UnixTime) -> Option<UnixTime> {
    let previous = beside(path);
    let overlap = Duration::from_secs(SETUP_TTL_MAX.as_secs());
    let until = std::fs::symlink_metadata(&previous)
        .and_then(|found| found.modified())
        .ok()
        .and_then(|at| at.checked_add(overlap));
    // A file from the future would be valid for longer than a code may live.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    let until = until.map(|until| until.min(now + overlap));
    let until = until.filter(|until| now < *until)?;
    let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    Some(UnixTime::from_secs(until))
}

/// Enters the keys in a file into a registry that has none. Without a file nothing is done.
pub(crate) async fn enter(
    path: &Path,
    store: &dyn Store,
    seal: &StoreKey,
    now: UnixTime,
) -> Result<(), NotOpened> {
    if !path.exists() {
        return Ok(());
    }
    let previous = match previous_until(path, now) {
        Some(until) => Some(PreviousRecord { key: file::load(&beside(path), Use::Setup)?, until }),
        None => None,
    };
    let record = KeysRecord { current: file::load(path, Use::Setup)?, previous };
    store.vault(SETUP_KEY, sealed(seal, &record)?).await?;
    Ok(())
}

/// Writes the current key of a registry into a file that does not exist.
pub(crate) async fn leave(
    path: &Path,
    store: &dyn Store,
    seal: &StoreKey,
) -> Result<(), NotOpened> {
    let text = store.vault(SETUP_KEY, Vec::new()).await?;
    if text.is_empty() {
        return Ok(());
    }
    let record = opened(seal, &text).ok_or(NotOpened::WrongStoreKey)?;
    private_file::create_new(path, record.current.expose())
        .map_err(|source| KeyFileError::File { key: Use::Setup, source })?;
    Ok(())
}

fn load(path: &Path, now: UnixTime) -> Result<SetupKeyring, KeyFileError> {
    let current = key(&file::load_or_create(path, Use::Setup)?, path)?;
    let previous = beside(path);
    match previous_until(path, now) {
        Some(until) => {
            let before = key(&file::load(&previous, Use::Setup)?, &previous)?;
            Ok(SetupKeyring {
                keys: Arc::new([current, before]),
                previous_until: Some(until),
                sealed: Vec::new(),
            })
        }
        None => {
            // The previous key has expired, so its secret is removed from the disk.
            let _ = private_file::remove(&previous);
            Ok(SetupKeyring { keys: Arc::new([current]), previous_until: None, sealed: Vec::new() })
        }
    }
}

fn key(bytes: &Secret<32>, path: &Path) -> Result<SetupKey, KeyFileError> {
    SetupKey::new(bytes).map_err(|_| KeyFileError::Blank { path: path.to_owned(), key: Use::Setup })
}

fn sealed(seal: &StoreKey, record: &KeysRecord) -> Result<Vec<u8>, StoreError> {
    let mut room = Zeroizing::new([0; RECORD_BYTES]);
    let text = postcard::to_slice(record, &mut *room)
        .map_err(|error| StoreError::Database(format!("the setup key: {error}")))?;
    Ok(seal.seal_text(SealKind::SetupKey, SETUP_KEY.as_bytes(), text))
}

/// Opens sealed keys; `None` if they were sealed with another store key.
fn opened(seal: &StoreKey, sealed: &[u8]) -> Option<KeysRecord> {
    let text = seal.open_text(SealKind::SetupKey, SETUP_KEY.as_bytes(), sealed).ok()?;
    // An older version has stored its one key without a record.
    if text.len() == FIRST_KEY {
        let (key, _) = text.split_first_chunk::<32>()?;
        return Some(KeysRecord { current: Secret::new(*key), previous: None });
    }
    postcard::from_bytes(&text).ok()
}

/// Returns the keys in a sealed text that are valid at `now`; `None` if they were sealed with
/// another store key.
fn keyring(seal: &StoreKey, sealed: Vec<u8>, now: UnixTime) -> Option<SetupKeyring> {
    let KeysRecord { current, previous } = opened(seal, &sealed)?;
    // One from the future would be valid for longer than a code may live.
    let previous = previous
        .map(|previous| (previous.key, previous.until.min(now.after(SETUP_TTL_MAX))))
        .filter(|(_, until)| now < *until);
    let previous_until = previous.as_ref().map(|(_, until)| *until);
    let keys = std::iter::once(current).chain(previous.map(|(key, _)| key));
    let keys = keys.map(|key| SetupKey::new(&key).ok()).collect::<Option<_>>()?;
    Some(SetupKeyring { keys, previous_until, sealed })
}

fn other_seal() -> StoreError {
    StoreError::Database("the setup key is sealed with another store key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_sealed_without_a_record_is_read_as_it_always_was() {
        let seal = StoreKey(Secret::new([5; 32]));
        let mut padded = [0; FIRST_KEY];
        padded[..32].fill(7);
        let text = seal.seal(SealKind::SetupKey, SETUP_KEY.as_bytes(), &Secret::new(padded));
        let KeysRecord { current, previous } = opened(&seal, &text).unwrap();
        assert_eq!(current, Secret::new([7; 32]));
        assert!(previous.is_none());
        assert!(opened(&StoreKey(Secret::new([6; 32])), &text).is_none());
    }
}
