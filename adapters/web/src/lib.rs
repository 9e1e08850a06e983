#![doc = include_str!("../README.md")]
#![cfg_attr(target_arch = "wasm32", no_std)]
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
    not(feature = "node"),
    allow(dead_code, reason = "a node uses fields and answers that a phone does not")
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::float_cmp))]

#[cfg(not(any(feature = "node", feature = "phone")))]
compile_error!("handfast-web needs the feature `node` or `phone`");

#[cfg(target_arch = "wasm32")]
mod boundary;
#[cfg(feature = "node")]
mod call;
mod clock;
#[cfg(feature = "node")]
mod companion;
#[cfg(feature = "node")]
mod event;
mod fields;
mod instance;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
mod peers;
#[cfg(feature = "phone")]
mod phone;
#[cfg(feature = "phone")]
mod phone_call;
#[cfg(feature = "node")]
mod record;
mod reply;
#[cfg(feature = "node")]
mod texts;
#[cfg(feature = "node")]
mod token;

pub use instance::{INPUT_BYTES, Instance, OUTPUT_BYTES};
