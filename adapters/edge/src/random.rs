//! Randomness of a board whose drivers are of another generation of `rand_core`.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// A [`CryptoRng`](rand_core::CryptoRng) made of a function that fills bytes.
///
/// Hardware drivers are written against `rand_core` 0.6, 0.9 or none; whatever they are, the
/// function is one line:
///
/// ```
/// use handfast_edge::random::FillBytes;
///
/// # struct Hardware;
/// # impl Hardware { fn fill_bytes(&mut self, bytes: &mut [u8]) { bytes.fill(7) } }
/// # let mut hardware = Hardware;
/// let mut rng = FillBytes::new(|bytes: &mut [u8]| hardware.fill_bytes(bytes));
/// # rand_core::Rng::next_u32(&mut rng);
/// ```
///
/// The node's keys are drawn from it, so every byte must come from a cryptographic generator, from
/// the very first boot on. A source that can fail is asked again until it succeeds, or it stops the
/// board; it never returns with bytes that it has not filled.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FillBytes<F>(F);

impl<F: FnMut(&mut [u8])> FillBytes<F> {
    /// Uses a function that fills bytes with cryptographic randomness.
    pub const fn new(fill: F) -> Self {
        Self(fill)
    }
}

impl<F: FnMut(&mut [u8])> TryRng for FillBytes<F> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0(bytes);
        Ok(())
    }
}

impl<F: FnMut(&mut [u8])> TryCryptoRng for FillBytes<F> {}
