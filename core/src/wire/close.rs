//! How a WebSocket connection ends (RFC 6455, section 7.4).

/// A close code and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Close {
    /// The code: 1000 done, 1008 policy, 1009 too big, 1011 our fault, 1013 try again later.
    pub code: u16,
    /// The text, which never holds anything a peer sent.
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
    /// The node is known now and waits for the operator.
    PAIRING_PENDING = 1000 "Pairing pending";
    /// We go away on purpose.
    GOODBYE = 1000 "";
    /// The gateway shuts down.
    SHUTTING_DOWN = 1001 "Server is shutting down";
    /// Wrong token, unknown or unapproved node.
    AUTHENTICATION_FAILED = 1008 "Authentication failed";
    /// No first message in time.
    AUTHENTICATION_TIMEOUT = 1008 "Authentication timeout";
    /// The operator muted the node.
    MUTED = 1008 "Node is muted";
    /// A binary frame came first.
    BINARY_FIRST = 1008 "First frame must be JSON auth or pair_request";
    /// The first frame is no JSON.
    MALFORMED_JSON = 1008 "Malformed JSON";
    /// The first message is none that may come first, or is wrong in itself.
    PROTOCOL_VIOLATION = 1008 "Protocol violation";
    /// The same node authenticated on a newer connection.
    REPLACED = 1008 "Replaced by a newer connection";
    /// The companion's code or session lets nobody in.
    NOT_LET_IN = 1008 "Not let in";
    /// The companion's session was revoked, or its time is over.
    SESSION_ENDED = 1008 "Session ended";
    /// A text frame that is not UTF-8.
    INVALID_TEXT = 1007 "Text is not UTF-8";
    /// Broke the rules of WebSocket itself.
    WEBSOCKET_RULES = 1002 "Protocol error";
    /// A frame over the limit.
    TOO_BIG = 1009 "Message too big";
    /// The store failed.
    INTERNAL = 1011 "Internal error";
    /// The peer did not answer a ping.
    PING_TIMEOUT = 1011 "Keepalive ping timeout";
    /// The operator turned the node's request down.
    TURNED_DOWN = 1008 "Request turned down";
    /// No room for another connection or request.
    AT_CAPACITY = 1013 "Server at capacity";
    /// Too many failed attempts, or too many tokens waiting to be hashed.
    RATE_LIMITED = 1013 "Too many attempts, try again later";
}
