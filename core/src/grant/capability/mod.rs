//! Capability tokens: chains of signed blocks, each bound to the keys of its holder. The gateway
//! issues the first block; a holder delegates further offline, and only within its own rights. A
//! stolen capability token is useless: it counts only on a channel whose static key is the leaf
//! holder's.
//!
//! A block is written by postcard, and its signature covers the written bytes. Postcard accepts some
//! other bytes for the same values, so a block that is read is written again and compared before
//! its signature is checked: each block has one form, and one id.

mod block;
mod chain;
mod verify;

pub use block::{Block, BlockTerms, Holder, Id};
pub use chain::{Chain, PREFIX, issue};
pub use verify::{Authorised, Check, Held, verify};

use crate::error::Undecodable;

/// A defect of a capability token's bytes or text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MalformedToken {
    /// The text does not begin with [`PREFIX`].
    Version,
    /// The text is not canonical base64url without padding.
    Base64,
    /// The token is longer than [`crate::limits::CAPABILITY_CHARS`] or
    /// [`crate::limits::CAPABILITY_BYTES`].
    TooLong,
    /// The chain has no block, or more than [`crate::limits::CAPABILITY_DEPTH`].
    Depth,
    /// The bytes end too early.
    Truncated,
    /// Bytes follow the last block.
    Trailing,
    /// A number is not in its shortest form, or is too large.
    Number,
    /// A field holds a value that it does not allow: a public key, a scope or an audience that is
    /// none, or too many scopes.
    Value,
    /// A block ends before it begins.
    Life,
}

impl From<postcard::Error> for MalformedToken {
    fn from(error: postcard::Error) -> Self {
        match Undecodable::from(error) {
            Undecodable::Truncated => Self::Truncated,
            Undecodable::Trailing => Self::Trailing,
            Undecodable::TooLong => Self::TooLong,
            Undecodable::Number => Self::Number,
            Undecodable::Value => Self::Value,
        }
    }
}

/// A right of a block that its parent does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Widening {
    /// A scope lies within none of the parent's.
    Scopes,
    /// The block begins earlier or ends later than the parent.
    Life,
    /// The audience differs from the parent's, or is missing where the parent has one.
    Audience,
}

/// The reason for not issuing or attenuating a capability token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CannotIssue {
    /// The key is not that of the leaf's holder.
    NotTheHolder,
    /// The terms are wider than the leaf's.
    Wider(Widening),
    /// The terms end before they begin.
    NeverInForce,
    /// The chain would have more than [`crate::limits::CAPABILITY_DEPTH`] blocks.
    TooDeep,
    /// The chain would have more than [`crate::limits::CAPABILITY_BYTES`].
    TooLong,
}

/// The reason for denying a capability token. It is for logs; a peer learns only that it is
/// refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Denied {
    /// The root block does not name this gateway's key as its issuer.
    OtherIssuer,
    /// The channel's static key is not the leaf's holder.
    NotTheHolder,
    /// The validity has not begun.
    NotYet,
    /// The validity has ended.
    Expired,
    /// The token is for another audience.
    OtherAudience,
    /// A block names a parent that is not the one above it.
    Detached,
    /// A block is wider than its parent.
    Wider(Widening),
    /// A block is not signed by the gateway or by its parent's holder.
    Signature,
    /// A block or one of its holders was revoked.
    Revoked,
}
