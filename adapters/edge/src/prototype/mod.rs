//! Flash for prototypes: in RAM, and with the feature `std` in a file. Every storage of this crate
//! works in them as in a board's flash, since all of them are [`NorFlash`].
//!
//! Neither is for a product. [`RamFlash`] forgets everything with the power, keys as well, so a
//! node pairs anew after each start, and its gateway sees a new device. [`FileFlash`] keeps the
//! node's private keys in the clear, for whoever reads the file; `handfast-node` is the node for an
//! operating system.

#[cfg(feature = "std")]
mod file;

#[cfg(feature = "std")]
pub use file::{FileError, FileFlash};

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Length of a page in bytes.
const PAGE: usize = 256;
/// Length of a word in bytes.
const WORD: usize = 4;

/// Checks that `length` bytes from `from` on are whole units inside the flash.
fn check(
    flash: &impl ReadNorFlash,
    unit: usize,
    from: u32,
    length: usize,
) -> Result<(), NorFlashErrorKind> {
    let at = usize::try_from(from).map_err(|_| NorFlashErrorKind::OutOfBounds)?;
    if at.saturating_add(length) > flash.capacity() {
        return Err(NorFlashErrorKind::OutOfBounds);
    }
    match at.is_multiple_of(unit) && length.is_multiple_of(unit) {
        true => Ok(()),
        false => Err(NorFlashErrorKind::NotAligned),
    }
}

/// Flash of `BYTES` bytes in RAM, in pages of 256 bytes. It forgets everything with the power.
///
/// A [`NativeFlash`](crate::native::memory::NativeFlash) takes 1024 bytes of it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RamFlash<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> RamFlash<BYTES> {
    /// Creates erased flash.
    #[must_use]
    pub const fn new() -> Self {
        Self([0xff; BYTES])
    }

    fn part(&mut self, from: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let from = usize::try_from(from).map_err(|_| NorFlashErrorKind::OutOfBounds)?;
        let part = self.0.get_mut(from..).and_then(|rest| rest.get_mut(..length));
        part.ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl<const BYTES: usize> Default for RamFlash<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> ErrorType for RamFlash<BYTES> {
    type Error = NorFlashErrorKind;
}

impl<const BYTES: usize> ReadNorFlash for RamFlash<BYTES> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let part = self.part(offset, bytes.len())?;
        for (to, from) in bytes.iter_mut().zip(part) {
            *to = *from;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl<const BYTES: usize> NorFlash for RamFlash<BYTES> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        check(self, PAGE, from, length)?;
        self.part(from, length)?.fill(0xff);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check(self, WORD, offset, bytes.len())?;
        for (to, from) in self.part(offset, bytes.len())?.iter_mut().zip(bytes) {
            // Flash can only clear bits between two erases.
            *to &= from;
        }
        Ok(())
    }
}
