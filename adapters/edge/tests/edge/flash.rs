//! NOR flash in RAM, whose power can be cut in the middle of any write or erase.

use std::cell::RefCell;
use std::rc::Rc;

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// The part of an interrupted write or erase that takes effect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tear {
    /// None of the operation takes effect.
    Before,
    /// All of the operation takes effect, but it returns an error.
    After,
    /// The lowest addresses take effect, in 24ths of the length.
    Front(usize),
    /// The highest addresses take effect, in 24ths of the length.
    Back(usize),
    /// Each bit takes effect or not, at random.
    Chance(u64),
}

impl Tear {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let parts = (1..24).flat_map(|n| [Self::Front(n), Self::Back(n)]);
        [Self::Before, Self::After].into_iter().chain(parts).chain((1..17).map(Self::Chance))
    }

    /// Returns the bits of the byte at `at` of `length` that take effect.
    fn mask(self, at: usize, length: usize) -> u8 {
        match self {
            Self::Before => 0,
            Self::After => 0xff,
            Self::Front(parts) => {
                if at * 24 < length * parts {
                    0xff
                } else {
                    0
                }
            }
            Self::Back(parts) => {
                if at * 24 >= length * (24 - parts) {
                    0xff
                } else {
                    0
                }
            }
            Self::Chance(seed) => {
                let mut x = (seed << 32 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                x ^= x >> 29;
                x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (x >> 40) as u8
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct NoPower;

impl NorFlashError for NoPower {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

struct Cells {
    bytes: Vec<u8>,
    /// Number of writes and erases that still succeed, and the tear of the next one.
    cut: Option<(u32, Tear)>,
    dead: bool,
}

/// `PAGES` pages of 256 bytes, in words of four.
#[derive(Clone)]
pub(crate) struct TornFlash<const PAGES: usize>(Rc<RefCell<Cells>>);

pub(crate) const PAGE: usize = 256;

impl<const PAGES: usize> TornFlash<PAGES> {
    pub(crate) fn erased() -> Self {
        Self::filled(0xff)
    }

    pub(crate) fn filled(byte: u8) -> Self {
        Self(Rc::new(RefCell::new(Cells {
            bytes: vec![byte; PAGES * PAGE],
            cut: None,
            dead: false,
        })))
    }

    /// Returns a copy with cells of its own.
    pub(crate) fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(Cells { bytes: self.bytes(), cut: None, dead: false })))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.borrow().bytes.clone()
    }

    /// Cuts the power in the operation after `operations` more.
    pub(crate) fn cut_after(&self, operations: u32, tear: Tear) {
        self.0.borrow_mut().cut = Some((operations, tear));
    }

    /// Makes these bytes unreadable.
    pub(crate) fn spoil(&self, range: core::ops::Range<usize>) {
        self.0.borrow_mut().bytes[range].iter_mut().for_each(|byte| *byte ^= 0x10);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.borrow().dead
    }

    /// Restores the power. Returns `true` if it was cut.
    pub(crate) fn restore(&self) -> bool {
        let mut cells = self.0.borrow_mut();
        cells.cut = None;
        core::mem::take(&mut cells.dead)
    }
}

impl Cells {
    /// Returns the tear of the next operation, if it is the interrupted one.
    fn next(&mut self) -> Result<Option<Tear>, NoPower> {
        match &mut self.cut {
            _ if self.dead => Err(NoPower),
            Some((0, tear)) => {
                let tear = *tear;
                self.dead = true;
                Ok(Some(tear))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    fn end(&self) -> Result<(), NoPower> {
        if self.dead { Err(NoPower) } else { Ok(()) }
    }
}

impl<const PAGES: usize> ErrorType for TornFlash<PAGES> {
    type Error = NoPower;
}

impl<const PAGES: usize> ReadNorFlash for TornFlash<PAGES> {
    const READ_SIZE: usize = 4;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NoPower> {
        let cells = self.0.borrow();
        cells.end()?;
        bytes.copy_from_slice(&cells.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        PAGES * PAGE
    }
}

impl<const PAGES: usize> NorFlash for TornFlash<PAGES> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NoPower> {
        assert!((from as usize).is_multiple_of(PAGE) && (to as usize).is_multiple_of(PAGE));
        let mut cells = self.0.borrow_mut();
        let tear = cells.next()?.unwrap_or(Tear::After);
        let page = &mut cells.bytes[from as usize..to as usize];
        let length = page.len();
        for (at, byte) in page.iter_mut().enumerate() {
            *byte |= tear.mask(at, length);
        }
        cells.end()
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NoPower> {
        assert!(
            offset.is_multiple_of(4)
                && bytes.len().is_multiple_of(4)
                && (bytes.as_ptr() as usize).is_multiple_of(4)
        );
        let mut cells = self.0.borrow_mut();
        let tear = cells.next()?.unwrap_or(Tear::After);
        let length = bytes.len();
        for (at, (cell, byte)) in
            cells.bytes[offset as usize..][..length].iter_mut().zip(bytes).enumerate()
        {
            *cell &= byte | !tear.mask(at, length);
        }
        cells.end()
    }
}
