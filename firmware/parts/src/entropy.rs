//! Randomness of a chip, for the application.

use core::convert::Infallible;

#[cfg(feature = "weak-entropy")]
use chacha20::ChaCha20Rng;
use rand_core::{TryCryptoRng, TryRng};
#[cfg(feature = "weak-entropy")]
use {rand_core::SeedableRng, sha2::Digest, zeroize::Zeroize};

/// Number of bits of a weak source that make one seed. One in a hundred of them would have to be
/// unpredictable for the 256 bits of a seed.
#[cfg(feature = "weak-entropy")]
const WEAK_BITS: usize = 32_768;

/// Number of equal bits in a row after which a source counts as stuck. A source with a tenth of a
/// bit of entropy a sample shows so many once in 2^30 samples (the repetition count test of NIST SP
/// 800-90B, 4.4.1).
#[cfg(feature = "weak-entropy")]
const STUCK: usize = 301;

/// A hardware generator that fills bytes, which the closure calls. Every byte is new from the
/// hardware.
#[derive(Debug)]
pub struct FilledBy<F>(pub F);

impl<F: FnMut(&mut [u8])> FilledBy<F> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }
}

impl<F: FnMut(&mut [u8])> TryRng for FilledBy<F> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        (self.0)(bytes);
        Ok(())
    }
}

impl<F: FnMut(&mut [u8])> TryCryptoRng for FilledBy<F> {}

/// A source of bits has shown the same one too often in a row.
#[cfg(feature = "weak-entropy")]
#[derive(Debug, PartialEq, Eq)]
pub struct StuckSource;

/// Makes a generator from a source whose bits are biased and depend on each other: SHA-256 of many
/// of them is the seed of ChaCha20.
///
/// # Errors
/// [`StuckSource`]: no key may be made from it.
#[cfg(feature = "weak-entropy")]
pub fn from_weak_bits(mut bit: impl FnMut() -> bool) -> Result<ChaCha20Rng, StuckSource> {
    let mut hash = sha2::Sha256::new();
    let (mut last, mut equal) = (bit(), 0_usize);
    for _ in 0..WEAK_BITS / 8 {
        let mut byte = 0_u8;
        for _ in 0..8 {
            let next = bit();
            equal = if next == last { equal.saturating_add(1) } else { 1 };
            if equal >= STUCK {
                return Err(StuckSource);
            }
            last = next;
            byte = byte << 1 | u8::from(next);
        }
        hash.update([byte]);
    }
    let mut seed: [u8; 32] = hash.finalize().into();
    let generator = ChaCha20Rng::from_seed(seed);
    seed.zeroize();
    Ok(generator)
}

#[cfg(all(test, feature = "weak-entropy"))]
mod tests {
    use rand_core::Rng;

    use super::*;

    /// Bits of a linear congruential generator, from a start.
    fn bits(mut state: u64) -> impl FnMut() -> bool {
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 63 != 0
        }
    }

    #[test]
    fn a_source_that_sticks_for_a_while_makes_no_generator() {
        assert_eq!(from_weak_bits(|| false).err(), Some(StuckSource));
        let (mut good, mut count) = (bits(1), 0);
        let sticks_late = move || {
            count += 1;
            good() || (20_000..20_400).contains(&count)
        };
        assert_eq!(from_weak_bits(sticks_late).err(), Some(StuckSource));
    }

    #[test]
    fn the_generator_depends_on_the_bits() {
        let first = |start| from_weak_bits(bits(start)).unwrap().next_u64();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }
}
