//! A node's work from its first boot to its link, in memory, for measurements on a board: the real
//! core and the real driver, with a scripted gateway, flash in RAM and a scripted owner; and the
//! verification of setup codes. Nothing here waits, so the counts are the node's work alone.
#![no_std]

#[cfg(feature = "missy")]
pub mod missy;
#[cfg(any(feature = "native", feature = "script"))]
pub mod native;
#[cfg(any(feature = "missy", feature = "native", feature = "script"))]
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

    /// Removes every measurement.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn note(&mut self, name: &'static str, number: u32) {
        // There are fewer than MOST.
        let _ = self.0.push((name, number));
    }
}

/// The gauges of a board.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// Returns the number of instructions since the start.
    pub instructions: fn() -> u32,
    /// Returns the number of bytes of stack that are in use at the call.
    pub depth: fn() -> u32,
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
    #[cfg(any(feature = "setup", feature = "native", feature = "script"))]
    fn skip(&mut self) {
        self.last = (self.instructions)();
    }

    #[cfg(feature = "missy")]
    fn end(&mut self, future: usize) {
        self.measured
            .note("bytes of the driver's future", u32::try_from(future).unwrap_or(u32::MAX));
    }
}

/// Constructs a future in its final place; the caller would build it twice, and each copy would
/// count as stack.
#[cfg(any(feature = "missy", feature = "native"))]
#[inline(never)]
fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}

/// Polls a future until it is done, in a frame of its own: what the driver needs of the stack does not
/// become the script's.
#[cfg(any(feature = "native", feature = "script"))]
#[inline(never)]
fn drive<F: Future>(future: core::pin::Pin<&mut F>) -> F::Output {
    handfast_edge::blocking::block_on(future)
}
