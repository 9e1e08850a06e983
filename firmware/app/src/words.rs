//! What is reported, in words: one line each.

use core::fmt::{Display, Formatter, Result, Write as _};

use handfast_core::error::Refusal;
use handfast_core::flow::registration::node::News;
use handfast_core::time::Span;
use handfast_edge::carrier::Broken;
use handfast_edge::memory::KeepError;
use handfast_edge::ports::Report;

/// A report that can be shown.
pub(crate) struct Words<'b>(pub(crate) Report<'b>);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Report::News(news) => news_in_words(news, f),
            Report::NotLoaded(error) => {
                write!(f, "flash cannot be read: {}; tried again, `forget` gives up what it held", flash(error))
            }
            Report::NotKept(error) => write!(f, "flash cannot be written: {}; tried again", flash(error)),
            Report::NoConnection(broken) => broken_in_words(broken, f),
        }
    }
}

fn news_in_words(news: News<'_>, f: &mut Formatter<'_>) -> Result {
    match news {
        News::WaitsForApproval(node_id) => write!(f, "waits for approval as {node_id}"),
        News::TokenKept => f.write_str("token kept"),
        News::Linked { node_id, room } => write!(f, "linked as {node_id} in room {room}"),
        News::Refused(refusal) => f.write_str(refused(refusal)),
        News::Complaint(text) => write!(f, "the gateway complains: {}", Harmless(text)),
        News::RetryIn(wait) => write!(f, "retry in {}", Seconds(wait)),
        News::NothingAsked => f.write_str("no token is awaited; `pair` asks for one"),
        News::Forgotten => f.write_str("forgotten"),
    }
}

/// A node only ever hears the first three.
const fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::InvalidCredentials => "refused: invalid credentials; `token` takes another token, `again` asks once more",
        Refusal::NotApproved => "refused: not yet approved",
        Refusal::Muted => "muted by the operator",
        Refusal::AlreadyPaired
        | Refusal::Revoked
        | Refusal::NotPaired
        | Refusal::Expired
        | Refusal::TooManyPending
        | Refusal::RateLimited
        | Refusal::AtCapacity
        | Refusal::StoreFailed => "refused",
    }
}

fn broken_in_words(broken: Broken, f: &mut Formatter<'_>) -> Result {
    match broken {
        Broken::Io(kind) => write!(f, "no connection: {kind:?}"),
        Broken::Eof => f.write_str("connection lost"),
        Broken::Overdue => f.write_str("no connection: no answer in time"),
        Broken::ByPeer(Some(code)) => write!(f, "closed by the gateway: {code}"),
        Broken::ByPeer(None) => f.write_str("closed by the gateway"),
        Broken::Upgrade(_) => f.write_str("no connection: this is no gateway"),
        Broken::Violation(_) => f.write_str("connection given up: the gateway broke the rules of WebSocket"),
    }
}

pub(crate) const fn flash(error: KeepError) -> &'static str {
    match error {
        KeepError::Flash => "it failed",
        KeepError::Worn => "it is worn out",
        KeepError::Corrupted => "what it holds is damaged",
        KeepError::Unreadable => "a newer firmware wrote it",
    }
}

/// A peer's text, without what could move a cursor or fool a reader.
struct Harmless<'b>(&'b str);

impl Display for Harmless<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        self.0.chars().map(printable).try_for_each(|c| f.write_char(c))
    }
}

/// A wait, to a tenth of a second.
struct Seconds(Span);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let tenths = self.0.as_millis() / 100;
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}
