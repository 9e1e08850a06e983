//! What linked nodes report, and their requests for certificates, in owned form.

use handfast_core::flow::native::gateway::Issue;
use handfast_core::link::dispatch::{DispatchEvent, Known};
use handfast_core::wire::native::link::{
    Announce, DispatchAnswer, DispatchId, DispatchOutcome, DispatchProgress, DispatchResult,
    KnownDispatch,
};
use handfast_store::{Capability, DispatchReport};

use crate::gateway::dispatches::Progress;

/// A verified request for a certificate.
#[derive(Debug)]
#[allow(dead_code, reason = "only the log reads it while nothing is issued")]
pub(crate) enum OwnedIssue {
    /// Of the node that is being paired, by the request that it made.
    Asked,
    /// Of the linked node, with its certificate request; `None` for the compact certificate.
    Renewal(Option<Vec<u8>>),
}

impl From<Issue<'_>> for OwnedIssue {
    fn from(issue: Issue<'_>) -> Self {
        match issue {
            Issue::Asked => Self::Asked,
            Issue::Renewal(renewal) => {
                Self::Renewal(renewal.csr().map(|csr| csr.as_bytes().to_vec()))
            }
        }
    }
}

/// A report of a linked node.
#[derive(Debug)]
pub(crate) enum NodeReport {
    /// The node has this capability.
    Announced(Capability),
    /// The state of a dispatch.
    Outcome(DispatchId, DispatchEvent, Option<DispatchReport>),
    /// How far a dispatch has come.
    Progress(DispatchId, Progress),
    /// The node's knowledge of a dispatch.
    Answered { id: DispatchId, number: u64, known: Known, report: Option<DispatchReport> },
}

impl From<Announce<'_>> for NodeReport {
    fn from(announce: Announce<'_>) -> Self {
        let Announce { capability, version, available, idempotent } = announce;
        Self::Announced(Capability {
            name: capability.as_str().to_owned(),
            version: version.as_str().to_owned(),
            available,
            idempotent,
        })
    }
}

impl From<DispatchResult<'_>> for NodeReport {
    fn from(DispatchResult { id, outcome }: DispatchResult<'_>) -> Self {
        Self::Outcome(id, DispatchEvent::of_outcome(&outcome), told(&outcome))
    }
}

impl From<DispatchProgress<'_>> for NodeReport {
    fn from(DispatchProgress { id, percent, note }: DispatchProgress<'_>) -> Self {
        let percent = percent.map(|percent| percent.get());
        Self::Progress(id, Progress { percent, note: note.map(|note| note.as_str().to_owned()) })
    }
}

impl From<DispatchAnswer<'_>> for NodeReport {
    fn from(DispatchAnswer { id, number, known }: DispatchAnswer<'_>) -> Self {
        let reason = |text: &str| Some(DispatchReport::Reason(text.to_owned()));
        let report = match &known {
            KnownDispatch::Done(outcome) => told(&outcome.outcome()),
            KnownDispatch::NotKept => reason("it is done, and its result was too long to keep"),
            KnownDispatch::Interrupted => reason("the node was switched off while it ran"),
            KnownDispatch::Running
            | KnownDispatch::AwaitingMediation
            | KnownDispatch::NeverCame
            | KnownDispatch::Forgotten => None,
        };
        Self::Answered { id, number, known: Known::of(&known), report }
    }
}

/// Returns the result or the reason that an outcome carries.
fn told(outcome: &DispatchOutcome<'_>) -> Option<DispatchReport> {
    match outcome {
        DispatchOutcome::Succeeded(result) => {
            Some(DispatchReport::Result(result.as_bytes().to_vec()))
        }
        DispatchOutcome::Failed(reason) | DispatchOutcome::Rejected(reason) => {
            Some(DispatchReport::Reason(reason.as_str().to_owned()))
        }
        DispatchOutcome::AwaitingMediation
        | DispatchOutcome::Started
        | DispatchOutcome::TimedOut
        | DispatchOutcome::Cancelled => None,
    }
}
