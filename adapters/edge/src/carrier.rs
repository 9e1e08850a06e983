//! Whole messages over a connection, whatever carries them: WebSocket today, COBS frames of the
//! native wire beside it.

use embedded_io_async::ErrorKind;
use handfast_core::wire::close::Close;
use rand_core::CryptoRng;

use crate::websocket::{UpgradeError, Violation};

/// One whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'f> {
    /// Text, checked to be UTF-8.
    Text(&'f str),
    /// Bytes.
    Binary(&'f [u8]),
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'f> {
    /// A message.
    Frame(Frame<'f>),
    /// The peer answered [`Carrier::ping`].
    Pong,
    /// The carrier owes the peer an answer of its own: call [`Carrier::reply`].
    ReplyDue,
}

/// An open connection to the gateway.
pub trait Carrier {
    /// Waits for the next message and puts it into `room`, whose size is the most that a message
    /// may have.
    ///
    /// Dropping the future loses nothing, if the next call gets the same `room`, unchanged. It only
    /// reads: what is to be answered waits for [`reply`](Self::reply), because a write that is
    /// dropped half-way would spoil the connection.
    ///
    /// # Errors
    /// [`Broken`]; the connection is of no further use but for [`close`](Self::close).
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Received<'f>, Broken>;

    /// Sends one message. A dropped future leaves the connection unusable.
    ///
    /// # Errors
    /// [`Broken`] when the connection is.
    async fn send(&mut self, frame: Frame<'_>) -> Result<(), Broken>;

    /// Sends what the carrier owes after [`Received::ReplyDue`].
    ///
    /// # Errors
    /// [`Broken::ByPeer`] if that was the answer to a goodbye, so that nothing more comes.
    async fn reply(&mut self) -> Result<(), Broken>;

    /// Asks the peer whether it is still there.
    ///
    /// # Errors
    /// [`Broken`] when the connection is.
    async fn ping(&mut self) -> Result<(), Broken>;

    /// Says goodbye and waits until the peer has heard it. The caller bounds the wait.
    async fn close(&mut self, close: Close);
}

/// A way to the gateway that opens one carrier at a time.
pub trait Opener {
    /// An open connection.
    type Carrier<'c>: Carrier
    where
        Self: 'c;

    /// Opens a connection, ready for messages. Dropping the future gives up.
    ///
    /// # Errors
    /// Why there is none.
    async fn open<'c>(
        &'c mut self,
        rng: &'c mut dyn CryptoRng,
    ) -> Result<Self::Carrier<'c>, Broken>;
}

/// Why a connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Broken {
    /// The stream below failed.
    Io(ErrorKind),
    /// The stream below ended without a goodbye.
    Eof,
    /// Something did not happen in time: opening, writing, an answer to a ping.
    Overdue,
    /// The peer said goodbye, with this code if it gave one.
    ByPeer(Option<u16>),
    /// The peer would not speak WebSocket.
    Upgrade(UpgradeError),
    /// The peer broke the rules of the carrier, or sent more than there is room for.
    Violation(Violation),
}

impl Broken {
    /// What to tell the peer about it, if it is still there to be told.
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
