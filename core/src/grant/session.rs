//! The token of a companion's session: 256 bits, 43 characters, stored only as its hash.

use subtle::ConstantTimeEq;

use crate::crypto::{labels, sha256};
pub use crate::wire::token::Token;

/// The stored form of a session's token, and its key in the registry: SHA-256 over a label and the
/// 43 characters. They hold 256 random bits, so a fast hash suffices.
#[derive(Clone, Copy)]
pub struct SessionHash([u8; 32]);

impl SessionHash {
    /// Hashes a token.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        Self(sha256::hash_parts(labels::SESSION, &[token.expose().as_bytes()]))
    }

    /// Restores a hash from the 32 bytes in a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SessionHash {
    /// Compares in constant time.
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
