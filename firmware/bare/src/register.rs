//! Access to memory-mapped registers.

use core::ptr;

/// The address of a 32-bit register. Only [`Register::at`] creates one, so its caller vouches for
/// the address.
#[derive(Clone, Copy)]
pub struct Register(usize);

impl Register {
    /// Creates the register at `address`.
    ///
    /// # Safety
    /// `address` is that of a 32-bit device register, and no access to it can touch memory that
    /// Rust knows of.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads the register, with any side effect that the device gives to a read.
    pub fn read(self) -> u32 {
        // SAFETY: the caller of `at` vouched for the address.
        unsafe { ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    /// Writes the register.
    pub fn write(self, value: u32) {
        // SAFETY: the caller of `at` vouched for the address.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }
}
