//! The bearer token of the `missy` dialect: issued, hashed for storage, verified, and recognised
//! again without hashing.
//!
//! # Example
//!
//! ```
//! use handfast_core::grant::token::{HashJob, ProofKey, Token, issue, verify};
//! use handfast_core::{Entropy, NodeId};
//!
//! let node_id = NodeId::new(&Entropy::from_recorded([7; 16]));
//! // Issued once, shown once: the registry stores the hash alone.
//! let token = issue(&Entropy::from_recorded([1; 32])).expect("one in 64 is drawn again");
//! let shown = Token::parse(token.expose()).expect("as its owner types it");
//! let stored = HashJob { node_id, token }.run().hash;
//!
//! // A node presents a token: its hash is computed, and compared in constant time.
//! let presented = HashJob { node_id, token: shown }.run();
//! let verified = verify(Some(&stored), &presented.hash).expect("it is the node's own");
//! assert!(verified.holds_for(&stored));
//!
//! // The same process recognises it the next time without hashing.
//! let key = ProofKey::new(&Entropy::from_recorded([2; 32]));
//! let kept = key.tag(node_id, &stored, &presented.token);
//! let again = key.tag(node_id, &stored, &presented.token);
//! assert!(ProofKey::recognise(&stored, &again, &kept).is_some());
//! ```

use super::stored_hash::stored_hash;
use crate::crypto::{base64url, hmac_sha256, labels, pbkdf2_sha256};
use crate::entropy::Entropy;
use crate::id::NodeId;
use crate::limits::PBKDF2_ITERATIONS;
use crate::secret::Secret;
pub use crate::wire::token::Token;

/// Makes a token of 256 bits. Returns `None` for the one in 64 that would begin with `-`, which
/// command lines take for an option; the caller draws again.
#[must_use]
pub fn issue(entropy: &Entropy<32>) -> Option<Token> {
    let chars = base64url::encode_32(entropy.expose());
    // A command line would take a leading dash for an option.
    (!chars.starts_with(b"-")).then(|| Token::from_chars(chars))
}

stored_hash! {
    /// The stored form of a token: PBKDF2-HMAC-SHA256 over its 43 characters, salted with the text
    /// of the node id, 100 000 iterations, 32 bytes. It is the form of the `missy` dialect, so that
    /// its registries can be imported. Its bytes allow guesses to be tested, so they go nowhere but
    /// to the store.
    #[derive(Clone)]
    TokenHash
}

/// A token that waits to be hashed. Hashing is the one costly computation of this crate, so an
/// adapter takes this value to a bounded pool.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HashJob {
    /// The node that claims the token; its id salts the hash.
    pub node_id: NodeId,
    /// The token to hash.
    pub token: Token,
}

impl HashJob {
    /// Computes the hash: 100 000 iterations, about 15 ms of a server core.
    #[must_use]
    pub fn run(self) -> Hashed {
        // The dialect salts with the id's text, and imported hashes were made so.
        let salt = self.node_id.text();
        let derived = pbkdf2_sha256::derive(
            self.token.expose().as_bytes(),
            salt.as_str().as_bytes(),
            PBKDF2_ITERATIONS,
        );
        Hashed { hash: TokenHash(*derived.expose()), token: self.token }
    }
}

/// A token and its hash, the result of a [`HashJob`].
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Hashed {
    /// The token that was hashed.
    pub token: Token,
    /// The hash of the token.
    pub hash: TokenHash,
}

/// Proof that the token of the contained stored hash was presented. Only verifying makes it.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Verified(TokenHash);

impl Verified {
    /// Returns `true` if `stored`, which may have changed since, is still the verified hash.
    #[must_use]
    pub fn holds_for(&self, stored: &TokenHash) -> bool {
        self.0 == *stored
    }
}

