//! The interface between a board and the application.

use embedded_io_async::ErrorKind;
use handfast_edge::ports::Stream;

/// The parts of a board, each behind a trait.
pub struct Board<I, O, N, L, E, F, C, P> {
    /// Input of the owner's terminal: [`embedded_io_async::Read`].
    pub input: I,
    /// Output to the owner's terminal: [`embedded_io_async::Write`].
    pub output: O,
    /// Connections to the gateway: [`Network`].
    pub network: N,
    /// A serial line that may lead to a gateway: [`Stream`].
    pub line: L,
    /// Fresh randomness: [`rand_core::CryptoRng`].
    pub entropy: E,
    /// Persistent storage: [`embedded_storage_async::nor_flash::NorFlash`]. The application uses
    /// its first twelve pages.
    pub flash: F,
    /// Time since the start: [`handfast_edge::ports::Clock`].
    pub clock: C,
    /// An output that an operator may switch: [`Pin`].
    pub pin: P,
    /// `true` on an emulated board, where the console may end the program and test the stack guard.
    pub emulated: bool,
}

/// An output with two levels, off after a reset.
pub trait Pin {
    /// Switches the output.
    fn set(&mut self, on: bool);

    /// Reads the level back from the hardware.
    fn is_on(&self) -> bool;
}

/// A source of byte streams, one at a time.
pub trait Network {
    /// An open byte stream.
    type Stream<'a>: Stream
    where
        Self: 'a;

    /// Connects to `host`, an IP address, or a name if the board can resolve names. Waits first
    /// until the board has an address of its own. Dropping the future abandons the attempt.
    ///
    /// # Errors
    /// The cause of the failure.
    async fn connect(&mut self, host: &str, port: u16) -> Result<Self::Stream<'_>, ErrorKind>;
}
