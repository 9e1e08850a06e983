//! Pairing policy: settings, rules, and the embedder's handler.

pub(crate) mod handler;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod settings;
pub(crate) mod setup_settings;
