//! Errors by blame. They are small and hold no text; what a peer may learn of them is a coarse
//! code.

/// Who is to blame when a step or a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The bytes do not form a message.
    Malformed(Malformed),
    /// The message is well formed, but not allowed here.
    PeerMisbehaved(Misbehaviour),
    /// Understood, and declined.
    Refused(Refusal),
    /// The embedder broke the contract of a call; never a peer's doing.
    ApiMisuse(Misuse),
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Malformed {
    /// Not JSON at all, or nested too deep.
    Json,
    /// JSON, but no object.
    NotAnObject,
    /// A field has the wrong type, length or characters.
    Field(Field),
}

/// A field of a message.
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

/// What is wrong with a message of the native wire. Apart from [`Malformed`], which is JSON's:
/// neither reader can meet what the other does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Undecodable {
    /// It ends too early.
    Truncated,
    /// Something stands behind its end.
    Trailing,
    /// More than [`crate::limits::PLAINTEXT_BYTES`].
    TooLong,
    /// A number that is not in its shortest form, or too large for its field.
    Number,
    /// A message, choice, option or truth value that this version does not know.
    Unknown,
    /// Bytes that are too few or too many for their field.
    Length,
    /// Text that is no UTF-8, or that its field does not allow: a label, a path, a name, a reason,
    /// a profile.
    Text,
    /// A public key that is none, or not in its only form.
    Key,
}

/// What a peer did that it may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Misbehaviour {
    /// The first frame was binary.
    BinaryFirst,
    /// The first message was neither a pairing request nor an authentication.
    WrongFirstMessage,
    /// Nothing came in time.
    Silent,
}

/// Why a decision or a request was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// No such node, or it was revoked, or the token is not its token.
    InvalidCredentials,
    /// The node waits for the operator.
    NotApproved,
    /// The operator muted the node.
    Muted,
    /// The node is paired already.
    AlreadyPaired,
    /// The node was revoked; that is final.
    Revoked,
    /// The node is not paired, so there is nothing to mute or to re-issue.
    NotPaired,
    /// The node proves itself with its keys: it has no token that another could replace.
    NoToken,
    /// The pending request ran out before anybody decided.
    Expired,
    /// The operator turned the last request of the same key down; it may ask again after this.
    Rejected {
        /// How long.
        wait: crate::time::Span,
    },
    /// The operator turned a request of the same key down for good.
    Barred,
    /// Too many requests wait already.
    TooManyPending,
    /// Too many failed attempts from this source, or too many tokens waiting to be hashed.
    RateLimited,
    /// No room for another connection.
    AtCapacity,
    /// It would be over only by a jump of the gateway's clock that is in doubt; until that is
    /// settled it counts for nothing.
    ClockInDoubt,
    /// The store could not make it durable.
    StoreFailed,
}

/// How an embedder broke the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Misuse {
    /// The scratch buffer is smaller than [`crate::limits::SCRATCH`].
    ScratchTooSmall,
    /// An input that answers nothing the machine asked for.
    UnexpectedInput,
}
