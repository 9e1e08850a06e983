//! Randomness as a value: an adapter draws it, and the one input that needs it carries it.

use rand_core::{CryptoRng, TryCryptoRng};

/// `N` fresh random bytes for exactly one use. The type is not `Clone`, so the same bytes cannot
/// serve twice.
pub struct Entropy<const N: usize>([u8; N]);

impl<const N: usize> Entropy<N> {
    /// Draws the bytes from a cryptographic generator.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; N];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Draws the bytes from a generator that can fail, such as the operating system's.
    ///
    /// # Errors
    /// The generator's own error; a partly filled buffer is never returned.
    pub fn try_draw<R: TryCryptoRng>(rng: &mut R) -> Result<Self, R::Error> {
        // Filled in place, so that a failure drops, and thereby wipes, the partial bytes.
        let mut entropy = Self([0; N]);
        rng.try_fill_bytes(&mut entropy.0)?;
        Ok(entropy)
    }

    /// Takes known bytes, for replaying a recorded run and for test vectors. Production code uses
    /// [`draw`](Self::draw).
    #[must_use]
    pub const fn from_recorded(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Entropy<N> {
    fn drop(&mut self) {
        crate::secret::wipe(&mut self.0);
    }
}

impl<const N: usize> core::fmt::Debug for Entropy<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Entropy<{N}>(redacted)")
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for Entropy<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Entropy(redacted)");
    }
}
