//! Files that get their final name only when they are complete.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::OFlags;

use crate::{Error, Kind, Options, file, sync_dir};

/// Maximum number of temporary names that are tried.
const MOST_TRIES: u32 = 64;

/// A private file that is written under a temporary name beside its final one. Dropping it removes
/// it, unless it has got its final name.
#[derive(Debug)]
pub struct Beside {
    target: PathBuf,
    path: PathBuf,
    file: File,
    options: Options,
    /// `true` if space was reserved that the content may not fill.
    reserved: bool,
    /// `true` if the file keeps its temporary name.
    stays: bool,
}

impl Beside {
    /// Creates an empty private file in the directory of `target`.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn new(target: &Path) -> Result<Self, Error> {
        Self::with(target, &Options::PRIVATE)
    }

    /// Creates an empty file with these options in the directory of `target`.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn with(target: &Path, options: &Options) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = target.file_name().ok_or_else(|| {
            Error::new(
                target.to_owned(),
                Kind::Irregular,
                "this names no file; name one in a directory".to_owned(),
            )
        })?;
        let named = |suffix: &str| {
            let mut own = name.to_owned();
            own.push(suffix);
            target.with_file_name(own)
        };
        if options.only_writer {
            let path = named(".tmp");
            // A write that a power cut interrupted may have left this file behind.
            crate::remove(&path)?;
            return Self::create_at(target, path, options);
        }
        let mut last = None;
        for _ in 0..MOST_TRIES {
            let count = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = named(&format!(".{}-{count}.new", std::process::id()));
            match Self::create_at(target, path, options) {
                // An earlier process with the same id left this file behind.
                Err(error) if error.kind() == Kind::Exists => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::new(target.to_owned(), Kind::Exists, "no free name is beside it".to_owned())
        }))
    }

    fn create_at(target: &Path, path: PathBuf, options: &Options) -> Result<Self, Error> {
        let file = file::create(&path, OFlags::WRONLY, options)?;
        let (target, options) = (target.to_owned(), *options);
        Ok(Self { target, path, file, options, reserved: false, stays: false })
    }

    /// Reserves space for the content, so that a full disk is noticed before it is known. Call it
    /// before the first [`write`](Self::write).
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        self.reserved = true;
        // A full disk shows at the latest when the bytes are flushed.
        self.file
            .write_all(&vec![0; bytes])
            .and_then(|()| self.file.sync_all())
            .and_then(|()| self.file.rewind())
            .map_err(|source| Error::io(&self.target, "cannot be written", &source))
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
    /// name is replaced. After an error the content is still under the temporary name.
    ///
    /// # Errors
    /// As for [`replace`](crate::replace).
    pub fn replace(&self) -> Result<(), Error> {
        // A link or a foreign file in this place must not be overwritten.
        file::inspect(&self.target, self.options.refused_when_replaced())?;
        // The content is durable before its name, so that a power cut leaves the old file or the
        // new one.
        self.flush()?;
        let renamed = std::fs::rename(&self.path, &self.target);
        renamed.map_err(|source| Error::io(&self.target, "cannot be written", &source))?;
        // A rename is durable once its directory is flushed.
        sync_dir(&self.target)
    }

    /// Appends everything that the reader gives, up to its end.
    ///
    /// # Errors
    /// [`Error`] if the reader fails, or the system refuses.
    pub fn write_from(&mut self, reader: &mut impl std::io::Read) -> Result<(), Error> {
        std::io::copy(reader, &mut self.file)
            .map(drop)
            .map_err(|source| Error::io(&self.target, "cannot be written", &source))
    }

    /// Makes the content durable and gives the file its final name, if no other file has it. After
    /// an error the content is still under the temporary name.
    ///
    /// # Errors
    /// As for [`create_new`](crate::create_new).
    pub fn create(&self) -> Result<(), Error> {
        self.flush()?;
        // Unlike a rename, a hard link fails if the name is taken.
        let linked = std::fs::hard_link(&self.path, &self.target);
        linked.map_err(|source| Error::io(&self.target, "cannot be made", &source))?;
        // The temporary name is removed before the directory is flushed.
        let _ = std::fs::remove_file(&self.path);
        sync_dir(&self.target)
    }

    /// Makes the content durable under the temporary name, and returns that name. For content that
    /// must not be lost although it could not get its final name.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub fn keep(mut self) -> Result<PathBuf, Error> {
        self.flush()?;
        self.stays = true;
        sync_dir(&self.path)?;
        Ok(self.path.clone())
    }

    fn flush(&self) -> Result<(), Error> {
        let failed = |source| Error::io(&self.target, "cannot be written", &source);
        if self.reserved {
            // What was reserved beyond the content is cut off.
            let length = (&self.file).stream_position().map_err(failed)?;
            self.file.set_len(length).map_err(failed)?;
        }
        // SQLite reports a full disk as it writes; this call reports it for data that the system
        // still buffers.
        if self.options.durable { self.file.sync_all().map_err(failed) } else { Ok(()) }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.stays {
            // After a rename there is nothing to remove, so an error has no meaning.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
