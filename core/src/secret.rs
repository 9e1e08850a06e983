//! Secret bytes: wiped on drop, redacted in every output, compared in constant time.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` secret bytes. The type has no `Clone`, `Copy` or serialisation; the only access is
/// [`expose`](Secret::expose), which is easy to search for.
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes ownership of the bytes; the caller wipes its own copy.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Borrows the secret bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites the bytes with zeros. It is not generic, so one copy of the code serves secrets of
/// every length.
#[inline(never)]
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.zeroize();
}

impl<const N: usize> PartialEq for Secret<N> {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> core::fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Secret<{N}>(redacted)")
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for Secret<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Secret(redacted)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let shown = format!("{:?}", Secret::new(*b"hunter2!"));
        assert_eq!(shown, "Secret<8>(redacted)");
    }

    #[test]
    fn secrets_are_equal_only_byte_for_byte() {
        assert_eq!(Secret::new([7; 4]), Secret::new([7; 4]));
        assert_ne!(Secret::new([7, 7, 7, 7]), Secret::new([7, 7, 7, 6]));
    }
}
