//! The token of a companion's session: 256 bits, 43 characters, kept only as its hash.

use subtle::ConstantTimeEq;

use crate::crypto::{labels, sha256};
pub use crate::wire::token::Token;

/// What the registry keeps of a session's token, and finds it by: SHA-256 over a label and its 43
/// characters. With 256 random bits in them, nobody finds the characters from their hash, so this
/// need not be slow.
#[derive(Clone, Copy)]
pub struct SessionHash([u8; 32]);

impl SessionHash {
    /// Of a token.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        Self(sha256::hash_parts(labels::SESSION, &[token.expose().as_bytes()]))
    }

    /// From the 32 bytes a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SessionHash {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SessionHash {}

impl core::fmt::Debug for SessionHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SessionHash(redacted)")
    }
}
