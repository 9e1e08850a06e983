//! Errors that several modules return or wrap.

use handfast_core::wire::close::Close;

/// The reason for which a memory could not be loaded or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeepError {
    /// The flash driver reported an error.
    Flash,
    /// The bytes read back differ from the bytes written.
    Worn,
    /// Neither page is erased and neither holds a record: the flash was never formatted by this
    /// firmware, or it lost its content.
    Corrupted,
    /// The record has this version of the format, which this firmware does not read. It is left
    /// alone: the firmware that wrote it reads it, or the owner erases it.
    OtherVersion(u8),
    /// The record is of another kind, or its value is not allowed.
    Unreadable,
    /// The value to store is longer than a record.
    TooLong,
}

/// The rule that the place of some pages in a flash breaks. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GeometryError {
    /// The start is not the beginning of a page.
    Misaligned {
        /// The address where the pages were to begin.
        start: u32,
        /// Length of a page, which is what the flash erases at once.
        page: usize,
    },
    /// The pages end behind the flash.
    Outside {
        /// The address behind the pages.
        end: usize,
        /// Length of the flash.
        capacity: usize,
    },
    /// A record is not a whole number of words.
    Words {
        /// Length of a record.
        record: usize,
        /// Length of a word, which is what the flash reads or writes at once.
        word: usize,
    },
}

/// The part of a WebSocket's location that cannot be sent: it is empty, or holds a space or a
/// character outside printable ASCII, which could end its header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TargetError {
    /// The host with its port.
    Host,
    /// The path, which must also begin with `/`.
    Path,
}

/// The reason for which the upgrade failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum UpgradeError {
    /// The answer is not HTTP/1.1.
    NotHttp,
    /// The status is not 101.
    Status(u16),
    /// The server did not confirm `Upgrade: websocket`.
    NotWebSocket,
    /// `Sec-WebSocket-Accept` does not match the key, so the answer may belong to another request.
    WrongAccept,
    /// The server selected an extension or subprotocol that was never offered.
    Unasked,
    /// The answer is longer than 4096 bytes, or a relevant line is longer than 128.
    TooLong,
}

/// A violation of the protocol by the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Violation {
    /// A reserved bit is set, though no extension was agreed on.
    ReservedBit,
    /// The opcode is reserved.
    UnknownOpcode,
    /// A frame from the server is masked.
    Masked,
    /// A control frame is fragmented.
    FragmentedControl,
    /// A control frame has more than 125 bytes.
    LongControl,
    /// A length is not written in the shortest form, or is 2⁶³ or more.
    BadLength,
    /// A continuation frame without a message to continue.
    NothingToContinue,
    /// A new message begins before the last one is complete.
    Interrupted,
    /// A close frame with half a code, or with a code that must not be sent.
    BadClose,
    /// A text message or close reason is not UTF-8.
    NotText,
    /// A message is longer than the room for it.
    TooBig,
}

impl Violation {
    /// Returns the close frame that tells the peer of the violation.
    #[must_use]
    pub const fn close(self) -> Close {
        match self {
            Self::TooBig => Close::TOO_BIG,
            Self::NotText => Close { code: 1007, reason: "" },
            Self::ReservedBit
            | Self::UnknownOpcode
            | Self::Masked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::BadLength
            | Self::NothingToContinue
            | Self::Interrupted
            | Self::BadClose => Close { code: 1002, reason: "" },
        }
    }
}
