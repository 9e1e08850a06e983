//! Close codes and reasons of WebSocket connections (RFC 6455, section 7.4).

/// A close code and its reason text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Close {
    /// The code: 1000 done, 1001 going away, 1002 protocol error, 1007 invalid text, 1008 policy,
    /// 1009 too big, 1011 internal error, 1013 try again later.
    pub code: u16,
    /// The reason text, which never holds anything that a peer sent.
    pub reason: &'static str,
}

macro_rules! closes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Close {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, reason: $reason };)*
        }
    };
}

closes! {
    /// The node's request is stored and waits for the operator.
    PAIRING_PENDING = 1000 "Pairing pending";
    /// This side ends the connection on purpose.
    GOODBYE = 1000 "";
    /// The gateway shuts down.
    SHUTTING_DOWN = 1001 "Server is shutting down";
    /// The token is wrong, or the node is unknown or not approved.
    AUTHENTICATION_FAILED = 1008 "Authentication failed";
    /// No first message came in time.
    AUTHENTICATION_TIMEOUT = 1008 "Authentication timeout";
    /// The operator muted the node.
    MUTED = 1008 "Node is muted";
    /// A binary frame came first.
    BINARY_FIRST = 1008 "First frame must be JSON auth or pair_request";
    /// The first frame is not JSON.
    MALFORMED_JSON = 1008 "Malformed JSON";
    /// The first message is of a type that may not come first, or is malformed.
    PROTOCOL_VIOLATION = 1008 "Protocol violation";
    /// The same node authenticated on a newer connection.
    REPLACED = 1008 "Replaced by a newer connection";
    /// The companion's code or session is not valid.
    NOT_LET_IN = 1008 "Not let in";
    /// The companion's session was revoked or has expired.
    SESSION_ENDED = 1008 "Session ended";
    /// A text frame is not UTF-8.
    INVALID_TEXT = 1007 "Text is not UTF-8";
    /// The peer broke the rules of WebSocket itself.
    WEBSOCKET_RULES = 1002 "Protocol error";
    /// A frame is longer than the limit.
    TOO_BIG = 1009 "Message too big";
    /// The store failed.
    INTERNAL = 1011 "Internal error";
    /// The peer did not answer a ping.
    PING_TIMEOUT = 1011 "Keepalive ping timeout";
    /// The operator rejected the node's request.
    TURNED_DOWN = 1008 "Request turned down";
    /// No connection slot or pending request is free.
    AT_CAPACITY = 1013 "Server at capacity";
    /// Too many attempts failed, or too many tokens wait to be hashed.
    RATE_LIMITED = 1013 "Too many attempts, try again later";
    /// The gateway has lost its registry, and another one may have it.
    CUT_OFF = 1013 "Gateway is cut off from its registry";
}
