//! The native wire: a node that pairs by approval, PIN or code and keeps a sealed link, over any
//! byte stream.
//!
//! ```text
//!  Connector ──Stream──▶ Framed (COBS, CRC-32) ◀─frames─▶ run ◀─steps─▶ handfast_core's Node, in Buffers
//! ```
//! It needs no TLS below it, so a microcontroller is safe on plain TCP and on a serial line;
//! [`crate::blocking::Line`] makes a connector of the latter. Neither capabilities nor bearer
//! tokens are kept: a device shows its keys.

pub mod memory;
mod pump;
mod stream;
mod stuffing;

pub use pump::{Buffers, Ports, Settings, run};
pub use stream::Framed;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{News, Wish};
use handfast_core::wire::native::link::App;

use crate::carrier::Broken;
use crate::memory::KeepError;

/// The owner of the node: a console, a button, a page.
pub trait Owner {
    /// The next command. Must lose nothing when the future is dropped: a line typed half stays with
    /// the implementation.
    async fn command(&mut self) -> Command;

    /// Shows something. The pump waits for it, so it should return soon.
    async fn tell(&mut self, report: Report<'_>);
}

/// What an owner may want.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Pair the node so; with a fingerprint, with no other gateway.
    Pair(Wish, Option<Fingerprint>),
    /// The PIN that the gateway shows, or another code after a wrong one.
    EnterCode(Code),
    /// Forget the pairing. The keys stay.
    Forget,
    /// End the pump: closes the connection, then returns.
    Stop,
}

/// What an owner may want to know.
#[derive(Debug)]
pub enum Report<'b> {
    /// What the machine tells.
    News(News<'b>),
    /// Something of the application's came over the link.
    App(App<'b>),
    /// What was kept cannot be read; it is tried again.
    NotLoaded(KeepError),
    /// What was kept never can be read, so the node starts as if it had never been paired; what is
    /// there is overwritten when it is paired.
    MemoryLost(KeepError),
    /// Nothing is durable yet; it is tried again until it is.
    NotKept(KeepError),
    /// The connection could not be opened, or ended without our doing.
    NoConnection(Broken),
}
