//! Entropy for core, drawn from the operating system.

use handfast_core::entropy::Entropy;

/// Draws `N` bytes. A system without randomness cannot run a gateway, so that ends the process rather than going on with less.
pub(crate) fn draw<const N: usize>() -> Entropy<N> {
    Entropy::try_draw(&mut getrandom::SysRng).expect("the operating system gives no randomness")
}
