//! The keys that sign setup codes: the current one, and after it was replaced the one before, for
//! as long as a code of it may live.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use handfast_core::grant::setup_code::SetupKey;
use handfast_core::limits::SETUP_TTL_MAX;
use handfast_core::secret::Secret;
use handfast_core::time::UnixTime;
use handfast_store::Store;
use zeroize::Zeroizing;

use crate::chance;
use crate::pairing::key_file::{self, KeyFileError, Use};
use crate::pairing::{Kind, StartError, StoreKey};

/// The usual name of the key's file, in the gateway's data directory.
pub const KEY_FILE: &str = "setup.key";
/// Beside it: the key before it, where it was replaced less than a day ago.
pub const PREVIOUS_KEY_FILE: &str = "setup.key.previous";
/// Under which name a key without a file is kept.
const KEY: &str = "setup-key";

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum SetupKeyError {
    /// There is no file.
    #[error(
        "this gateway keeps its setup key in the registry, where it cannot be replaced: name a file for it (SetupSettings::key_file)"
    )]
    NoFile,
    /// The file is not fit for use.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It could not be replaced; the old one still counts.
    #[error("{path}: the setup key could not be replaced: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The keys that count.
pub(crate) struct SetupKeys {
    file: Option<PathBuf>,
    kept: RwLock<Kept>,
}

#[derive(Clone)]
struct Kept {
    /// The current one, and behind it the one before.
    keys: Arc<[SetupKey]>,
    /// When the one before stops counting.
    previous_until: Option<UnixTime>,
}

impl SetupKeys {
    /// Opens the keys, or makes one.
    pub(crate) async fn open(
        file: Option<PathBuf>,
        store: &dyn Store,
        seal: &StoreKey,
        now: UnixTime,
    ) -> Result<Self, StartError> {
        let kept = match &file {
            Some(path) => load(path, now)?,
            None => Kept { keys: Arc::new([sealed(store, seal).await?]), previous_until: None },
        };
        Ok(Self { file, kept: RwLock::new(kept) })
    }

    /// The keys that count now, the current one first.
    pub(crate) fn now(&self, now: UnixTime) -> Arc<[SetupKey]> {
        let kept = self.kept.read().expect("no thread panics while it holds the keys").clone();
        if kept.previous_until.is_none_or(|until| now < until) {
            return kept.keys;
        }
        let mut kept = self.kept.write().expect("no thread panics while it holds the keys");
        if kept.previous_until.is_some_and(|until| until <= now) {
            *kept =
                Kept { keys: kept.keys.iter().take(1).cloned().collect(), previous_until: None };
        }
        Arc::clone(&kept.keys)
    }

    /// Makes a new key. The old one counts for another day, as long as a code of it may live; or,
    /// `at_once`, no more. Blocks.
    pub(crate) fn rotate(&self, at_once: bool, now: UnixTime) -> Result<(), SetupKeyError> {
        let path = self.file.as_deref().ok_or(SetupKeyError::NoFile)?;
        let mut kept = self.kept.write().expect("no thread panics while it holds the keys");
        let previous = beside(path);
        let io = |source| SetupKeyError::Io { path: path.to_owned(), source };
        // The old key gets its new name, or none, before there is a new one: whatever happens in
        // between, the next start finds a key or makes one, and never two current ones.
        match at_once {
            true => {
                remove(&previous).map_err(io)?;
                remove(path).map_err(io)?;
            }
            false => match std::fs::rename(path, &previous) {
                Ok(()) => {
                    // From now on its day is counted.
                    let touched =
                        std::fs::File::options().write(true).open(&previous).and_then(|file| {
                            file.set_modified(
                                SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()),
                            )?;
                            file.sync_all()
                        });
                    touched.map_err(io)?;
                }
                // Somebody took the key away; there is nothing to keep.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(error)),
            },
        }
        key_file::load_or_create(path, Use::Setup)?;
        *kept = load(path, now)?;
        Ok(())
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".previous");
    path.with_file_name(name)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn load(path: &Path, now: UnixTime) -> Result<Kept, KeyFileError> {
    let current = key(&key_file::load_or_create(path, Use::Setup)?, path)?;
    let previous = beside(path);
    let overlap = Duration::from_secs(SETUP_TTL_MAX.as_secs());
    let until = std::fs::symlink_metadata(&previous)
        .and_then(|found| found.modified())
        .ok()
        .and_then(|at| at.checked_add(overlap));
    // A file from the future would count for longer than a code may live.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    let until = until.map(|until| until.min(now + overlap));
    match until.filter(|until| now < *until) {
        Some(until) => {
            let before = key(&key_file::load(&previous, Use::Setup)?, &previous)?;
            let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            Ok(Kept {
                keys: Arc::new([current, before]),
                previous_until: Some(UnixTime::from_secs(until)),
            })
        }
        None => {
            // Its day is over: an old secret is not left lying about.
            let _ = remove(&previous);
            Ok(Kept { keys: Arc::new([current]), previous_until: None })
        }
    }
}

fn key(bytes: &Secret<32>, path: &Path) -> Result<SetupKey, KeyFileError> {
    SetupKey::new(bytes).map_err(|_| KeyFileError::Blank { path: path.to_owned(), key: Use::Setup })
}

/// The key that the registry keeps, or a new one.
async fn sealed(store: &dyn Store, seal: &StoreKey) -> Result<SetupKey, StartError> {
    let mut fresh = Zeroizing::new([0; 64]);
    fresh[..32].copy_from_slice(chance::key().expose());
    let sealed = seal.seal(Kind::SetupKey, KEY.as_bytes(), &Secret::new(*fresh));
    let kept = store.vault(KEY, sealed).await?;
    let opened =
        seal.open(Kind::SetupKey, KEY.as_bytes(), &kept).map_err(|_| StartError::WrongStoreKey)?;
    let (bytes, _) = opened.expose().split_first_chunk::<32>().expect("64 bytes are more than 32");
    SetupKey::new(&Secret::new(*bytes)).map_err(|_| StartError::WrongStoreKey)
}
