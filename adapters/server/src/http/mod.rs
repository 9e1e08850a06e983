//! HTTP: the operator's API, that of sessions and bearers, and who may call them.

pub mod admin;
pub mod bearer;
pub(crate) mod session_api;
