//! A node's work from its first boot to its link, in memory, for measurements on a board: the real
//! core and the real driver, with a scripted gateway, flash in RAM and a scripted owner; and the
//! verification of setup codes. Nothing here waits, so the counts are the node's work alone.
#![no_std]

#[cfg(feature = "missy")]
pub mod missy;
#[cfg(feature = "native")]
pub mod native;
#[cfg(any(feature = "missy", feature = "native"))]
mod props;
#[cfg(feature = "setup")]
pub mod setup;

/// Maximum number of measurements.
const MOST: usize = 16;

/// Measurements: a name and a number each.
#[derive(Debug, Default)]
pub struct Measured(heapless::Vec<(&'static str, u32), MOST>);

impl Measured {
    /// Creates an empty list, for a static: what is measured must not hold the measurements.
    #[must_use]
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Iterates over the measurements in the order in which they were taken.
    pub fn iter(&self) -> core::slice::Iter<'_, (&'static str, u32)> {
        self.0.iter()
    }

    fn note(&mut self, name: &'static str, number: u32) {
        // There are fewer than MOST.
        let _ = self.0.push((name, number));
    }
}

/// A recorder that counts instructions between notes.
struct Notes<'m> {
    measured: &'m mut Measured,
    instructions: fn() -> u32,
    last: u32,
}

impl<'m> Notes<'m> {
    fn new(measured: &'m mut Measured, instructions: fn() -> u32) -> Self {
        Self { measured, instructions, last: instructions() }
    }

    fn note(&mut self, name: &'static str) {
        let now = (self.instructions)();
        self.measured.note(name, now.wrapping_sub(self.last));
        // The cost of noting itself is excluded.
        self.last = (self.instructions)();
    }

    /// Excludes the work since the last note.
    #[cfg(feature = "setup")]
    fn skip(&mut self) {
        self.last = (self.instructions)();
    }

    #[cfg(any(feature = "missy", feature = "native"))]
    fn end(&mut self, future: usize) {
        self.measured.note("bytes of the pump's future", u32::try_from(future).unwrap_or(u32::MAX));
    }
}

/// Constructs a future in its final place; the caller would build it twice, and each copy would
/// count as stack.
#[cfg(any(feature = "missy", feature = "native"))]
#[inline(never)]
fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}
