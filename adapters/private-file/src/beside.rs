//! Files that get their final name only when they are complete.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::OFlags;

use crate::{Error, Kind, inspect, make_private, open, sync_dir};

/// Maximum number of temporary names that are tried.
const MOST_TRIES: u32 = 64;

/// A private file that is written under a temporary name beside its final one. Dropping it removes
/// it.
#[derive(Debug)]
pub struct Beside {
    target: PathBuf,
    path: PathBuf,
    file: File,
}

impl Beside {
    /// Creates an empty private file in the directory of `target`.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn new(target: &Path) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = target.file_name().ok_or_else(|| {
            Error::new(
                target.to_owned(),
                Kind::Irregular,
                "this names no file; name one in a directory".to_owned(),
            )
        })?;
        let mut last = None;
        for _ in 0..MOST_TRIES {
            let mut own = name.to_owned();
            own.push(format!(
                ".{}-{}.new",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            ));
            let path = target.with_file_name(own);
            match open(&path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL) {
                Ok(file) => {
                    let beside = Self { target: target.to_owned(), path, file };
                    make_private(&beside.path, &beside.file)?;
                    return Ok(beside);
                }
                // An earlier process with the same id left this file behind.
                Err(error) if error.kind() == Kind::Exists => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::new(target.to_owned(), Kind::Exists, "no free name is beside it".to_owned())
        }))
    }

    /// Returns the temporary path, for a library that writes the file itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends to the content.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(bytes)
            .map_err(|source| Error::io(&self.target, "cannot be written", &source))
    }

    /// Makes the content durable and renames the file to its final name. A private file of that
    /// name is replaced.
    ///
    /// # Errors
    /// As for [`replace`](crate::replace).
    pub fn replace(self) -> Result<(), Error> {
        inspect(&self.target)?;
        self.flush()?;
        let renamed = std::fs::rename(&self.path, &self.target);
        renamed.map_err(|source| Error::io(&self.target, "cannot be written", &source))?;
        sync_dir(&self.target)
    }

    /// Makes the content durable and gives the file its final name, if no other file has it.
    ///
    /// # Errors
    /// As for [`create_new`](crate::create_new).
    pub fn create(self) -> Result<(), Error> {
        self.flush()?;
        // Unlike a rename, a hard link fails if the name is taken.
        let linked = std::fs::hard_link(&self.path, &self.target);
        linked.map_err(|source| Error::io(&self.target, "cannot be made", &source))?;
        let target = self.target.clone();
        drop(self);
        sync_dir(&target)
    }

    fn flush(&self) -> Result<(), Error> {
        // SQLite reports a full disk as it writes; this call reports it for data that the system
        // still buffers.
        self.file.sync_all().map_err(|source| Error::io(&self.target, "cannot be written", &source))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After a rename there is nothing to remove, so an error has no meaning.
        let _ = std::fs::remove_file(&self.path);
    }
}
