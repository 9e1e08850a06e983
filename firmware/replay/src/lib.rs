//! What a node does from its first boot to its link, in memory, to be measured on a board: the real
//! core and the real pump, with a gateway that plays a script, flash in RAM and an owner who types;
//! and what verifying setup codes takes. Nothing here waits, so what is counted is work, and the
//! node's alone.
#![no_std]

#[cfg(feature = "missy")]
pub mod missy;
#[cfg(feature = "native")]
pub mod native;
#[cfg(any(feature = "missy", feature = "native"))]
mod props;
#[cfg(feature = "setup")]
pub mod setup;

/// How many measurements there can be.
const MOST: usize = 16;

/// What was measured: a name and a number each.
#[derive(Debug, Default)]
pub struct Measured(heapless::Vec<(&'static str, u32), MOST>);

impl Measured {
    /// In the order in which they were taken.
    pub fn iter(&self) -> core::slice::Iter<'_, (&'static str, u32)> {
        self.0.iter()
    }

    fn note(&mut self, name: &'static str, number: u32) {
        // There are fewer than MOST.
        let _ = self.0.push((name, number));
    }
}

/// What each part of a flow took.
struct Notes {
    measured: Measured,
    instructions: fn() -> u32,
    last: u32,
}

impl Notes {
    fn new(instructions: fn() -> u32) -> Self {
        Self { measured: Measured::default(), instructions, last: instructions() }
    }

    fn note(&mut self, name: &'static str) {
        let now = (self.instructions)();
        self.measured.note(name, now.wrapping_sub(self.last));
        // What noting took does not count.
        self.last = (self.instructions)();
    }

    /// What was done since the last note does not count.
    #[cfg(feature = "setup")]
    fn skip(&mut self) {
        self.last = (self.instructions)();
    }

    #[cfg(any(feature = "missy", feature = "native"))]
    fn end(mut self, future: usize) -> Measured {
        self.measured.note("bytes of the pump's future", u32::try_from(future).unwrap_or(u32::MAX));
        self.measured
    }
}

/// Makes a future where it is to stay; made by the caller itself, it would be made twice, and each
/// of them counted as stack.
#[cfg(any(feature = "missy", feature = "native"))]
#[inline(never)]
fn in_place<F: Future>(make: impl FnOnce() -> F) -> F {
    make()
}
