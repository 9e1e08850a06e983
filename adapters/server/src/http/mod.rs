//! HTTP: the operator's API, the sessions' API, bearers, and their access control.
//!
//! The routes call the methods in `operator`, and hold no state of their own. `listen::router` puts
//! them together.

pub mod admin;
pub mod bearer;
pub(crate) mod login;
pub(crate) mod page;
pub(crate) mod phone;
#[cfg(feature = "tls")]
pub(crate) mod revocation_lists;
#[cfg(not(feature = "tls"))]
#[path = "no_revocation_lists.rs"]
pub(crate) mod revocation_lists;
pub(crate) mod session_api;
