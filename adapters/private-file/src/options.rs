//! What differs between the private files of one program and another.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::{Beside, Error, Kind, file};

/// Spare capacity after the content, so that reading to its end does not grow the buffer.
const ROOM: usize = 64;

/// Who may use a file besides its owner, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Permission bits that an existing file must not have.
    pub(crate) refused: u32,
    /// `true` if a link is followed when the file is read.
    pub(crate) follows_links: bool,
    /// `true` if a file that others may read is replaced by a private one.
    pub(crate) replaces_open: bool,
    /// `true` if a new file is given to the owner of its directory.
    pub(crate) for_directory_owner: bool,
    /// `true` if the temporary name is fixed, because the caller is the only writer.
    pub(crate) only_writer: bool,
    /// `true` if the content is flushed before the file gets its name.
    pub(crate) durable: bool,
}

impl Options {
    /// Only the owner may use the file, and links are refused.
    pub const PRIVATE: Self = Self {
        refused: 0o077,
        follows_links: false,
        replaces_open: false,
        for_directory_owner: false,
        only_writer: false,
        durable: true,
    };

    /// Lets the file's group read it. systemd shows the access list of a credential as this bit.
    #[must_use]
    pub const fn readable_by_group(mut self) -> Self {
        self.refused &= !0o040;
        self
    }

    /// Lets others read the file, and follows links to it, as the mounted secrets of containers
    /// need it. Others still may not write it.
    #[must_use]
    pub const fn mounted(mut self) -> Self {
        self.refused = 0o022;
        self.follows_links = true;
        self
    }

    /// Replaces an existing file that others may use. Without this it is refused.
    #[must_use]
    pub const fn replacing_open_files(mut self) -> Self {
        self.replaces_open = true;
        self
    }

    /// Gives a new file to the owner of its directory, because root may write for a service that
    /// runs as another user. A process without that right already writes as the owner.
    #[must_use]
    pub const fn for_directory_owner(mut self) -> Self {
        self.for_directory_owner = true;
        self
    }

    /// Writes under one fixed temporary name, `NAME.tmp`, and replaces what an interrupted write
    /// left there. Only for a caller that holds a lock against other writers.
    #[must_use]
    pub const fn as_only_writer(mut self) -> Self {
        self.only_writer = true;
        self
    }

    /// Leaves it to the system when the content reaches the disk. For a copy that no later process
    /// relies on.
    #[must_use]
    pub const fn without_flush(mut self) -> Self {
        self.durable = false;
        self
    }

    /// Reads a file of at most `most` bytes; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error`] if it is not a regular file, if others may use it in a way that these options
    /// refuse, if it is longer, or if the system refuses.
    pub fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let file = match file::open(path, OFlags::RDONLY, self) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            other => other?,
        };
        // The capacity suffices from the start, so that growth leaves no copies of a secret behind.
        let about = file.metadata();
        let length =
            about.map_err(|source| Error::io(path, "cannot be read", &source))?.size().min(most);
        let mut bytes =
            Vec::with_capacity(usize::try_from(length).unwrap_or_default().saturating_add(ROOM));
        // One byte beyond the maximum tells a longer file from one that just fits.
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| Error::io(path, "cannot be read", &source))?;
        if bytes.len() as u64 > most {
            return Err(Error::new(
                path.to_owned(),
                Kind::Content,
                format!("the file has more than {most} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    /// Checks that the path is a regular file that these options accept, without opening it;
    /// `false` if it does not exist.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn inspect(&self, path: &Path) -> Result<bool, Error> {
        file::inspect(path, self.refused)
    }

    /// Creates a file with this content. It must not exist yet.
    ///
    /// # Errors
    /// [`Kind::Exists`] if the name is taken; that file is left unchanged. [`Error`] if the system
    /// refuses.
    pub fn create_new(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut beside = Beside::with(path, self)?;
        beside.write(bytes)?;
        beside.create()
    }

    /// Writes a file with this content, and replaces an existing one.
    ///
    /// # Errors
    /// [`Error`] if the system refuses, or if the name belongs to something that these options do
    /// not replace, which is left unchanged.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut beside = Beside::with(path, self)?;
        beside.write(bytes)?;
        beside.replace()
    }

    /// Takes the lock at `path` and creates the file if needed; waits for up to `within` while
    /// another process holds it, and returns `None` if it still does. Blocks. The lock is held
    /// until the returned file is dropped. The kernel releases it when the process ends in any way.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn lock(&self, path: &Path, within: Duration) -> Result<Option<File>, Error> {
        file::lock(path, within, self)
    }

    /// Returns the permission bits that a file has to be refused for when it is replaced.
    pub(crate) const fn refused_when_replaced(&self) -> u32 {
        if self.replaces_open { 0 } else { self.refused }
    }
}
