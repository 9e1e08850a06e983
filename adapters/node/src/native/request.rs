//! Requests that are ready for the machine: of the owner, and of the node itself.

use std::sync::Arc;

use handfast_core::Label;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::PairMethod;
use handfast_core::limits::REASON_BYTES;
use handfast_core::wire::native::link::{
    Announce, DispatchAnswer, DispatchId, DispatchOutcome, DispatchProgress, Percent,
};
use handfast_core::wire::native::{CapabilityName, Payload, ReasonText};
use zeroize::Zeroizing;

use super::board::NodeBoard;
use super::event::AppMessage;
use super::owner::Renewable;
use crate::event::Vitals;

/// A command of the owner.
pub(super) enum NativeOwnerCommand {
    Pair(PairMethod, Option<Fingerprint>),
    Setup(Zeroizing<String>, Fingerprint),
    Code(Code),
    App(AppMessage),
    Subscribe(String),
    Renew(Renewable),
    Forget,
    Vitals(Vitals),
}

/// A request for the machine.
pub(super) enum NativeRequest {
    Owner(NativeOwnerCommand),
    /// The node's next certificate request; it is asked for when the node pairs.
    NextCertificate(Vec<u8>),
    /// Asks for a certificate with this request.
    RenewCertificate(Vec<u8>),
    /// The search for the gateway has found this many addresses.
    Found(u8),
    /// Ends the link, and connects again at once.
    Redial,
    Announce(Announcement),
    Outcome(DispatchId, TaskOutcome),
    Progress(TaskProgress),
    Answer(TaskAnswer),
}

impl From<NativeOwnerCommand> for NativeRequest {
    fn from(command: NativeOwnerCommand) -> Self {
        Self::Owner(command)
    }
}

/// A capability, as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) available: bool,
    pub(super) idempotent: bool,
}

/// How far a task has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskProgress {
    pub(super) id: DispatchId,
    pub(super) percent: Option<u8>,
    pub(super) note: Option<String>,
}

/// The answer to a question about a task: what this board says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskAnswer {
    pub(super) id: DispatchId,
    pub(super) number: u64,
    pub(super) board: Arc<NodeBoard>,
}

/// The state of a task, as the gateway is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskOutcome {
    Started,
    AwaitingMediation,
    Succeeded(Vec<u8>),
    Failed(String),
    Rejected(String),
    TimedOut,
    Cancelled,
}

/// Returns a text as a reason that a message can carry: on one line, and cut to its length.
pub(super) fn fitted(text: &str) -> String {
    let mut fitted = String::new();
    for c in text.trim().chars().map(|c| if Label::forbids(c) { ' ' } else { c }) {
        if fitted.len() + c.len_utf8() > REASON_BYTES {
            break;
        }
        fitted.push(c);
    }
    fitted
}

/// Returns a reason for a message. One that says nothing is replaced.
fn reason(text: &str) -> ReasonText<'_> {
    ReasonText::parse(text)
        .or_else(|| ReasonText::parse("no reason was given"))
        .expect("a fixed sentence is a reason")
}

impl Announcement {
    /// Returns the message; `None` if the name or the version is none.
    pub(super) fn message(&self) -> Option<Announce<'_>> {
        Some(Announce {
            capability: CapabilityName::parse(&self.name)?,
            version: Label::parse(&self.version)?,
            available: self.available,
            idempotent: self.idempotent,
        })
    }
}

impl TaskOutcome {
    pub(super) fn message(&self) -> DispatchOutcome<'_> {
        match self {
            Self::Started => DispatchOutcome::Started,
            Self::AwaitingMediation => DispatchOutcome::AwaitingMediation,
            Self::Succeeded(result) => match Payload::new(result) {
                Some(result) => DispatchOutcome::Succeeded(result),
                None => DispatchOutcome::Failed(reason("the result is too long for a message")),
            },
            Self::Failed(why) => DispatchOutcome::Failed(reason(why)),
            Self::Rejected(why) => DispatchOutcome::Rejected(reason(why)),
            Self::TimedOut => DispatchOutcome::TimedOut,
            Self::Cancelled => DispatchOutcome::Cancelled,
        }
    }
}

impl TaskProgress {
    pub(super) fn message(&self) -> DispatchProgress<'_> {
        DispatchProgress {
            id: self.id,
            percent: self.percent.and_then(Percent::new),
            note: self.note.as_deref().map(reason),
        }
    }
}

impl TaskAnswer {
    pub(super) fn message(&self) -> DispatchAnswer<'_> {
        let Self { id, number, board } = self;
        DispatchAnswer { id: *id, number: *number, known: board.answer(*number, *id) }
    }
}
