//! Flash in a file.

use core::fmt::{Display, Formatter};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use super::{PAGE, WORD, check};

/// Flash in a file, in pages of 256 bytes. Each write and each erase is durable when it returns.
///
/// The file holds the node's private keys in the clear. On Unix a new one is for its owner alone;
/// nothing else protects it.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    length: usize,
}

#[cfg(feature = "defmt")]
impl defmt::Format for FileFlash {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "FileFlash({=usize})", self.length);
    }
}

/// The reason for which a file cannot be read or written as flash.
#[derive(Debug)]
pub enum FileError {
    /// The operating system refused it.
    Io(io::Error),
    /// The request breaks a rule of flash.
    Flash(NorFlashErrorKind),
}

#[cfg(feature = "defmt")]
impl defmt::Format for FileError {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::Io(_) => defmt::write!(f, "Io"),
            Self::Flash(_) => defmt::write!(f, "Flash"),
        }
    }
}

impl Display for FileError {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the file of the flash: {error}"),
            Self::Flash(kind) => write!(f, "the file of the flash: {kind}"),
        }
    }
}

impl core::error::Error for FileError {}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl NorFlashError for FileError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Io(_) => NorFlashErrorKind::Other,
            Self::Flash(kind) => *kind,
        }
    }
}

impl FileFlash {
    /// Opens the file at `path`, or makes one of `length` erased bytes, which is rounded up to whole
    /// pages. A shorter file grows by erased bytes; a longer one keeps its length.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn open(path: impl AsRef<Path>, length: usize) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let found = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let length = length.max(found).next_multiple_of(PAGE);
        file.seek(SeekFrom::End(0))?;
        io::copy(&mut io::repeat(0xff).take(length.saturating_sub(found) as u64), &mut file)?;
        file.sync_all()?;
        Ok(Self { file, length })
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), FileError> {
        self.file.seek(SeekFrom::Start(at.into()))?;
        self.file.write_all(bytes)?;
        Ok(self.file.sync_data()?)
    }
}

impl ErrorType for FileFlash {
    type Error = FileError;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FileError> {
        check(self, 1, offset, bytes.len()).map_err(FileError::Flash)?;
        self.file.seek(SeekFrom::Start(offset.into()))?;
        Ok(self.file.read_exact(bytes)?)
    }

    fn capacity(&self) -> usize {
        self.length
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FileError> {
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        check(self, PAGE, from, length).map_err(FileError::Flash)?;
        for page in (from..to).step_by(PAGE) {
            self.put(page, &[0xff; PAGE])?;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FileError> {
        check(self, WORD, offset, bytes.len()).map_err(FileError::Flash)?;
        // As in flash, bits are only cleared.
        let mut held = std::vec![0; bytes.len()];
        self.read(offset, &mut held).await?;
        held.iter_mut().zip(bytes).for_each(|(to, from)| *to &= from);
        self.put(offset, &held)
    }
}
