//! The native wire: a sealed channel, and in it pairing by approval, PIN or code, or a link.
//!
//! Messages and their order are [`crate::wire::native`]'s. Both roles are one machine for all of
//! it: [`gateway::Connection`] is one connection, [`node::Node`] a node for as long as it runs.
//! Frames go in and out whole; what cuts them out of WebSockets or byte streams is the adapter's.

pub mod gateway;
pub mod node;
