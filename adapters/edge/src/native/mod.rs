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
//!
//! An operator may have the node do what its [`Capabilities`] announce. With the feature `identity`
//! the node may have a certificate of its gateway (`Certificates`).

mod capabilities;
#[cfg(feature = "identity")]
mod certificate;
mod certificate_port;
mod dispatching;
mod driver;
mod effects;
pub mod memory;
mod stream;
mod tasks;
mod words;

pub use self::capabilities::{
    Capabilities, Capability, CapabilityError, Started, Task, TaskEnd, TaskEvent,
};
#[cfg(feature = "identity")]
pub use self::certificate::{CertificateBuffers, CertificateNews, Certificates};
pub use self::certificate_port::NoCertificate;
pub use self::dispatching::{DispatchBuffers, Dispatching};
pub use self::driver::{NativeBuffers, NativePorts, NativeSettings, run};
pub use self::tasks::{NoCapabilities, TaskNews};
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NativeCommand {
    /// Starts pairing by this method; with a fingerprint, only with the gateway that has it.
    Pair(PairMethod, Option<Fingerprint>),
    /// The PIN that the gateway shows, or another code after a wrong one.
    EnterCode(Code),
    /// Sends the message with this number, which is
    /// [`Sensors::message`](crate::ports::Sensors::message). What the gateway does not allow is
    /// reported as [`NativeNodeEvent::NotAllowed`], and answers come as [`NativeReport::App`].
    Send(u16),
    /// Subscribes to the pattern with this number, which is
    /// [`Sensors::pattern`](crate::ports::Sensors::pattern). Its messages come as
    /// [`NativeReport::App`] until the link ends; the next link needs another subscription.
    Subscribe(u16),
    /// Asks for a new grant, for instance after the operator has allowed more. The outcome is
    /// [`NativeNodeEvent::Renewed`] or [`NativeNodeEvent::NotRenewed`].
    Renew,
    /// Erases the pairing. The keys stay.
    Forget,
    /// Ends the driver: it closes the connection, then returns.
    Stop,
}

/// The reason for which nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotSent {
    /// There is no link.
    NoLink,
    /// The board has no message or pattern with this number.
    NoMessage,
}

/// A message for the owner.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NativeReport<'b> {
    /// An event of the node's state machine.
    News(NativeNodeEvent<'b>),
    /// A message of the application arrived over the link.
    App(App<'b>),
    /// A command that speaks on the link had no effect.
    NotSent(NotSent),
    /// A task was taken, or has ended.
    Task(TaskNews<'b>),
    /// The memory cannot be read; the driver tries again, and overwrites nothing until the owner
    /// sends [`NativeCommand::Forget`].
    NotLoaded(KeepError),
    /// News of the node's certificate.
    #[cfg(feature = "identity")]
    Certificate(CertificateNews),
    /// What is known of earlier tasks cannot be read. No task is taken until the pairing is erased.
    TasksNotLoaded(KeepError),
    /// The memory is not durable yet; the driver tries again until it is. A task that cannot be
    /// noted is rejected instead.
    NotKept(KeepError),
    /// The connection could not be opened, or ended unexpectedly.
    NoConnection(Broken),
}
