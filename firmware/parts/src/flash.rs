//! The pages of a chip's flash that belong to the node.
//!
//! The node writes one record to a page that it has erased before, reads it back, and keeps the
//! record before it in another page; so it needs of a driver that erasing and writing are done when
//! they return, and nothing about wear or power cuts.

use core::cell::RefCell;

use embassy_embedded_hal::adapter::BlockingAsync;
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage::nor_flash::NorFlash;

/// Number of pages that the application uses.
pub const NODE_PAGES: u32 = 12;

/// A flash driver of which a part is lent to the node.
pub type SharedFlash<T> = Mutex<NoopRawMutex, RefCell<T>>;

/// The node's part of the flash, with the traits that the application asks for.
pub type NodePages<'f, T> = BlockingAsync<BlockingPartition<'f, NoopRawMutex, T>>;

/// Makes a flash driver ready for [`node_pages`].
pub const fn share<T>(flash: T) -> SharedFlash<T> {
    Mutex::new(RefCell::new(flash))
}

/// Lends the node the `length` bytes from `start` on, counted from the beginning of the flash.
/// Returns `None` if they are not whole pages, are fewer than [`NODE_PAGES`], or lie outside the
/// flash.
pub fn node_pages<T: NorFlash>(
    flash: &SharedFlash<T>,
    start: u32,
    length: u32,
) -> Option<NodePages<'_, T>> {
    let page = u32::try_from(T::ERASE_SIZE).ok()?;
    let end = usize::try_from(start.checked_add(length)?).ok()?;
    let capacity = flash.lock(|flash| flash.try_borrow().map(|flash| flash.capacity())).ok()?;
    let whole = start.is_multiple_of(page) && length.is_multiple_of(page);
    let fits = length >= page.checked_mul(NODE_PAGES)? && end <= capacity;
    (whole && fits).then(|| BlockingAsync::new(BlockingPartition::new(flash, start, length)))
}

/// Returns the start and length of the node's pages as the linker script has them: `memory.x`
/// defines `_node_pages_start`, counted from the beginning of the flash, and `_node_pages_length`.
#[cfg(feature = "cortex-m")]
#[must_use]
pub fn linked_pages() -> (u32, u32) {
    unsafe extern "C" {
        static _node_pages_start: u8;
        static _node_pages_length: u8;
    }
    // The symbols are numbers, told by their addresses; nothing is there.
    let (start, length) = (&raw const _node_pages_start, &raw const _node_pages_length);
    (start.addr() as u32, length.addr() as u32)
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use embedded_storage::nor_flash::{ErrorType, ReadNorFlash};

    use super::*;

    const PAGE: u32 = 4096;

    /// A flash of 16 pages that is never written.
    struct Sixteen;

    impl ErrorType for Sixteen {
        type Error = Infallible;
    }

    impl ReadNorFlash for Sixteen {
        const READ_SIZE: usize = 1;

        fn read(&mut self, _offset: u32, _bytes: &mut [u8]) -> Result<(), Infallible> {
            Ok(())
        }

        fn capacity(&self) -> usize {
            16 * PAGE as usize
        }
    }

    impl NorFlash for Sixteen {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = PAGE as usize;

        fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Infallible> {
            Ok(())
        }

        fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[test]
    fn a_node_gets_no_part_of_a_page_and_none_beyond_the_flash() {
        let flash = share(Sixteen);
        assert!(node_pages(&flash, 4 * PAGE, 12 * PAGE).is_some());
        assert!(node_pages(&flash, 4 * PAGE, 11 * PAGE).is_none(), "too few pages");
        assert!(node_pages(&flash, 5 * PAGE, 12 * PAGE).is_none(), "beyond the end");
        assert!(node_pages(&flash, 4 * PAGE - 1, 12 * PAGE).is_none(), "no whole pages");
        assert!(node_pages(&flash, 3 * PAGE, 12 * PAGE + 1).is_none(), "no whole pages");
        assert!(node_pages(&flash, u32::MAX, 12 * PAGE).is_none(), "beyond all addresses");
    }
}
