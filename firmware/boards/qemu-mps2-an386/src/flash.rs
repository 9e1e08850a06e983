//! NOR flash in a host file. Each write reaches the file before it returns, so killing QEMU acts as
//! a power cut.

use core::ffi::CStr;

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use semihosting::fs::File;
use semihosting::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

/// Path of the file, relative to the folder where QEMU runs.
pub(crate) const PATH: &CStr = c"handfast-flash.bin";

const CAPACITY: usize = 64 * 1024;
const SECTOR: usize = 4 * 1024;
const WORD: usize = 4;

/// Number of bytes written to the host at once; a divisor of [`SECTOR`].
const CHUNK: usize = 256;

/// The flash of the emulated board.
pub(crate) struct HostFlash {
    file: File,
}

impl HostFlash {
    /// Opens the file. Creates it, erased, if there is none, and erases bytes that a power cut left
    /// missing at its end.
    pub(crate) fn open() -> io::Result<Self> {
        let existing = File::options().read(true).write(true).open(PATH);
        let file = match existing {
            Ok(file) => file,
            Err(_) => {
                File::options().read(true).write(true).create(true).truncate(true).open(PATH)?
            }
        };
        let present = file.metadata()?.len().min(CAPACITY as u64) as usize;
        let mut flash = Self { file };
        flash.fill(present, CAPACITY)?;
        Ok(flash)
    }

    /// Sets every bit in `from..to`, one chunk at a time.
    fn fill(&mut self, from: usize, to: usize) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(from as u64))?;
        let mut rest = to.saturating_sub(from);
        while let Some(chunk) =
            [0xFF; CHUNK].get(..rest.min(CHUNK)).filter(|chunk| !chunk.is_empty())
        {
            self.file.write_all(chunk)?;
            rest = rest.saturating_sub(chunk.len());
        }
        Ok(())
    }

    fn load(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(bytes)
    }

    /// Clears the bits of one word that are 0 in `word`; the other bits stay unchanged, as in real
    /// NOR flash.
    fn program(&mut self, offset: u64, word: [u8; WORD]) -> io::Result<()> {
        let mut stored = [0; WORD];
        self.load(offset, &mut stored)?;
        let result = u32::from_le_bytes(stored) & u32::from_le_bytes(word);
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(&result.to_le_bytes())
    }
}

/// Checks that a range consists of whole units of `align` within the flash.
fn check(offset: usize, length: usize, align: usize) -> Result<(), NorFlashErrorKind> {
    if offset.checked_add(length).is_none_or(|end| end > CAPACITY) {
        Err(NorFlashErrorKind::OutOfBounds)
    } else if !offset.is_multiple_of(align) || !length.is_multiple_of(align) {
        Err(NorFlashErrorKind::NotAligned)
    } else {
        Ok(())
    }
}

/// An error of the emulated flash.
#[derive(Debug)]
pub(crate) enum FlashError {
    /// The request reaches beyond the flash or is not aligned.
    Request(NorFlashErrorKind),
    /// An operation on the host's file failed.
    Host,
}

impl ErrorType for HostFlash {
    type Error = FlashError;
}

impl ReadNorFlash for HostFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(offset as usize, bytes.len(), Self::READ_SIZE)?;
        Ok(self.load(u64::from(offset), bytes)?)
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for HostFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let (from, to) = (from as usize, to as usize);
        let length = to.checked_sub(from).ok_or(NorFlashErrorKind::OutOfBounds)?;
        check(from, length, Self::ERASE_SIZE)?;
        Ok(self.fill(from, to)?)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check(offset as usize, bytes.len(), Self::WRITE_SIZE)?;
        let (words, _) = bytes.as_chunks::<WORD>();
        for (offset, word) in (u64::from(offset)..).step_by(WORD).zip(words) {
            self.program(offset, *word)?;
        }
        Ok(())
    }
}

impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Request(kind)
    }
}

impl From<io::Error> for FlashError {
    fn from(_: io::Error) -> Self {
        Self::Host
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Request(kind) => *kind,
            Self::Host => NorFlashErrorKind::Other,
        }
    }
}
