//! Code shared by the bare-metal boards of this workspace.

#![no_std]

pub mod register;
pub mod stack;
