//! Keys of the gateway itself: files, rotation, and the seal of stored secrets.

pub mod file;
pub(crate) mod seal;
pub(crate) mod setup;
