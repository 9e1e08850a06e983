//! The tasks of a node as the driver sees them: the board that makes them run once, and the reports
//! that the gateway is owed.
//!
//! ```text
//!  Effect::Dispatch ─▶ take ─(save)─▶ start ─▶ report      one report at a time; while one is owed,
//!  Capabilities::next ─▶ note ─(save)─▶ report             no task is listened to and no message read
//!  Effect::Query ─▶ take ─▶ report
//! ```

use core::future::{Future, pending};

use handfast_core::NodeId;
use handfast_core::link::dispatch::{DispatchEnd, Known};
use handfast_core::wire::native::link::{
    Announce, Dispatch, DispatchAnswer, DispatchId, DispatchOutcome, DispatchProgress,
    DispatchResult, FinalOutcome, KnownDispatch, Percent,
};
use handfast_core::wire::native::{Payload, ReasonText};

use crate::error::KeepError;

/// A message of the gateway about a task: the part of core's effects that a [`TaskPort`] carries
/// out. It is a type of its own, so that a port cannot be given another effect.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TaskOrder<'b> {
    /// The task is to be done.
    Run(Dispatch<'b>),
    /// The task is to be stopped.
    Cancel(DispatchId),
    /// The gateway asks what became of a task.
    Query {
        /// The id of the dispatch.
        id: DispatchId,
        /// The number of the dispatch.
        number: u64,
    },
}

/// News of a task for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TaskNews<'b> {
    /// The gateway dispatched a task, and the board has it; it starts now.
    Taken {
        /// The id of the dispatch.
        id: DispatchId,
        /// The name of the capability.
        capability: &'b str,
    },
    /// A task that was taken has ended.
    Ended(DispatchId, DispatchEnd),
}

impl<'b> TaskOrder<'b> {
    /// Returns the news of a task that was taken; `None` for other messages.
    pub(super) const fn news(&self) -> Option<TaskNews<'b>> {
        match self {
            Self::Run(Dispatch { id, capability, .. }) => {
                Some(TaskNews::Taken { id: *id, capability: capability.as_str() })
            }
            Self::Cancel(_) | Self::Query { .. } => None,
        }
    }
}

/// A message to the gateway that is owed. Lengths are those of texts at the beginning of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TaskReport {
    Announce(Announce<'static>),
    Started(DispatchId),
    AwaitsMediation(DispatchId),
    Progress { id: DispatchId, percent: Option<Percent>, note: usize },
    Ended(DispatchId, DispatchEnd, usize),
    Answer { id: DispatchId, number: u64, known: Known, length: usize },
}

