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
mod entropy;
mod error;
mod id;
pub mod limits;
pub mod secret;
pub mod serial;
mod step;
mod text;
mod time;

pub use entropy::Entropy;
pub use error::{Field, Malformed, Refusal, Undecodable};
pub use id::{NODE_ID_TEXT, NodeId, NodeIdText, NotAnId, Source};
pub use step::{Effects, MAX_EFFECTS, Machine};
pub use text::{Label, Name};
pub use time::{DeadlineReason, Instant, Span, UnixTime, rfc3339};

pub mod crypto;
pub mod wire;

pub mod grant;

pub mod registry;

pub mod flow;
pub mod link;
