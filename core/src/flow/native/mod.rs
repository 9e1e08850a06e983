//! The native flow: a sealed channel that carries pairing by approval, PIN or code, or a link.
//!
//! [`crate::wire::native`] defines the messages and their order. Each role is one machine for all
//! of it: [`gateway::NativeConnection`] is one connection, [`node::Node`] a node for as long as it
//! runs. [`settle`] decides about requests to pair. Frames go in and out whole; the adapter cuts
//! them out of WebSockets or byte streams.

pub mod found;
pub mod gateway;
pub mod node;
pub mod settle;