/// Compares a computed hash with the stored one, in constant time. Without a stored one (an unknown
/// node) the result is `None` after the same work.
#[must_use]
pub fn verify(stored: Option<&TokenHash>, computed: &TokenHash) -> Option<Verified> {
    // A stand-in keeps the time equal for unknown nodes, and `&` does not short-circuit.
    let nobodys = TokenHash([0; 32]);
    let equal = *stored.unwrap_or(&nobodys) == *computed;
    (equal & stored.is_some()).then(|| Verified(computed.clone()))
}

/// The key by which one process recognises tokens that it has verified before. It never leaves the
/// process.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProofKey(Secret<32>);

impl ProofKey {
    /// Makes a fresh key.
    #[must_use]
    pub fn new(entropy: &Entropy<32>) -> Self {
        Self(Secret::new(*entropy.expose()))
    }

    /// Computes the tag that recognises a token. It covers the stored hash, so a re-issued token
    /// makes earlier tags void.
    #[must_use]
    pub fn tag(&self, node_id: NodeId, stored: &TokenHash, token: &Token) -> ProofTag {
        let parts: [&[u8]; 3] = [node_id.as_bytes(), stored.as_bytes(), token.expose().as_bytes()];
        ProofTag(hmac_sha256::tag_parts(&self.0, labels::PROVEN_TOKEN, &parts))
    }

    /// Compares a tag in constant time with the one kept after the last verification.
    #[must_use]
    pub fn recognise(stored: &TokenHash, tag: &ProofTag, kept: &ProofTag) -> Option<Verified> {
        (tag == kept).then(|| Verified(stored.clone()))
    }
}

/// HMAC-SHA256 over node, stored hash and token, under the [`ProofKey`] of one process.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProofTag(Secret<32>);

impl ProofTag {
    /// Copies the tag for the cache of verified tokens; it is useless outside this process.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Secret::new(*self.0.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
    const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    const HASH: &str = "bf2eb2b4ebe1ff9da42988c31ddc553050e2870f8a9e935f94218e75693e97a3";

    fn job(token: &str) -> HashJob {
        HashJob { node_id: NodeId::parse(ID).unwrap(), token: Token::parse(token).unwrap() }
    }

    #[test]
    fn the_hash_is_that_of_the_dialects_check_vector() {
        let hex: std::string::String =
            job(TOKEN).run().hash.as_bytes().iter().map(|b| std::format!("{b:02x}")).collect();
        assert_eq!(hex, HASH);
    }

    #[test]
    fn a_token_verifies_against_its_own_hash_and_no_other() {
        let right = job(TOKEN).run().hash;
        let wrong = job("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").run().hash;
        assert!(verify(Some(&right), &right).unwrap().holds_for(&right));
        assert!(verify(Some(&right), &wrong).is_none());
        assert!(verify(None, &right).is_none());
        assert!(verify(None, &TokenHash([0; 32])).is_none());
    }

    #[test]
    fn a_tag_is_recognised_only_for_the_same_node_hash_and_token() {
        let key = ProofKey::new(&Entropy::from_recorded([1; 32]));
        let node = NodeId::parse(ID).unwrap();
        let (hash, other) = (TokenHash([5; 32]), TokenHash([6; 32]));
        let token = Token::parse(TOKEN).unwrap();
        let kept = key.tag(node, &hash, &token);
        assert!(ProofKey::recognise(&hash, &key.tag(node, &hash, &token), &kept).is_some());
        assert!(ProofKey::recognise(&other, &key.tag(node, &other, &token), &kept).is_none());
        let elsewhere = NodeId::from_bytes([0; 16]);
        assert!(ProofKey::recognise(&hash, &key.tag(elsewhere, &hash, &token), &kept).is_none());
    }

    #[test]
    fn no_token_begins_with_a_dash() {
        // 0b111110 in the first six bits is the dash.
        assert!(issue(&Entropy::from_recorded([0b1111_1000; 32])).is_none());
        assert!(issue(&Entropy::from_recorded([0b1111_0000; 32])).is_some());
    }
}
