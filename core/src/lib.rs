#![doc = include_str!("../README.md")]
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::wildcard_enum_match_arm)
)]

#[cfg(test)]
extern crate std;

pub mod budget;
pub mod entropy;
pub mod error;
pub mod id;
pub mod limits;
pub mod secret;
pub mod serial;
pub mod step;
pub mod text;
pub mod time;

pub mod crypto;
pub mod wire;

pub mod grant;

pub mod registry;

pub mod flow;
pub mod link;
