//! One call of a capability.

use handfast_core::wire::native::link::DispatchId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::runner::{TaskEvent, TaskReport};

/// A dispatch as its handler sees it.
#[derive(Debug)]
pub struct CapabilityCall {
    pub(super) id: DispatchId,
    pub(super) input: Vec<u8>,
    pub(super) max_result: usize,
    pub(super) deadline: Instant,
    pub(super) reports: mpsc::Sender<TaskEvent>,
    pub(super) cancelled: watch::Receiver<bool>,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapabilityOutcome {
    /// The task is done, with this result. One that is longer than
    /// [`CapabilityCall::max_result`] becomes a failure.
    Succeeded(Vec<u8>),
    /// The task failed, for this reason.
    Failed(String),
    /// The task was not begun, for this reason.
    Rejected(String),
    /// The task was stopped because of [`CapabilityCall::cancelled`].
    Cancelled,
}

impl CapabilityCall {
    /// Returns the id of the dispatch.
    #[must_use]
    pub const fn id(&self) -> DispatchId {
        self.id
    }

    /// Returns the input, which is whatever the operator gave; usually JSON.
    #[must_use]
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Returns the maximum length of the result in bytes.
    #[must_use]
    pub const fn max_result(&self) -> usize {
        self.max_result
    }

    /// Returns the time at which the call is dropped.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reports how far the task has come: a share from 0 to 100, and a sentence for people. A report
    /// that finds the way to the gateway full is dropped, because the next one says more.
    pub fn progress(&self, percent: Option<u8>, note: Option<&str>) {
        let percent = percent.map(|percent| percent.min(100));
        self.report(TaskReport::Progress { percent, note: note.map(str::to_owned) });
    }

    /// Reports that a person at the node has to agree first.
    pub fn awaits_person(&self) {
        self.report(TaskReport::AwaitsPerson);
    }

    /// Reports that the task goes on, after a person has agreed.
    pub fn goes_on(&self) {
        self.report(TaskReport::GoesOn);
    }

    /// Waits until the operator cancels the dispatch.
    pub async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            // The node ends, and the call is dropped with it.
            std::future::pending::<()>().await;
        }
    }

    fn report(&self, report: TaskReport) {
        // A handler must not wait for the way to the gateway.
        let _ = self.reports.try_send(TaskEvent { id: self.id, report });
    }
}
