//! The doors: one machine a file, one file a role.

pub mod native;
pub mod registration;
