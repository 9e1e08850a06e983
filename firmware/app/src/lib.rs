//! The Handfast node for microcontrollers. It depends on traits only; a board fills a [`Board`] and
//! calls [`run`].
//!
//! ```text
//!  console ─ bytes ─▶ Console ─ lines ─▶ command ─▶ Desk ─ commands ─▶ a driver of handfast_edge
//!          ◀ text ──                               (owner) ◀─ reports ─  ─▶ Network or line, flash
//! ```
#![no_std]

mod board;
#[cfg(feature = "native")]
mod capabilities;
mod command;
mod console;
mod desk;
#[cfg(feature = "native")]
mod light;
#[cfg(feature = "missy")]
mod missy;
#[cfg(feature = "native")]
mod native;
mod node;
mod readings;
mod settings;
mod words;

pub use board::{Board, Network, Pin};
pub use embedded_io_async::ErrorKind;
pub use handfast_core::Instant;
pub use handfast_edge::ports::{Clock, Stream};
pub use node::{Space, run};
