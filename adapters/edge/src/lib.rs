//! Drives a node where there is no operating system: over embedded-io-async, without an allocator.
//! There are two wires with one driver loop, and an image that runs only one wire links nothing of
//! the other:
//!
//! - [`native`]: the sealed wire over any byte stream, [`handfast_core::flow::native::node::Node`];
//! - [`registration`]: the `missy` dialect over WebSockets,
//!   [`handfast_core::flow::registration::node::RegistrationNode`].
//!
//! ```text
//!  owner ──commands──▶ ┌────────┐ ──opens──▶ Opener ──▶ Carrier        whole messages;
//!        ◀──reports─── │ driver │            on the native wire: native::Framed
//!                      │        │            websocket::Client ──▶ websocket::Socket
//!  Clock, Sensors ───▶ │        │                 │ over a Connector's Stream (TCP, UART, …)
//!  CryptoRng ────────▶ └────────┘ ──Memory──▶ Keep (Flash in registration::memory or
//!                                                   native::memory)
//! ```
//!
//! Whole nodes that run as they stand are the examples of [`native`] (PIN, code, setup code) and of
//! [`registration`] (token); [`native::Capabilities`] shows what an operator may have a node do, and
//! `native::Certificates` its certificate. A board that has no drivers yet begins with
//! [`prototype`] and [`random`]; with the feature `embassy`, `embassy` has its clock and its TCP.
//!
//! [`pages`] keeps a firmware's own records in flash as safely as this crate keeps its own.
//!
//! [`registration::driver::run`] (and [`native::run`]) carries out the machine's effects and feeds
//! events back. It retries every failure: only [`ports::Command::Stop`] ends it, and dropping it at
//! any await is as harmless as a power cut. A board implements the traits in [`ports`] and passes
//! them in [`registration::driver::RegistrationPorts`]; [`blocking`] adapts boards with blocking
//! input and output.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::wildcard_enum_match_arm)
)]
// One thread polls everything on the targets of this crate, so no future needs a Send bound.
#![allow(async_fn_in_trait)]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod blocking;
mod driver;
#[cfg(feature = "embassy")]
pub mod embassy;
mod error;
pub mod native;
pub mod pages;
pub mod ports;
pub mod prototype;
pub mod random;
pub mod registration;
pub(crate) mod select;
pub mod transport;
pub mod websocket;
mod words;
pub(crate) mod write_buffer;
