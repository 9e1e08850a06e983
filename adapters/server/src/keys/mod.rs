//! The gateway's own keys: files, rotation, and the seal of stored secrets.
//!
//! These modules use only core and the store. The gateway opens the keys when it starts.

pub mod file;
pub(crate) mod seal;
pub(crate) mod setup;

pub use setup::{KEY_FILE, PREVIOUS_KEY_FILE, SetupKeyError};
