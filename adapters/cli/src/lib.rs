//! Parts of the `handfast` command that its tests use too.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod config;
pub mod qemu;
