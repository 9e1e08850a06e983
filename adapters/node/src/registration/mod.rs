//! Registration: a node of the `missy` dialect over WebSockets.

pub(crate) mod config;
pub(crate) mod driver;
mod owned_messages;
pub(crate) mod record;
pub(crate) mod token_source;
