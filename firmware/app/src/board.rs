//! What a board gives to the application.

use embedded_io_async::ErrorKind;
use handfast_edge::ports::Stream;

/// The parts of a board, each behind a trait.
pub struct Board<I, O, N, L, E, F, C> {
    /// What the owner types: [`embedded_io_async::Read`].
    pub input: I,
    /// What the owner sees: [`embedded_io_async::Write`].
    pub output: O,
    /// The way to the gateway: [`Network`].
    pub network: N,
    /// A serial line at whose other end a gateway may be: [`Stream`].
    pub line: L,
    /// Fresh randomness: [`rand_core::CryptoRng`].
    pub entropy: E,
    /// What survives a power cut: [`embedded_storage_async::nor_flash::NorFlash`]. The application
    /// uses its first eight pages.
    pub flash: F,
    /// Time since the start: [`handfast_edge::ports::Clock`].
    pub clock: C,
    /// Whether the console may end the program and try the stack guard, as it may where the board
    /// is emulated.
    pub emulated: bool,
}

/// A way to open one byte stream at a time.
pub trait Network {
    /// An open stream.
    type Stream<'a>: Stream
    where
        Self: 'a;

    /// Connects to `host`, an IP address or a name if the board can look names up. Waits for an
    /// address of our own first. Dropping the future gives up.
    ///
    /// # Errors
    /// Why there is no stream.
    async fn connect(&mut self, host: &str, port: u16) -> Result<Self::Stream<'_>, ErrorKind>;
}
