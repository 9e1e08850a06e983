//! Every domain-separation constant, so that no two uses of a key or a hash can be taken for each other.

/// Key of the pending entry that an identical request finds again.
pub const PENDING_REQUEST: &[u8] = b"handfast/v1/pending-request\0";
/// Tag of a token that was proven to this process.
pub const PROVEN_TOKEN: &[u8] = b"handfast/v1/proven-token\0";
