//! Bytes to messages and back. Parsing is total: every input gives a message or a typed error, and
//! a parsed message cannot hold illegal values.

pub mod announcement;
pub mod close;
pub mod companion;
pub mod forwarded;
pub mod frame;
pub mod gateway_address;
pub mod gateway_addresses;
pub mod invite;
pub mod json;
pub mod json_write;
pub mod local_host;
pub mod missy;
pub mod native;
pub mod path;
pub mod phone_link;
pub mod provisioning;
pub mod registration;
pub mod setup;
pub mod token;
