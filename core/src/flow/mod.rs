//! The flows: one machine per file, one file per role.

pub mod identity;
pub mod inbound;
pub mod native;
pub mod provisioning;
pub mod registration;
pub mod setup_code;
