//! Code shared by the bare-metal boards of this workspace.

#![no_std]

pub mod measure;
pub mod memory;
pub mod register;
pub mod stack;
