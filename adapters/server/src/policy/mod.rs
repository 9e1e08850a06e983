//! Pairing policy: settings, rules, and the embedder's handler.
//!
//! The modules decide and validate; `pairing` and `operator` carry the decisions out.

pub(crate) mod handler;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod settings;
pub(crate) mod setup_settings;
