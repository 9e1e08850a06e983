//! Pairing by PIN on the native wire, and the link after it, over a byte stream.
//!
//! ```text
//!  boot ─▶ make keys ─▶ connect ─▶ XX ─▶ Ask ─▶ PIN ─▶ CPace ─▶ keep ─▶ Stored ─▶ Active
//!       ─▶ connect ─▶ IK ─▶ heartbeat ─▶ stop
//! ```

mod flow;
mod gateway;

pub use flow::{Certificate, Flash, Keys, Tasks, flow};

include!("known.rs");
