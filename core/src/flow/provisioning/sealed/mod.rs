//! The secure mode of provisioning: a phone proves that its owner holds the node's label, and calls
//! the node's API over a sealed channel.
//!
//! [`node::SealedSetup`] is the node, [`phone::SealedPhone`] the phone. A proof that is printed has
//! 60 bits or more, so guesses are slowed down and never locked out.

pub mod guesses;
pub mod node;
pub mod phone;

#[cfg(test)]
mod tests;

use crate::id::opaque_id;

opaque_id! {
    /// The id of a sealed exchange, which only its phone knows.
    ExchangeHandle
}
