//! The flows: one folder each, with its effects and its context.

pub(crate) mod native;
pub(crate) mod registration;
pub(crate) mod setup_code;
