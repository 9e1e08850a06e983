//! Files with the gateway's store key and setup key: 32 random bytes that only their owner can
//! read.

use std::path::{Path, PathBuf};

use handfast_core::secret::Secret;
use handfast_private_file as private_file;
use zeroize::Zeroizing;

use crate::entropy;

/// The usual name of the store key's file in the gateway's data directory.
pub const FILE_NAME: &str = "store.key";
const KEY_BYTES: usize = 32;
/// The maximum number of bytes that are read; a longer file is no key.
const MOST_BYTES: u64 = 1024;

/// Purpose of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Sealing of the registry's secrets.
    Store,
    /// Signing of setup codes.
    Setup,
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Store => "store key",
            Self::Setup => "setup key",
        })
    }
}

impl Use {
    const fn mend(self) -> &'static str {
        match self {
            Self::Store => "restore the file that was made with this registry",
            Self::Setup => {
                "restore it, or remove it: then a new one is made, and setup codes that are under way are worth nothing"
            }
        }
    }
}

/// Errors of a key file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or created, is accessible to others, or is not a regular file.
    #[error("the {key} in {source}")]
    File {
        /// The purpose of the key.
        key: Use,
        /// The file, the problem and its remedy.
        source: private_file::Error,
    },
    /// The file was removed meanwhile.
    #[error("{path}: the {key} was here and is gone; {}", .key.mend())]
    Gone {
        /// The path of the file.
        path: PathBuf,
        /// Purpose of the key.
        key: Use,
    },
    /// The file does not have 32 bytes.
    #[error("{path}: a {key} has 32 bytes, and this file has {found}; {}", .key.mend())]
    NotAKey {
        /// Path of the file.
        path: PathBuf,
        /// Purpose of the key.
        key: Use,
        /// Size of the file in bytes.
        found: u64,
    },
    /// The key is all zeros, as in a file that was created but never filled.
    #[error("{path}: this {key} is all zeros, which everybody can guess; {}", .key.mend())]
    Blank {
        /// Path of the file.
        path: PathBuf,
        /// Purpose of the key.
        key: Use,
    },
}

/// Reads the key, or creates it where no file exists: with mode 0600, and durable before this
/// returns. Two callers that create it at once get the same key. Blocks.
///
/// # Errors
/// [`KeyFileError`]. An existing file is never changed.
pub fn load_or_create(path: &Path, key: Use) -> Result<Secret<KEY_BYTES>, KeyFileError> {
    if let Some(found) = read(path, key)? {
        return Ok(found);
    }
    match private_file::create_new(path, entropy::key().expose()) {
        // Another caller created the file first, so its key is the one.
        Err(taken) if taken.kind() == private_file::Kind::Exists => {}
        other => other.map_err(|source| KeyFileError::File { key, source })?,
    }
    // The key is read back, so that the one in use is the one on the disk.
    load(path, key)
}

/// Reads an existing key.
pub(crate) fn load(path: &Path, key: Use) -> Result<Secret<KEY_BYTES>, KeyFileError> {
    read(path, key)?.ok_or_else(|| KeyFileError::Gone { path: path.to_owned(), key })
}

fn read(path: &Path, key: Use) -> Result<Option<Secret<KEY_BYTES>>, KeyFileError> {
    let found = private_file::read(path, MOST_BYTES)
        .map_err(|source| KeyFileError::File { key, source })?;
    let Some(found) = found.map(Zeroizing::new) else { return Ok(None) };
    let bytes = <[u8; KEY_BYTES]>::try_from(found.as_slice());
    let bytes = bytes.map(Zeroizing::new).map_err(|_| KeyFileError::NotAKey {
        path: path.to_owned(),
        key,
        found: found.len() as u64,
    })?;
    // Zeros are what a disk leaves of a lost file, and no secret.
    if *bytes == [0; KEY_BYTES] {
        return Err(KeyFileError::Blank { path: path.to_owned(), key });
    }
    Ok(Some(Secret::new(*bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn kind(error: &KeyFileError) -> Option<private_file::Kind> {
        match error {
            KeyFileError::File { source, .. } => Some(source.kind()),
            KeyFileError::Gone { .. }
            | KeyFileError::NotAKey { .. }
            | KeyFileError::Blank { .. } => None,
        }
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let made = load_or_create(&path, Use::Store).unwrap();
        assert_eq!(load_or_create(&path, Use::Store).unwrap(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn all_that_make_it_at_once_have_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let keys = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| load_or_create(&path, Use::Store).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_said_how_to_mend() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        load_or_create(&path, Use::Store).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = load_or_create(&path, Use::Store).unwrap_err();
        assert_eq!(kind(&error), Some(private_file::Kind::TooOpen));
        assert!(error.to_string().ends_with(&format!("chmod 600 {}", path.display())));
    }

    #[test]
    fn links_directories_and_files_of_another_length_are_no_keys_and_stay_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join(FILE_NAME), directory.path().join("link"));
        load_or_create(&path, Use::Store).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let refused = |path: &Path| kind(&load_or_create(path, Use::Store).unwrap_err());
        assert_eq!(refused(&link), Some(private_file::Kind::Link));
        assert_eq!(refused(directory.path()), Some(private_file::Kind::Irregular));
        std::fs::write(&path, [0; KEY_BYTES]).unwrap();
        assert!(matches!(
            load_or_create(&path, Use::Setup),
            Err(KeyFileError::Blank { key: Use::Setup, .. })
        ));
        for length in [0, 31, 33] {
            std::fs::write(&path, vec![0; length]).unwrap();
            assert!(
                matches!(load_or_create(&path, Use::Store), Err(KeyFileError::NotAKey { found, .. }) if found == length as u64)
            );
            assert_eq!(std::fs::metadata(&path).unwrap().len(), length as u64);
        }
    }
}
