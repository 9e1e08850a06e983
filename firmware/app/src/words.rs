//! Terminal texts for reports that both wires share, one line each.

use core::fmt::{Display, Formatter, Result, Write as _};

use handfast_core::Span;
use handfast_edge::registration::memory::KeepError;
use handfast_edge::transport::Broken;

pub(crate) fn broken_in_words(broken: Broken, f: &mut Formatter<'_>) -> Result {
    match broken {
        Broken::Io(kind) => write!(f, "no connection: {kind:?}"),
        Broken::Eof => f.write_str("connection lost"),
        Broken::Overdue => f.write_str("no connection: no answer in time"),
        Broken::ByPeer(Some(code)) => write!(f, "closed by the gateway: {code}"),
        Broken::ByPeer(None) => f.write_str("closed by the gateway"),
        Broken::Upgrade(_) => f.write_str("no connection: this is no gateway"),
        Broken::Violation(_) => {
            f.write_str("connection given up: the gateway broke the rules of WebSocket")
        }
    }
}

pub(crate) const fn flash(error: KeepError) -> &'static str {
    match error {
        KeepError::Flash => "it failed",
        KeepError::Worn => "it is worn out",
        KeepError::Corrupted => "what it holds is damaged",
        KeepError::OtherVersion(_) => {
            "another firmware wrote it: flash that one again, or erase these pages"
        }
        KeepError::Unreadable => "what it holds is none of this firmware's",
        _ => "it failed",
    }
}

/// A peer's text with everything but printable ASCII replaced by `?`, so that it cannot move the
/// cursor or mislead a reader.
pub(crate) struct Harmless<'b>(pub(crate) &'b str);

impl Display for Harmless<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        self.0.chars().map(printable).try_for_each(|c| f.write_char(c))
    }
}

/// A duration in seconds, to one decimal.
pub(crate) struct Seconds(pub(crate) Span);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let tenths = self.0.as_millis() / 100;
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}
