//! What a board gives to the pump, each part behind a small trait.

use embedded_io_async::{ErrorKind, Read, Write};
use handfast_core::flow::registration::node::News;
use handfast_core::time::Instant;
use handfast_core::wire::registration::Heartbeat;
use handfast_core::wire::token::Token;

use crate::carrier::Broken;
use crate::memory::KeepError;

/// A byte stream that says goodbye. Its `read` must lose no bytes when the future is dropped; its
/// `write` may, because a write that is dropped ends the connection.
pub trait Stream: Read + Write {
    /// Ends the stream in order, so that the peer learns of it; dropping it tells the peer nothing.
    /// Bounded by the pump.
    async fn close(&mut self);
}

impl<T: Stream> Stream for &mut T {
    async fn close(&mut self) {
        T::close(self).await;
    }
}

/// A way to open one byte stream at a time to the gateway: TCP, a serial line.
pub trait Connector {
    /// An open stream.
    type Stream<'c>: Stream
    where
        Self: 'c;

    /// Opens a stream. Dropping the future gives up.
    ///
    /// # Errors
    /// What kept it from opening; the pump reports it and tries again later.
    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind>;
}

/// Time since any fixed start; never goes back.
pub trait Clock {
    /// The time now, in milliseconds since that start.
    fn now(&self) -> Instant;

    /// Resumes at `at`, or at once if that has passed.
    async fn sleep_until(&self, at: Instant);
}

/// The owner of the node: a console, a button, a page.
pub trait Owner {
    /// The next command. Must lose nothing when the future is dropped: a line typed half stays with
    /// the implementation.
    async fn command(&mut self) -> Command;

    /// Shows something. The pump waits for it, so it should return soon.
    async fn tell(&mut self, report: Report<'_>);
}

/// What the node can tell of its surroundings.
pub trait Sensors {
    /// The values now.
    fn heartbeat(&mut self) -> Heartbeat<'_>;
}

/// A node without sensors: its heartbeats say only that it is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSensors;

impl Sensors for NoSensors {
    fn heartbeat(&mut self) -> Heartbeat<'_> {
        Heartbeat::default()
    }
}

/// What an owner may want.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Command {
    /// The token that the operator was shown.
    TokenEntered(Token),
    /// Ask to be paired once more, under a new id.
    AskAgain,
    /// Forget everything.
    Forget,
    /// End the pump: says goodbye to the gateway, then returns.
    Stop,
}

/// What an owner may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report<'b> {
    /// What the machine tells.
    News(News<'b>),
    /// What was kept cannot be read; it is tried again, nothing is overwritten until the owner says
    /// [`Command::Forget`].
    NotLoaded(KeepError),
    /// Nothing is durable yet; it is tried again until it is.
    NotKept(KeepError),
    /// The connection could not be opened, or ended without our doing.
    NoConnection(Broken),
}
