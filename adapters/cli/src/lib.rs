//! Pieces of the `handfast` command that its tests use too.

pub mod qemu;