/// A report as the machine takes it.
pub(super) enum TaskMessage<'b> {
    Announce(Announce<'b>),
    Outcome(DispatchResult<'b>),
    Progress(DispatchProgress<'b>),
    Answer(DispatchAnswer<'b>),
}

impl TaskReport {
    /// Completes the report with the texts in `output`.
    pub(super) fn message(self, output: &[u8]) -> TaskMessage<'_> {
        let outcome = |id, outcome| TaskMessage::Outcome(DispatchResult { id, outcome });
        match self {
            Self::Announce(announce) => TaskMessage::Announce(announce),
            Self::Started(id) => outcome(id, DispatchOutcome::Started),
            Self::AwaitsMediation(id) => outcome(id, DispatchOutcome::AwaitingMediation),
            Self::Progress { id, percent, note } => {
                let note = text(output, note).and_then(ReasonText::parse);
                TaskMessage::Progress(DispatchProgress { id, percent, note })
            }
            Self::Ended(id, end, length) => outcome(id, ended(end, output, length)),
            Self::Answer { id, number, known, length } => {
                let known = match known {
                    Known::Running => KnownDispatch::Running,
                    Known::AwaitingMediation => KnownDispatch::AwaitingMediation,
                    Known::Done(end) => FinalOutcome::new(ended(end, output, length))
                        .map_or(KnownDispatch::NotKept, KnownDispatch::Done),
                    Known::NotKept => KnownDispatch::NotKept,
                    Known::Interrupted => KnownDispatch::Interrupted,
                    Known::NeverCame => KnownDispatch::NeverCame,
                    Known::Forgotten => KnownDispatch::Forgotten,
                };
                TaskMessage::Answer(DispatchAnswer { id, number, known })
            }
        }
    }
}

fn text(output: &[u8], length: usize) -> Option<&str> {
    output.get(..length).and_then(|bytes| core::str::from_utf8(bytes).ok())
}

fn ended(end: DispatchEnd, output: &[u8], length: usize) -> DispatchOutcome<'_> {
    // A reason that was kept on the board may have been cut to nothing.
    let reason = || {
        let said = text(output, length).and_then(ReasonText::parse);
        said.or_else(|| ReasonText::parse("no reason given"))
    };
    let outcome = match end {
        DispatchEnd::Succeeded => {
            output.get(..length).and_then(Payload::new).map(DispatchOutcome::Succeeded)
        }
        DispatchEnd::Failed => reason().map(DispatchOutcome::Failed),
        DispatchEnd::Rejected => reason().map(DispatchOutcome::Rejected),
        DispatchEnd::TimedOut => Some(DispatchOutcome::TimedOut),
        DispatchEnd::Cancelled => Some(DispatchOutcome::Cancelled),
    };
    // Lengths are checked where a report is made, so there is always an outcome.
    outcome.unwrap_or(DispatchOutcome::TimedOut)
}

/// The tasks of a node, as its role uses them: `K` is the node's storage.
pub trait TaskPort<'s, K> {
    /// `true` if tasks may be dispatched to the node.
    const TAKES: bool;

    /// Returns the buffer for results, on the first call.
    fn output(&mut self) -> &'s mut [u8];

    /// Loads the board.
    ///
    /// # Errors
    /// [`KeepError`]: it cannot be read. No task is taken until the owner gives it up.
    fn load(&mut self, keep: &mut K) -> impl Future<Output = Result<(), KeepError>>;

    /// Notes the id under which the node is paired. Another id has a board of its own.
    fn paired(&mut self, node_id: NodeId);

    /// Gives up a board that cannot be read.
    fn forget(&mut self);

    /// Notes that the link stands, so that the capabilities are announced.
    fn linked(&mut self);

    /// Notes that the link is gone. What the gateway was owed, it asks for after the next link.
    fn left(&mut self);

    /// Decides about a message of the gateway. Returns `true` if the board must be saved, and then
    /// [`start`](Self::start) called.
    fn take(&mut self, order: &TaskOrder<'_>, output: &mut [u8]) -> bool;

    /// Starts the task that was taken, if the board was saved.
    fn start(&mut self, order: &TaskOrder<'_>, saved: bool, output: &mut [u8]);

    /// Waits until a task has something to tell; it is then owed to the gateway.
    fn next(&mut self, output: &mut [u8]) -> impl Future<Output = ()>;

    /// Returns `true` if the board must be saved before anything is reported.
    fn unsaved(&self) -> bool;

    /// Returns the end of the task that was saved last, if it is still owed to the gateway.
    fn ended(&self) -> Option<TaskNews<'static>>;

    /// Makes the board durable.
    ///
    /// # Errors
    /// [`KeepError`]: it may not be durable.
    fn save(&mut self, keep: &mut K) -> impl Future<Output = Result<(), KeepError>>;

    /// Returns the next report that is owed to the gateway.
    fn report(&mut self) -> Option<TaskReport>;
}

/// A node without capabilities: nothing is dispatched to it, and it stores no board.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoCapabilities;

impl<'s, K> TaskPort<'s, K> for NoCapabilities {
    const TAKES: bool = false;

    fn output(&mut self) -> &'s mut [u8] {
        &mut []
    }

    async fn load(&mut self, _keep: &mut K) -> Result<(), KeepError> {
        Ok(())
    }

    fn paired(&mut self, _node_id: NodeId) {}

    fn forget(&mut self) {}

    fn linked(&mut self) {}

    fn left(&mut self) {}

    fn take(&mut self, _order: &TaskOrder<'_>, _output: &mut [u8]) -> bool {
        false
    }

    fn start(&mut self, _order: &TaskOrder<'_>, _saved: bool, _output: &mut [u8]) {}

    fn next(&mut self, _output: &mut [u8]) -> impl Future<Output = ()> {
        pending()
    }

    fn unsaved(&self) -> bool {
        false
    }

    fn ended(&self) -> Option<TaskNews<'static>> {
        None
    }

    async fn save(&mut self, _keep: &mut K) -> Result<(), KeepError> {
        Ok(())
    }

    fn report(&mut self) -> Option<TaskReport> {
        None
    }
}
