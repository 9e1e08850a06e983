//! Every domain-separation constant, so that no two uses of a key or a hash can be taken for each
//! other.

/// Key of the pending entry that an identical request finds again.
pub const PENDING_REQUEST: &[u8] = b"handfast/v1/pending-request\0";
/// Key of the pending entry of a node that has keys.
pub const PENDING_KEY: &[u8] = b"handfast/v1/pending-key\0";
/// Tag of a token that was proven to this process.
pub const PROVEN_TOKEN: &[u8] = b"handfast/v1/proven-token\0";
/// Before the static key in a fingerprint.
pub const FINGERPRINT: &[u8] = b"handfast/v1/fingerprint\0";
/// Before the bytes of `Open` in the prologue of a Noise handshake.
pub const PROLOGUE: &[u8] = b"handfast/v1/prologue\0";
/// First part of the channel identifier of CPace; its length goes before it, so it needs no end.
pub const CPACE: &[u8] = b"handfast/v1/cpace";
/// Before the bytes of a block in the signature of a capability.
pub const CAPABILITY: &[u8] = b"handfast/v1/capability\0";
/// Before a signed block in the hash that is its id.
pub const CAPABILITY_ID: &[u8] = b"handfast/v1/capability-id\0";
/// Before the gateway's Ed25519 key in the hash that a capability names its issuer by.
pub const CAPABILITY_ISSUER: &[u8] = b"handfast/v1/capability-issuer\0";
/// Before handshake hash and digest in what the signature of an `Ask` covers.
pub const ASK: &[u8] = b"handfast/v1/ask\0";
/// Before the token in the hash by which a companion's session is found.
pub const SESSION: &[u8] = b"handfast/v1/session\0";
