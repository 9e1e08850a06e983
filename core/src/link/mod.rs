//! The link: what a connection is after authentication. The same on every door.

pub mod channel;
pub mod gateway;
pub mod keepalive;
pub mod node;
