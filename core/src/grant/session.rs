//! The token of a companion's session: 256 bits, 43 characters, stored only as its hash.

use super::stored_hash::stored_hash;
use crate::crypto::{labels, sha256};
pub use crate::wire::token::Token;

stored_hash! {
    /// The stored form of a session's token, and its key in the registry: SHA-256 over a label and
    /// the 43 characters. They hold 256 random bits, so a fast hash suffices.
    #[derive(Clone, Copy)]
    SessionHash
}

impl SessionHash {
    /// Hashes a token.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        Self(sha256::hash_parts(labels::SESSION, &[token.expose().as_bytes()]))
    }
}
