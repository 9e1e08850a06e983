//! Nodes that are registered by a token, with gateways that know nothing else.

pub(crate) mod pair;
pub(crate) mod run;
pub(crate) mod status;
