//! Every domain-separation constant, so that no two uses of a key or a hash can be confused.

/// Precedes the request in the hash that finds an identical pending request again.
pub const PENDING_REQUEST: &[u8] = b"handfast/v1/pending-request\0";
/// Precedes the key in the hash that finds the pending entry of a node with keys.
pub const PENDING_KEY: &[u8] = b"handfast/v1/pending-key\0";
/// Precedes the token in the tag by which a process recognises it.
pub const PROVEN_TOKEN: &[u8] = b"handfast/v1/proven-token\0";
/// Precedes the static key in a fingerprint.
pub const FINGERPRINT: &[u8] = b"handfast/v1/fingerprint\0";
/// Precedes the bytes of `Open` in the prologue of a Noise handshake.
pub const PROLOGUE: &[u8] = b"handfast/v1/prologue\0";
/// The first part of CPace's channel identifier. Its length precedes it, so it needs no terminator.
pub const CPACE: &[u8] = b"handfast/v1/cpace";
/// Precedes the bytes of a block in the signature of a capability token.
pub const CAPABILITY: &[u8] = b"handfast/v1/capability\0";
/// Precedes a signed block in the hash that is its id.
pub const CAPABILITY_ID: &[u8] = b"handfast/v1/capability-id\0";
/// Precedes the gateway's Ed25519 key in the hash by which a capability token names its issuer.
pub const CAPABILITY_ISSUER: &[u8] = b"handfast/v1/capability-issuer\0";
/// Precedes the handshake hash and the digest in the signed content of an `Ask`.
pub const ASK: &[u8] = b"handfast/v1/ask\0";
/// Precedes the token in the hash by which a companion's session is found.
pub const SESSION: &[u8] = b"handfast/v1/session\0";
