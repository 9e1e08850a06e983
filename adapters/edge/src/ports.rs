//! The traits that a board implements for the driver.

use embedded_io_async::{ErrorKind, Read, Write};
use handfast_core::Instant;
use handfast_core::flow::registration::node::RegistrationNodeEvent;
use handfast_core::wire::native::link::App;
use handfast_core::wire::path::Pattern;
use handfast_core::wire::registration::Heartbeat;
use handfast_core::wire::token::Token;

use crate::error::KeepError;
use crate::transport::Broken;

/// A byte stream with an orderly end. Its `read` must lose no bytes when the future is dropped; its
/// `write` may, because a dropped write ends the connection.
pub trait Stream: Read + Write {
    /// Closes the stream in order, so that the peer learns of it; dropping the stream tells the
    /// peer nothing. The driver bounds the wait.
    async fn close(&mut self);
}

impl<T: Stream> Stream for &mut T {
    async fn close(&mut self) {
        T::close(self).await;
    }
}

/// A source of byte streams to the gateway (TCP, a serial line), one at a time.
pub trait Connector {
    /// An open byte stream.
    type Stream<'c>: Stream
    where
        Self: 'c;

    /// Opens a stream. Dropping the future abandons the attempt.
    ///
    /// # Errors
    /// The cause of the failure; the driver reports it and tries again later.
    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind>;
}

/// Time since an arbitrary fixed start. It never goes back.
pub trait Clock {
    /// Returns the current time, in milliseconds since that start.
    fn now(&self) -> Instant;

    /// Resumes at `at`, or at once if that has passed.
    async fn sleep_until(&self, at: Instant);
}

/// The interface to the owner of the node: a console, a button, a page.
pub trait Owner {
    /// Waits for the next command. Dropping the future must lose nothing: the implementation keeps
    /// a partly typed line.
    async fn command(&mut self) -> Command;

    /// Shows a report. The driver waits for it, so it should return soon.
    async fn tell(&mut self, report: Report<'_>);
}

/// What the node has to say: the readings of its heartbeats, and on the native wire messages about
/// addresses.
///
/// A message is named by a number of the board's own choice, and read when it is sent. So a command
/// needs no room for its text, and a reading is as new as it can be.
pub trait Sensors {
    /// Returns the current values.
    fn heartbeat(&mut self) -> Heartbeat<'_>;

    /// Returns the message with this number, for
    /// [`NativeCommand::Send`](crate::native::NativeCommand::Send). A reading is one that writes to
    /// its address.
    fn message(&mut self, _number: u16) -> Option<App<'_>> {
        None
    }

    /// Returns the pattern with this number, for
    /// [`NativeCommand::Subscribe`](crate::native::NativeCommand::Subscribe).
    fn pattern(&mut self, _number: u16) -> Option<Pattern<'_>> {
        None
    }
}

/// A node without sensors: its heartbeats are empty.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoSensors;

impl Sensors for NoSensors {
    fn heartbeat(&mut self) -> Heartbeat<'_> {
        Heartbeat::default()
    }
}

/// A command of the owner.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Command {
    /// The pairing token that the operator was shown.
    TokenEntered(Token),
    /// Asks to be paired once more, under a new id.
    AskAgain,
    /// Erases everything stored.
    Forget,
    /// Ends the driver: it closes the connection to the gateway, then returns.
    Stop,
}

/// A message for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Report<'b> {
    /// An event of the node's state machine.
    News(RegistrationNodeEvent<'b>),
    /// The memory cannot be read; the driver tries again, and overwrites nothing until the owner
    /// sends [`Command::Forget`].
    NotLoaded(KeepError),
    /// The memory is not durable yet; the driver tries again until it is.
    NotKept(KeepError),
    /// The connection could not be opened, or ended unexpectedly.
    NoConnection(Broken),
}
