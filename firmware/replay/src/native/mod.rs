//! Pairing by each method on the native wire, and the link after it, over a byte stream.
//!
//! ```text
//!  boot ─▶ make keys ─▶ connect ─▶ XX ─▶ Ask ─▶ PIN ─▶ CPace ─▶ keep ─▶ Stored ─▶ Active
//!       ─▶ connect ─▶ IK ─▶ heartbeat ─▶ stop
//! ```
//! The script is everything but the node: the gateway that plays back the recording, the owner who
//! types, the flash in RAM. [`script`](mod@script) uses it without a node, so that its weight is
//! known.

#[cfg(feature = "native")]
mod flow;
mod gateway;
mod owner;
#[cfg(feature = "script")]
mod script;

#[cfg(feature = "native")]
pub use flow::{Certificate, Flash, Keys, SCRIPT_STACK, Tasks, flow};
#[cfg(feature = "script")]
pub use script::{Flash, script};

include!("known.rs");
