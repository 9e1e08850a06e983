//! Scripted parts of a board.

use core::convert::Infallible;
use core::future::{pending, ready};

use embedded_storage_async::nor_flash::{self, NorFlash, NorFlashErrorKind, ReadNorFlash};
use handfast_core::Instant;
use handfast_edge::ports::Clock;
use rand_core::{TryCryptoRng, TryRng};

/// A generator that always yields the same byte, so that the gateway's answer to the upgrade can be
/// written down in advance. For measurements only.
pub(crate) struct Always(pub(crate) u8);

impl TryRng for Always {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Always {}

/// A clock that stands still: everything that is due at once happens, and nothing times out.
#[derive(Clone, Copy)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_millis(0)
    }

    async fn sleep_until(&self, at: Instant) {
        if at > self.now() { pending().await } else { ready(()).await }
    }
}

/// NOR flash pages in RAM.
#[derive(Debug)]
pub struct RamFlash<const BYTES: usize>([u8; BYTES]);

/// Size of a page in bytes.
pub(crate) const PAGE: usize = 128;

impl<const BYTES: usize> RamFlash<BYTES> {
    #[cfg(feature = "missy")]
    pub(crate) const fn erased() -> Self {
        Self([0xFF; BYTES])
    }

    /// Creates flash full of zeros, so that a static of this type takes no flash of the board.
    #[must_use]
    pub const fn zeroed() -> Self {
        Self([0; BYTES])
    }

    /// Erases every page.
    #[cfg(any(feature = "native", feature = "script"))]
    pub(crate) fn erase_all(&mut self) {
        self.0.fill(0xFF);
    }

    fn part(&mut self, from: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let rest = self.0.get_mut(from as usize..).ok_or(NorFlashErrorKind::OutOfBounds)?;
        rest.get_mut(..length).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl<const BYTES: usize> nor_flash::ErrorType for RamFlash<BYTES> {
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
        self.0.len()
    }
}

impl<const BYTES: usize> NorFlash for RamFlash<BYTES> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.part(from, to.saturating_sub(from) as usize)?.fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let part = self.part(offset, bytes.len())?;
        for (to, from) in part.iter_mut().zip(bytes) {
            *to &= from;
        }
        Ok(())
    }
}
