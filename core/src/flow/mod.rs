//! The doors: one machine a file, one file a role.

pub mod inbound;
pub mod native;
pub mod registration;
pub mod setup_code;
