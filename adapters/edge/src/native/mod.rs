//! The native wire: a node that pairs by approval, PIN or code and keeps a sealed link, over any
//! byte stream.
//!
//! ```text
//!  Connector ──Stream──▶ Framed (COBS, CRC-32) ◀─frames─▶ run ◀─steps─▶ handfast_core's Node,
//!                                                                       in Buffers
//! ```
//! It needs no TLS below it, so a microcontroller is safe on plain TCP and on a serial line;
//! [`crate::blocking::Line`] makes a connector of the latter. It stores neither capability tokens
//! nor bearer tokens: a device authenticates with its keys.

mod driver;
mod effects;
pub mod memory;
mod stream;

pub use self::driver::{NativeBuffers, NativePorts, NativeSettings, run};
pub use stream::Framed;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{NativeNodeEvent, PairMethod};
use handfast_core::wire::native::link::App;

use crate::error::KeepError;
use crate::transport::Broken;

/// The interface to the owner of the node: a console, a button, a page.
pub trait NativeOwnerPort {
    /// Waits for the next command. Dropping the future must lose nothing: the implementation keeps
    /// a partly typed line.
    async fn command(&mut self) -> NativeCommand;

    /// Shows a report. The driver waits for it, so it should return soon.
    async fn tell(&mut self, report: NativeReport<'_>);
}

/// A command of the owner.
#[derive(Debug, PartialEq, Eq)]
pub enum NativeCommand {
    /// Starts pairing by this method; with a fingerprint, only with the gateway that has it.
    Pair(PairMethod, Option<Fingerprint>),
    /// The PIN that the gateway shows, or another code after a wrong one.
    EnterCode(Code),
    /// Erases the pairing. The keys stay.
    Forget,
    /// Ends the driver: it closes the connection, then returns.
    Stop,
}

/// A message for the owner.
#[derive(Debug)]
pub enum NativeReport<'b> {
    /// An event of the node's state machine.
    News(NativeNodeEvent<'b>),
    /// A message of the application arrived over the link.
    App(App<'b>),
    /// The memory cannot be read; the driver tries again, and overwrites nothing until the owner
    /// sends [`NativeCommand::Forget`].
    NotLoaded(KeepError),
    /// The memory is not durable yet; the driver tries again until it is.
    NotKept(KeepError),
    /// The connection could not be opened, or ended unexpectedly.
    NoConnection(Broken),
}
