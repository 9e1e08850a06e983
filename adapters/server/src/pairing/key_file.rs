//! The files in which a gateway keeps its store key and its setup key: 32 random bytes that nobody
//! but their owner can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use handfast_core::secret::Secret;
use zeroize::Zeroizing;

/// The usual name, in the gateway's data directory.
pub const FILE_NAME: &str = "store.key";
const KEY_BYTES: usize = 32;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It seals the registry's secrets.
    Store,
    /// It signs setup codes.
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

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or writing failed.
    #[error("{path}: the {key} cannot be {what}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        key: Use,
        /// `read` or `made`.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Others can get at it.
    #[error("{path}: others can use the {key} (mode {mode:03o}); mend it with: chmod 600 {path}")]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        key: Use,
        /// Its permissions.
        mode: u32,
    },
    /// A link, a directory, a pipe.
    #[error("{path}: the {key} has to be a regular file, and this is none; name the file itself")]
    Irregular {
        /// What was named.
        path: PathBuf,
        /// What it is for.
        key: Use,
    },
    /// Another length.
    #[error("{path}: a {key} has 32 bytes, and this file has {found}; {}", .key.mend())]
    NotAKey {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        key: Use,
        /// How many bytes it has.
        found: u64,
    },
    /// It was made and never filled.
    #[error("{path}: this {key} is all zeros, which everybody can guess; {}", .key.mend())]
    Blank {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        key: Use,
    },
}

/// Reads the key, or makes it where there is no such file: 0600, durable before this returns. If
/// two make it at once, both have the same one. Blocks.
///
/// # Errors
/// [`KeyFileError`]. A file that is there is never changed.
pub fn load_or_create(path: &Path, key: Use) -> Result<Secret<KEY_BYTES>, KeyFileError> {
    match load(path, key) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    create(path).map_err(|source| KeyFileError::Io {
        path: path.to_owned(),
        key,
        what: "made",
        source,
    })?;
    load(path, key)
}

pub(crate) fn load(path: &Path, key: Use) -> Result<Secret<KEY_BYTES>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), key, what: "read", source };
    // Before it is opened: opening a pipe would wait for whoever writes into it.
    let named = std::fs::symlink_metadata(path).map_err(io)?;
    if !named.is_file() {
        return Err(KeyFileError::Irregular { path: path.to_owned(), key });
    }
    let file = File::open(path).map_err(io)?;
    let found = file.metadata().map_err(io)?;
    if (found.dev(), found.ino()) != (named.dev(), named.ino()) {
        // Somebody put another in its place meanwhile.
        return Err(KeyFileError::Irregular { path: path.to_owned(), key });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), key, mode });
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let not_a_key = || KeyFileError::NotAKey { path: path.to_owned(), key, found: found.len() };
    if found.len() != KEY_BYTES as u64 {
        return Err(not_a_key());
    }
    (&file).read_exact(&mut *bytes).map_err(io)?;
    if *bytes == [0; KEY_BYTES] {
        return Err(KeyFileError::Blank { path: path.to_owned(), key });
    }
    Ok(Secret::new(*bytes))
}

/// Writes a key beside, and gives it its name once it is durable: nobody ever sees half of one, and
/// whoever has the name first wins.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(&mut *key).map_err(io::Error::other)?;
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
    name.push(format!(".{:016x}.new", u64::from_ne_bytes(suffix)));
    let beside = path.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(&*key)?;
        file.sync_all()?;
        match std::fs::hard_link(&beside, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let _ = std::fs::remove_file(&beside);
    written?;
    let directory =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
        assert!(matches!(error, KeyFileError::TooOpen { mode: 0o640, .. }));
        assert!(error.to_string().ends_with(&format!("chmod 600 {}", path.display())));
    }

    #[test]
    fn links_directories_and_files_of_another_length_are_no_keys_and_stay_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join(FILE_NAME), directory.path().join("link"));
        load_or_create(&path, Use::Store).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(load_or_create(&link, Use::Store), Err(KeyFileError::Irregular { .. })));
        assert!(matches!(
            load_or_create(directory.path(), Use::Store),
            Err(KeyFileError::Irregular { .. })
        ));
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
