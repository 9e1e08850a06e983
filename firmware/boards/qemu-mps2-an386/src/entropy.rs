//! Randomness from the host's generator, because the board has none.

use core::fmt;

use rand_core::{TryCryptoRng, TryRng};
use semihosting::experimental::random;

/// The host's `/dev/urandom`, read anew for each request. No state is stored, so nothing can
/// repeat.
pub(crate) struct HostEntropy;

/// The host did not provide randomness.
#[derive(Debug)]
pub(crate) struct NoEntropy;

impl TryRng for HostEntropy {
    type Error = NoEntropy;

    fn try_next_u32(&mut self) -> Result<u32, NoEntropy> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoEntropy> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        random::fill_bytes(bytes).map_err(|_| NoEntropy)
    }
}

impl TryCryptoRng for HostEntropy {}

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host gave no randomness")
    }
}

impl core::error::Error for NoEntropy {}
