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
/// Precedes nothing but the version in the prologue of a handshake that provisions a node.
pub const PROVISIONING_PROLOGUE: &[u8] = b"handfast/v1/provisioning\0";
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
/// Precedes the channel's hash and the certificate request in the signed content of a renewal.
pub const RENEW_CERTIFICATE: &[u8] = b"handfast/v1/renew-certificate\0";
/// Precedes the channel's hash in the signature by which a node identifies itself over TLS.
pub const IDENTIFY: &[u8] = b"handfast/v1/identify\0";
/// Precedes the token in the hash by which a companion's session is found.
pub const SESSION: &[u8] = b"handfast/v1/session\0";
/// Precedes a gateway's static key in the tag that is the key for setup codes bound to it.
pub const BOUND_SETUP_CODE: &[u8] = b"handfast/v1/bound-setup-code\0";
/// Precedes id and secret of a provisioning token in its stored hash.
pub const PROVISIONING_TOKEN: &[u8] = b"handfast/v1/provisioning-token\0";
/// Precedes id and secret of the key with which a provisioned node authenticates over HTTP.
pub const NODE_KEY: &[u8] = b"handfast/v1/node-key\0";
/// Precedes id and secret of an operator's session in its stored hash.
pub const OPERATOR_SESSION: &[u8] = b"handfast/v1/operator-session\0";
/// Precedes id and secret of an operator's token in its stored hash.
pub const OPERATOR_TOKEN: &[u8] = b"handfast/v1/operator-token\0";
/// Precedes id and secret of an operator's session in its CSRF token.
pub const CSRF_TOKEN: &[u8] = b"handfast/v1/csrf-token\0";
/// Precedes the secret of a login link in its stored hash.
pub const LOGIN_LINK: &[u8] = b"handfast/v1/login-link\0";
/// Precedes selector and secret of a code in the proof of it that a link's page shows its gateway.
pub const LINK_PROOF: &[u8] = b"handfast/v1/link-proof\0";
/// Precedes the bytes of a compact certificate in its signature.
pub const COMPACT_CERTIFICATE: &[u8] = b"handfast/v1/compact-certificate\0";
/// Precedes the static key and the counter in the tag of a node's clone mark.
pub const CLONE_MARK: &[u8] = b"handfast/v1/clone-mark\0";
/// Precedes nothing in the derivation of the name by which a registry's gateways find each other on a
/// bus.
pub const BUS_NAME: &[u8] = b"handfast/v1/bus-name\0";
/// Precedes the random name of a gateway's run in the key that seals its messages to other gateways,
/// and their receiver in what is sealed.
pub const BUS_MESSAGE: &[u8] = b"handfast/v1/bus-message\0";
/// Precedes the fields of a request in the hash of what an operator was shown.
pub const SEEN: &[u8] = b"handfast/v1/seen\0";
/// Precedes random bytes and a sender's name in the hash by which the audit log refers to it.
pub const AUDIT_SENDER: &[u8] = b"handfast/v1/audit-sender\0";
/// The beginning of the first line of a checkpoint of an audit log. The gateway's fingerprint
/// follows, and the whole text is signed: no other signature begins like this.
pub const AUDIT_CHECKPOINT: &str = "handfast/v1/audit/";
