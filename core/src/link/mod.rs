//! The link: a connection after authentication.

pub mod channel;
pub mod gateway;
pub mod keepalive;
pub mod node;
