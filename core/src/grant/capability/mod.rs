//! Capabilities: chains of signed blocks, each bound to the keys of its holder. The gateway issues
//! the first, its holder delegates further without asking, and nobody can give more than they have.
//! A stolen one is no use: it counts only on a channel whose static key is the leaf's holder.

mod block;
mod chain;
mod codec;
mod verify;

pub use block::{Block, Holder, Id, Terms};
pub use chain::{Chain, PREFIX, issue};
pub use verify::{Authorised, Check, Held, verify};

use super::scope::ScopeError;

/// What is wrong with the bytes or the text of a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Malformed {
    /// It does not begin with [`PREFIX`].
    Version,
    /// Not base64url as it is written here.
    Base64,
    /// More than [`crate::limits::CAPABILITY_CHARS`] or [`crate::limits::CAPABILITY_BYTES`].
    TooLong,
    /// No block, or more than [`crate::limits::CAPABILITY_DEPTH`].
    Depth,
    /// It ends too early.
    Truncated,
    /// Something follows the last block.
    Trailing,
    /// A number that is not in its shortest form, or too large.
    Number,
    /// What is neither there nor missing.
    Option,
    /// A public key that is none.
    Key,
    /// A text that is no UTF-8, or no audience.
    Text,
    /// A scope that is none, or too many.
    Scope(ScopeError),
    /// It ends before it begins.
    Life,
}

/// What a block gives that its parent has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Widening {
    /// A scope that lies within none of the parent's.
    Scopes,
    /// It begins earlier or ends later.
    Life,
    /// Another audience, or none where the parent has one.
    Audience,
}

/// Why a capability is not issued or not attenuated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CannotIssue {
    /// The key is not that of the leaf's holder.
    NotTheHolder,
    /// The terms are wider than the leaf's.
    Wider(Widening),
    /// The terms end before they begin.
    NeverInForce,
    /// It would have more than [`crate::limits::CAPABILITY_DEPTH`] blocks.
    TooDeep,
    /// It would have more than [`crate::limits::CAPABILITY_BYTES`].
    TooLong,
}

/// Why a capability allows nothing. For logs; a peer learns only that it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Denied {
    /// Another gateway issued it, or nobody did.
    OtherIssuer,
    /// The channel's static key is not the leaf's holder.
    NotTheHolder,
    /// Its time has not come.
    NotYet,
    /// Its time is over.
    Expired,
    /// It counts elsewhere.
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
