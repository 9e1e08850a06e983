//! Dispatches to this node: each is noted durably before its handler runs, and its end before the
//! gateway is told.

use std::sync::Arc;
use std::time::Duration;

use handfast_core::link::board::Taken;
use handfast_core::link::dispatch::DispatchEnd;
use handfast_core::wire::native::link::{Dispatch, DispatchId};

use super::NativeError;
use super::board::NodeBoard;
use super::request::{Announcement, NativeRequest, TaskAnswer, TaskOutcome, TaskProgress, fitted};
use super::storage::NativeKeeper;
use crate::capability::{
    Capabilities, CapabilityOutcome, CapabilityRunner, Task, TaskEvent, TaskReport,
};

/// The dispatches of a node.
pub(super) struct NativeDispatches {
    keeper: Arc<NativeKeeper>,
    /// Shared with the thread that stores it; changed only between two writes.
    board: Arc<NodeBoard>,
    runner: CapabilityRunner,
}

/// A message of the gateway about a dispatch, in owned form: its task outlives the message, because
/// it runs while further messages come.
pub(super) enum DispatchWork {
    Run(Task),
    Cancel(DispatchId),
    Query(DispatchId, u64),
}

impl DispatchWork {
    pub(super) fn of(dispatch: &Dispatch<'_>) -> Self {
        Self::Run(Task {
            id: dispatch.id,
            number: dispatch.number,
            capability: dispatch.capability.as_str().to_owned(),
            input: dispatch.input.as_bytes().to_vec(),
            remaining: Duration::from_millis(u64::from(dispatch.remaining_ms)),
            max_result: usize::from(dispatch.max_payload),
        })
    }
}

impl NativeDispatches {
    pub(super) fn new(
        keeper: Arc<NativeKeeper>,
        board: Box<NodeBoard>,
        offered: Capabilities,
    ) -> Self {
        Self { keeper, board: Arc::from(board), runner: CapabilityRunner::new(offered) }
    }

    /// Returns the announcements that follow a link.
    pub(super) fn announcements(&self) -> impl Iterator<Item = NativeRequest> {
        self.runner.capabilities().iter().map(|handler| {
            NativeRequest::Announce(Announcement {
                name: handler.name().to_owned(),
                version: handler.version().to_owned(),
                available: handler.is_available(),
                idempotent: handler.idempotent(),
            })
        })
    }

    /// Waits for the next event of a task. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> TaskEvent {
        self.runner.next().await
    }

    /// Carries out what the gateway asks for.
    pub(super) async fn carry_out(
        &mut self,
        work: DispatchWork,
    ) -> Result<Vec<NativeRequest>, NativeError> {
        match work {
            DispatchWork::Run(task) => self.run(task).await,
            DispatchWork::Cancel(id) => {
                // One that has ended has told its outcome.
                self.runner.cancel(&id);
                Ok(Vec::new())
            }
            DispatchWork::Query(id, number) => Ok(vec![self.answer(id, number)]),
        }
    }

    async fn run(&mut self, task: Task) -> Result<Vec<NativeRequest>, NativeError> {
        let (id, number) = (task.id, task.number);
        match Arc::make_mut(&mut self.board).take(number, id) {
            Taken::Run => {}
            // What the board knows of it is told, and it is not run.
            Taken::Again(_) | Taken::TooOld => return Ok(vec![self.answer(id, number)]),
            Taken::Full => {
                let why = "this node runs as many tasks as it can remember".to_owned();
                return Ok(vec![NativeRequest::Outcome(id, TaskOutcome::Rejected(why))]);
            }
        }
        let handler = match self.runner.handler(&task.capability) {
            Ok(handler) => handler,
            Err(why) => {
                // A rejection is durable as well, or the dispatch could run after a restart.
                let outcome = TaskOutcome::Rejected(why.to_owned());
                return Ok(self.finish(id, outcome).await?.into_iter().collect());
            }
        };
        // After a crash from here on, the task counts as begun.
        self.store().await?;
        self.runner.start(handler, task);
        Ok(vec![NativeRequest::Outcome(id, TaskOutcome::Started)])
    }

    /// Notes an event of a task, and returns what the gateway is told.
    pub(super) async fn happened(
        &mut self,
        TaskEvent { id, report }: TaskEvent,
    ) -> Result<Option<NativeRequest>, NativeError> {
        match report {
            TaskReport::Progress { percent, note } => {
                // Progress is not stored, because the next report says more.
                let note = note.as_deref().map(fitted);
                Ok(Some(NativeRequest::Progress(TaskProgress { id, percent, note })))
            }
            TaskReport::AwaitsPerson => {
                Arc::make_mut(&mut self.board).awaits_mediation(id);
                Ok(Some(NativeRequest::Outcome(id, TaskOutcome::AwaitingMediation)))
            }
            TaskReport::GoesOn => {
                Arc::make_mut(&mut self.board).runs(id);
                Ok(Some(NativeRequest::Outcome(id, TaskOutcome::Started)))
            }
            TaskReport::Ended(outcome) => {
                self.finish(id, outcome.map_or(TaskOutcome::TimedOut, TaskOutcome::of)).await
            }
        }
    }

    /// Makes the end of a task durable, and returns what the gateway is told; `None` if the task
    /// had ended already.
    async fn finish(
        &mut self,
        id: DispatchId,
        outcome: TaskOutcome,
    ) -> Result<Option<NativeRequest>, NativeError> {
        let (end, result) = outcome.end();
        if !end.is_some_and(|end| Arc::make_mut(&mut self.board).finish(id, end, result)) {
            return Ok(None);
        }
        self.store().await?;
        Ok(Some(NativeRequest::Outcome(id, outcome)))
    }

    fn answer(&self, id: DispatchId, number: u64) -> NativeRequest {
        NativeRequest::Answer(TaskAnswer { id, number, board: self.board.clone() })
    }

    async fn store(&mut self) -> Result<(), NativeError> {
        let (keeper, board) = (self.keeper.clone(), self.board.clone());
        // Flushing a file may take long, so it runs on a thread that may block.
        let stored = tokio::task::spawn_blocking(move || keeper.keep_board(&board)).await;
        Ok(stored.map_err(|_| NativeError::Stopped)??)
    }
}

impl TaskOutcome {
    fn of(outcome: CapabilityOutcome) -> Self {
        match outcome {
            CapabilityOutcome::Succeeded(result) => Self::Succeeded(result),
            CapabilityOutcome::Failed(why) => Self::Failed(fitted(&why)),
            CapabilityOutcome::Rejected(why) => Self::Rejected(fitted(&why)),
            CapabilityOutcome::Cancelled => Self::Cancelled,
        }
    }

    /// Returns the end of the task with its result or reason; no end if the task goes on.
    fn end(&self) -> (Option<DispatchEnd>, &[u8]) {
        match self {
            Self::Started | Self::AwaitingMediation => (None, &[]),
            Self::Succeeded(result) => (Some(DispatchEnd::Succeeded), result),
            Self::Failed(why) => (Some(DispatchEnd::Failed), why.as_bytes()),
            Self::Rejected(why) => (Some(DispatchEnd::Rejected), why.as_bytes()),
            Self::TimedOut => (Some(DispatchEnd::TimedOut), &[]),
            Self::Cancelled => (Some(DispatchEnd::Cancelled), &[]),
        }
    }
}

#[cfg(test)]
#[path = "dispatching_tests.rs"]
mod tests;
