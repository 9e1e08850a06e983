//! What every bare-metal board of this workspace needs.

#![no_std]

pub mod register;
pub mod stack;
