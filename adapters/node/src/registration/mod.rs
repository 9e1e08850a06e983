//! Registration: a node of the `missy` dialect over WebSockets.

pub(crate) mod config;
mod context;
mod effects;
mod link;
pub(crate) mod node;
pub(crate) mod record;
pub(crate) mod token_source;
