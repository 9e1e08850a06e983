//! Whole messages over a connection, independent of the transport. [`crate::websocket::Socket`]
//! implements it.

use embedded_io_async::ErrorKind;
use handfast_core::wire::close::Close;
use rand_core::CryptoRng;

use crate::error::{UpgradeError, Violation};

/// One whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Frame<'f> {
    /// A text message, checked to be UTF-8.
    Text(&'f str),
    /// A binary message.
    Binary(&'f [u8]),
}

/// Outcome of [`Carrier::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Received<'f> {
    /// A message from the peer.
    Frame(Frame<'f>),
    /// The peer answered [`Carrier::ping`].
    Pong,
    /// The carrier owes the peer a protocol answer (a pong, a close frame): call
    /// [`Carrier::reply`].
    ReplyDue,
}

/// An open connection to the gateway.
pub trait Carrier {
    /// Waits for the next message and puts it into `room`, whose size in bytes is the limit for one
    /// message.
    ///
    /// Dropping the future loses nothing, if the next call gets the same `room`, unchanged. This
    /// function only reads: answers wait for [`reply`](Self::reply), because a write that is
    /// dropped half-way would spoil the connection.
    ///
    /// # Errors
    /// [`Broken`]; after it, only [`close`](Self::close) may be called.
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Received<'f>, Broken>;

    /// Sends one message. Dropping the future leaves the connection unusable.
    ///
    /// # Errors
    /// [`Broken`] when the connection failed.
    async fn send(&mut self, frame: Frame<'_>) -> Result<(), Broken>;

    /// Sends the answer that is due after [`Received::ReplyDue`].
    ///
    /// # Errors
    /// [`Broken::ByPeer`] if the answer was to the peer's close frame, so that nothing more comes;
    /// another [`Broken`] when the connection failed.
    async fn reply(&mut self) -> Result<(), Broken>;

    /// Sends a ping; the peer's answer arrives as [`Received::Pong`].
    ///
    /// # Errors
    /// [`Broken`] when the connection failed.
    async fn ping(&mut self) -> Result<(), Broken>;

    /// Sends a close frame and waits for the peer's. The caller bounds the wait.
    async fn close(&mut self, close: Close);
}

/// A source of connections to the gateway, one at a time.
pub trait Opener {
    /// An open connection.
    type Carrier<'c>: Carrier
    where
        Self: 'c;

    /// Opens a connection, ready for messages. Dropping the future abandons the attempt.
    ///
    /// # Errors
    /// [`Broken`] with the cause of the failure.
    async fn open<'c>(
        &'c mut self,
        rng: &'c mut dyn CryptoRng,
    ) -> Result<Self::Carrier<'c>, Broken>;
}

/// The reason for which a connection is no longer usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Broken {
    /// The stream below failed.
    Io(ErrorKind),
    /// The stream below ended without a close frame.
    Eof,
    /// A time limit passed: for opening, for a write, or for the answer to a ping.
    Overdue,
    /// The peer closed the connection, with this code if it gave one.
    ByPeer(Option<u16>),
    /// The peer refused the upgrade to WebSocket.
    Upgrade(UpgradeError),
    /// The peer violated the carrier's protocol, or sent a message larger than the buffer.
    Violation(Violation),
}

impl Broken {
    /// Returns the close frame that tells the peer of this error. `None` if the peer cannot hear
    /// it.
    #[must_use]
    pub const fn farewell(self) -> Option<Close> {
        match self {
            Self::Violation(violation) => Some(violation.close()),
            Self::Io(_) | Self::Eof | Self::Overdue | Self::ByPeer(_) | Self::Upgrade(_) => None,
        }
    }
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}
