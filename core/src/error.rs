//! Errors by blame. They are small and hold no text; a peer learns only a coarse code.

/// A defect of a frame in a JSON dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Malformed {
    /// The frame is not JSON, or is nested deeper than [`crate::limits::JSON_DEPTH`].
    Json,
    /// The frame is JSON but not an object.
    NotAnObject,
    /// A field has the wrong type, length or characters.
    Field(Field),
}

/// A field of a message in the `missy` dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Field {
    /// `friendly_name`
    FriendlyName,
    /// `room`
    Room,
    /// `hardware_profile`
    HardwareProfile,
    /// `node_id`
    NodeId,
    /// `token`
    Token,
    /// `occupancy`
    Occupancy,
    /// `noise_level`
    NoiseLevel,
    /// `wake_word_fp`
    WakeWordFp,
    /// `reason`
    Reason,
    /// `message`
    Message,
}

/// A defect of a message on the native wire. It is separate from [`Malformed`], which is about
/// JSON, because neither reader can meet the other's defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Undecodable {
    /// The message ends too early.
    Truncated,
    /// Bytes follow the end of the message.
    Trailing,
    /// The message is longer than [`crate::limits::PLAINTEXT_BYTES`].
    TooLong,
    /// A number is too large for its field.
    Number,
    /// A value is not allowed in its field: a message or choice that this version does not know, a
    /// text that is not UTF-8 or breaks the rules of its kind, too few or too many bytes, a public
    /// key that is none.
    Value,
}

impl From<postcard::Error> for Undecodable {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "postcard's list of errors grows; our own types report only values"
    )]
    fn from(error: postcard::Error) -> Self {
        match error {
            postcard::Error::DeserializeUnexpectedEnd => Self::Truncated,
            postcard::Error::DeserializeBadVarint => Self::Number,
            _ => Self::Value,
        }
    }
}

/// The reason for declining a decision or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// The node does not exist, was revoked, or presented a token that is not its own.
    InvalidCredentials,
    /// The node's request still waits for the operator.
    NotApproved,
    /// The operator muted the node.
    Muted,
    /// The node is paired already.
    AlreadyPaired,
    /// The node was revoked; that is final.
    Revoked,
    /// The node is not paired, so there is nothing to mute or to re-issue.
    NotPaired,
    /// The node authenticates with its keys, so it has no token to replace.
    NoToken,
    /// The pending request expired before a decision.
    Expired,
    /// The operator rejected the last request of the same key; it may ask again after `wait`.
    Rejected {
        /// The time that remains.
        wait: crate::time::Span,
    },
    /// The operator rejected a request of the same key permanently.
    Barred,
    /// The maximum number of pending requests is reached.
    TooManyPending,
    /// Too many failed attempts came from this source, or too many tokens wait to be hashed.
    RateLimited,
    /// No connection slot is free.
    AtCapacity,
    /// The expiry depends on a jump of the gateway's clock that is in doubt; until the doubt is
    /// settled, the object is neither valid nor expired.
    ClockInDoubt,
    /// The store failed to make the decision durable.
    StoreFailed,
}
