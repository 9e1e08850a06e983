//! A private copy of a SQLite file. The original is never opened by SQLite, so not even a log
//! beside it is touched.

use std::fs::{File, Metadata, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use handfast_private_file::{Beside, Options};
use tempfile::TempDir;

/// Maximum size of a copied file in bytes.
const MOST: u64 = 4 << 30;

/// The copy. Dropping it deletes it.
#[derive(Debug)]
pub(super) struct Snapshot {
    directory: TempDir,
    /// Path of the copied file.
    pub(super) path: PathBuf,
}

impl Snapshot {
    /// Copies a file, together with existing files beside it that have these suffixes (its logs) or
    /// these extensions in place of its own. Only this user may read the copy.
    ///
    /// # Errors
    /// The problem and its remedy, without the file's name.
    pub(super) fn of(path: &Path, suffixes: &[&str], extensions: &[&str]) -> Result<Self, String> {
        let directory =
            private().map_err(|error| format!("a temporary directory cannot be made: {error}"))?;
        let name = path.file_name().ok_or("this names no file")?;
        let copy = directory.path().join(name);
        let files: Vec<(PathBuf, PathBuf)> =
            std::iter::once((path.to_owned(), copy.clone()))
                .chain(suffixes.iter().map(|suffix| (beside(path, suffix), beside(&copy, suffix))))
                .chain(extensions.iter().map(|extension| {
                    (path.with_extension(extension), copy.with_extension(extension))
                }))
                .collect();
        let states = || files.iter().map(|(from, _)| state(from)).collect::<Result<Vec<_>, _>>();
        let before = states()?;
        for (from, to) in &files {
            copied(from, to).map_err(|error| format!("it cannot be copied to be read: {error}"))?;
        }
        // A copy of a file that changes meanwhile may be inconsistent.
        if states()? != before {
            return Err(
                "it was written while it was read; stop the program that uses it first".to_owned()
            );
        }
        Ok(Self { directory, path: copy })
    }

    /// Returns the directory of the copy.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn private() -> std::io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("handfast-import-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns metadata that changes when a file is written; `None` if there is no file.
fn state(path: &Path) -> Result<Option<(u64, u64, i64, i64)>, String> {
    let of = |found: Metadata| (found.ino(), found.len(), found.mtime(), found.mtime_nsec());
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err("it is no file".to_owned()),
        Ok(found) if found.len() > MOST => Err(format!("it is larger than {} GiB", MOST >> 30)),
        Ok(found) => Ok(Some(of(found))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn copied(from: &Path, to: &Path) -> Result<(), String> {
    let mut source = match File::open(from) {
        Ok(file) => file.take(MOST),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    // The copy goes with this process, so it need not be durable.
    let written = Beside::with(to, &Options::PRIVATE.without_flush()).and_then(|mut copy| {
        copy.write_from(&mut source)?;
        copy.create()
    });
    written.map_err(|error| error.problem().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_the_file_has_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        std::fs::write(&path, "one").unwrap();
        std::fs::write(beside(&path, "-wal"), "two").unwrap();
        let snapshot = Snapshot::of(&path, &["-wal", "-journal"], &[]).unwrap();
        assert_eq!(std::fs::read(&snapshot.path).unwrap(), b"one");
        assert_eq!(std::fs::read(beside(&snapshot.path, "-wal")).unwrap(), b"two");
        assert!(!beside(&snapshot.path, "-journal").exists());
        let place = snapshot.directory().to_owned();
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
        drop(snapshot);
        assert!(!place.exists());
    }

    #[test]
    fn what_is_no_file_is_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Snapshot::of(folder.path(), &[], &[]).unwrap_err(), "it is no file");
    }
}
