//! Grants: what pairing yields. Made once, checked at every use; that a check succeeded is a value
//! only the check can make.

pub mod capability;
pub mod scope;
pub mod session;
pub mod setup_code;
pub mod token;
