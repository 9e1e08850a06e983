//! Pieces of the `handfast` command that its tests use too.

pub mod config;
pub mod qemu;
pub mod qr;
