//! Entropy for core, drawn from the operating system.

use handfast_core::Entropy;
use handfast_core::secret::Secret;
use zeroize::Zeroizing;

/// Draws `N` bytes. Without randomness a gateway cannot run, so a failure of the system ends the
/// process.
pub(crate) fn draw<const N: usize>() -> Entropy<N> {
    Entropy::try_draw(&mut getrandom::SysRng).expect("the operating system gives no randomness")
}

/// Draws a secret key of 32 bytes.
pub(crate) fn key() -> Secret<32> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).expect("the operating system gives no randomness");
    Secret::new(*bytes)
}

/// Draws a number that distinguishes things from each other. It is not secret.
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives no randomness");
    u64::from_le_bytes(bytes)
}
