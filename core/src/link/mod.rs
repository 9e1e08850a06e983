//! The link: a connection after authentication.

pub mod board;
pub mod channel;
pub mod dispatch;
pub mod gateway;
pub mod keepalive;
pub mod node;
pub mod renewal;
