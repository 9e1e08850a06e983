//! Words for people: the errors that several modules share, as one line each, without an allocator.
//!
//! Reports of a driver have their words in `native::words` and `registration::words`. A text of a
//! peer is shown as printable ASCII only, so that it can neither move a cursor nor mislead a reader.

use core::fmt::{Display, Formatter, Result, Write as _};

use handfast_core::Span;

use crate::error::{GeometryError, KeepError, TargetError, UpgradeError, Violation};
use crate::transport::Broken;

impl Display for KeepError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Flash => f.write_str("the flash driver reported an error"),
            Self::Worn => f.write_str("the flash is worn out: it holds other bytes than written"),
            Self::Corrupted => f.write_str("the flash holds damaged bytes"),
            Self::OtherVersion(version) => write!(
                f,
                "the flash holds a record of version {version}: flash the firmware that wrote it, \
                 or erase these pages"
            ),
            Self::Unreadable => {
                f.write_str("the flash holds a record that this firmware never wrote")
            }
            Self::TooLong => f.write_str("the value is longer than its record"),
        }
    }
}

impl core::error::Error for KeepError {}

impl Display for GeometryError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Misaligned { start, page } => {
                write!(
                    f,
                    "the pages begin at {start}, which is no multiple of a page of {page} bytes"
                )
            }
            Self::Outside { end, capacity } => {
                write!(f, "the pages end at {end}, behind a flash of {capacity} bytes")
            }
            Self::Words { record, word } => {
                write!(f, "a record of {record} bytes is no multiple of a word of {word} bytes")
            }
        }
    }
}

impl core::error::Error for GeometryError {}

impl Display for TargetError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Host => "the host must be printable ASCII without spaces, and not empty",
            Self::Path => "the path must be printable ASCII without spaces, and begin with /",
        })
    }
}

impl core::error::Error for TargetError {}

impl Display for UpgradeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::NotHttp => f.write_str("the answer is not HTTP/1.1"),
            Self::Status(status) => write!(f, "the answer has the status {status}, not 101"),
            Self::NotWebSocket => f.write_str("the answer does not confirm the upgrade"),
            Self::WrongAccept => f.write_str("the answer is that to another request"),
            Self::Unasked => f.write_str("the answer selects what was never offered"),
            Self::TooLong => f.write_str("the answer is too long"),
        }
    }
}

impl core::error::Error for UpgradeError {}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::ReservedBit => "a reserved bit is set",
            Self::UnknownOpcode => "an opcode is reserved",
            Self::Masked => "a frame of the server is masked",
            Self::FragmentedControl => "a control frame is fragmented",
            Self::LongControl => "a control frame is longer than 125 bytes",
            Self::BadLength => "a length is not in its one form",
            Self::NothingToContinue => "a frame continues no message",
            Self::Interrupted => "a message begins inside another",
            Self::BadClose => "a close frame has no allowed code",
            Self::NotText => "a text is not UTF-8",
            Self::TooBig => "a message is longer than the buffer for it",
        })
    }
}

impl core::error::Error for Violation {}

impl Display for Broken {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Io(kind) => write!(f, "the stream failed: {kind:?}"),
            Self::Eof => f.write_str("the connection was lost"),
            Self::Overdue => f.write_str("the gateway does not answer in time"),
            Self::ByPeer(Some(code)) => write!(f, "the gateway closed the connection: {code}"),
            Self::ByPeer(None) => f.write_str("the gateway closed the connection"),
            Self::Upgrade(error) => write!(f, "what answers is no gateway: {error}"),
            Self::Violation(violation) => {
                write!(f, "the gateway broke the rules of the connection: {violation}")
            }
        }
    }
}

impl core::error::Error for Broken {}

/// A peer's text with everything but printable ASCII replaced by `?`.
pub(crate) struct Harmless<'b>(pub(crate) &'b str);

impl Display for Harmless<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        self.0.chars().map(printable).try_for_each(|c| f.write_char(c))
    }
}

/// A span in seconds, to one decimal.
pub(crate) struct Seconds(pub(crate) Span);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let tenths = self.0.as_millis() / 100;
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}
