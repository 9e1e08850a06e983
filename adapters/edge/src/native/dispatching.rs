//! A node with capabilities.

use handfast_core::limits::PAYLOAD_BYTES;
use handfast_core::link::board::Taken;
use handfast_core::link::dispatch::{DispatchEnd, Known};
use handfast_core::wire::native::link::{Dispatch, DispatchId};
use handfast_core::{NodeId, Span};

use super::capabilities::{Capabilities, Capability, Started, Task, TaskEnd, TaskEvent};
use super::memory::{BOARD_PLACES, BoardRecord, BoardStorage, StoredBoard};
use super::tasks::{TaskNews, TaskOrder, TaskPort, TaskReport};
use crate::error::KeepError;

/// Static storage for a node's tasks. `OUTPUT` is the length of the longest result in bytes, at most
/// 864.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DispatchBuffers<const OUTPUT: usize> {
    board: StoredBoard,
    record: BoardRecord,
    limits: ResultLimits,
    output: [u8; OUTPUT],
}

impl<const OUTPUT: usize> DispatchBuffers<OUTPUT> {
    /// Creates empty buffers.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(OUTPUT <= PAYLOAD_BYTES, "a result is at most 864 bytes long") };
        Self {
            board: StoredBoard::new(),
            record: BoardRecord::new(),
            limits: [None; BOARD_PLACES],
            output: [0; OUTPUT],
        }
    }
}

impl<const OUTPUT: usize> Default for DispatchBuffers<OUTPUT> {
    fn default() -> Self {
        Self::new()
    }
}

/// The longest results that the gateway takes, for the tasks that run.
type ResultLimits = [Option<(DispatchId, u16)>; BOARD_PLACES];

/// A node with capabilities. Its storage is also a [`BoardStorage`].
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dispatching<'s, H> {
    handlers: H,
    board: &'s mut StoredBoard,
    record: &'s mut BoardRecord,
    limits: &'s mut ResultLimits,
    pub(super) output: &'s mut [u8],
    progress: TaskProgress,
}

/// The state of a node's tasks beside the board.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct TaskProgress {
    /// `false` if the board cannot be read, so that nothing is known of earlier tasks.
    known: bool,
    unsaved: bool,
    linked: bool,
    /// The next capability to announce on this link.
    announces: Option<usize>,
    due: Option<TaskReport>,
}

impl<'s, H: Capabilities> Dispatching<'s, H> {
    /// Uses these capabilities and this storage.
    pub fn new<const OUTPUT: usize>(handlers: H, buffers: &'s mut DispatchBuffers<OUTPUT>) -> Self {
        let DispatchBuffers { board, record, limits, output } = buffers;
        let progress = TaskProgress {
            known: false,
            unsaved: false,
            linked: false,
            announces: None,
            due: None,
        };
        Self { handlers, board, record, limits, output, progress }
    }
}

impl<H: Capabilities> Dispatching<'_, H> {
    fn capability(&self, name: &str) -> Option<Capability> {
        let mut at = 0_usize;
        while let Some(capability) = self.handlers.capability(at) {
            if capability.name == name {
                return Some(capability);
            }
            at = at.saturating_add(1);
        }
        None
    }

    /// Returns the reason for not taking a task, which is not noted anywhere: it did not run.
    fn refuses(&self, dispatch: &Dispatch<'_>) -> Option<&'static str> {
        match self.capability(dispatch.capability.as_str()) {
            None => Some("no such capability"),
            Some(Capability { available: false, .. }) => Some("not available now"),
            Some(_) if !self.progress.known => Some("the record of earlier tasks is damaged"),
            Some(_) => None,
        }
    }

    /// Owes the gateway a rejection of a task that is not on the board.
    fn reject(&mut self, id: DispatchId, reason: &str, output: &mut [u8]) {
        let length = put(reason.as_bytes(), output);
        self.progress.due = Some(TaskReport::Ended(id, DispatchEnd::Rejected, length));
    }

    /// Owes the gateway what is known of a task.
    fn answer(&mut self, id: DispatchId, number: u64, known: Known, output: &mut [u8]) {
        let length = put(self.board.board.result(id).unwrap_or_default(), output);
        self.progress.due = Some(TaskReport::Answer { id, number, known, length });
    }

    /// Notes the end of a task. `longest` is what the gateway takes of a result.
    fn end(&mut self, id: DispatchId, end: TaskEnd, longest: usize, output: &mut [u8]) {
        let (end, length) = match end {
            TaskEnd::Succeeded(length) if length <= longest => (DispatchEnd::Succeeded, length),
            TaskEnd::Succeeded(_) => (DispatchEnd::Failed, put(b"the result is too long", output)),
            TaskEnd::Failed(reason) => (DispatchEnd::Failed, put(reason.as_bytes(), output)),
            TaskEnd::Rejected(reason) => (DispatchEnd::Rejected, put(reason.as_bytes(), output)),
            TaskEnd::TimedOut => (DispatchEnd::TimedOut, 0),
            TaskEnd::Cancelled => (DispatchEnd::Cancelled, 0),
        };
        for place in self.limits.iter_mut().filter(|place| is_of(place, id)) {
            *place = None;
        }
        // Only the first end of a task counts.
        if self.board.board.finish(id, end, output.get(..length).unwrap_or_default()) {
            self.progress.unsaved = true;
            self.progress.due = Some(TaskReport::Ended(id, end, length));
        }
    }

    fn note(&mut self, event: TaskEvent, output: &mut [u8]) {
        match event {
            TaskEvent::Changed => self.progress.announces = Some(0),
            TaskEvent::Runs(id) => {
                self.board.board.runs(id);
                self.progress.due = Some(TaskReport::Started(id));
            }
            TaskEvent::AwaitsMediation(id) => {
                self.board.board.awaits_mediation(id);
                self.progress.due = Some(TaskReport::AwaitsMediation(id));
            }
            TaskEvent::Progress { id, percent, note } => {
                self.progress.due = Some(TaskReport::Progress { id, percent, note });
            }
            TaskEvent::Ended(id, end) => {
                let limit = self.limits.iter().flatten().find(|(of, _)| *of == id);
                let longest = limit.map_or(0, |(_, longest)| usize::from(*longest));
                self.end(id, end, longest.min(output.len()), output);
            }
        }
    }
}

fn is_of(place: &Option<(DispatchId, u16)>, id: DispatchId) -> bool {
    place.is_some_and(|(of, _)| of == id)
}

/// Copies text into the output, as much as has room. Returns its length.
fn put(text: &[u8], output: &mut [u8]) -> usize {
    for (place, byte) in output.iter_mut().zip(text) {
        *place = *byte;
    }
    text.len().min(output.len())
}

impl<'s, K: BoardStorage, H: Capabilities> TaskPort<'s, K> for Dispatching<'s, H> {
    const TAKES: bool = true;

    fn output(&mut self) -> &'s mut [u8] {
        core::mem::take(&mut self.output)
    }

    async fn load(&mut self, keep: &mut K) -> Result<(), KeepError> {
        // Until the record is read, no task is taken.
        self.progress.known = false;
        keep.load_board(self.board, self.record).await?;
        // What was running when the power went has no result, and is not run again.
        self.board.board.after_boot();
        self.progress.known = true;
        Ok(())
    }

    fn paired(&mut self, node_id: NodeId) {
        if self.progress.known && self.board.node_id != node_id {
            // Numbers under another id mean nothing here, so the board begins anew.
            *self.board = StoredBoard { node_id, ..StoredBoard::new() };
        }
    }

    fn forget(&mut self) {
        if !self.progress.known {
            // A record that cannot be read is given up by its owner alone.
            *self.board = StoredBoard::new();
            self.progress.known = true;
        }
    }

    fn linked(&mut self) {
        self.progress.linked = true;
        self.progress.announces = Some(0);
    }

    fn left(&mut self) {
        self.progress.linked = false;
        self.progress.due = match self.progress.due.take() {
            // A result that is too long to keep is still told on the next link.
            ended @ Some(TaskReport::Ended(..)) => ended,
            Some(
                TaskReport::Announce(_)
                | TaskReport::Started(_)
                | TaskReport::AwaitsMediation(_)
                | TaskReport::Progress { .. }
                | TaskReport::Answer { .. },
            )
            | None => None,
        };
    }

    fn take(&mut self, order: &TaskOrder<'_>, output: &mut [u8]) -> bool {
        match order {
            TaskOrder::Run(dispatch) => {
                let Dispatch { id, number, .. } = *dispatch;
                if let Some(reason) = self.refuses(dispatch) {
                    self.reject(id, reason, output);
                    return false;
                }
                match self.board.board.take(number, id) {
                    Taken::Run => return true,
                    Taken::Again(known) => self.answer(id, number, known, output),
                    Taken::TooOld => self.answer(id, number, Known::Forgotten, output),
                    Taken::Full => self.reject(id, "too many tasks run already", output),
                }
            }
            // A cancellation carries no number, and an entry is found by its id.
            TaskOrder::Cancel(id) => match self.board.board.known(0, *id) {
                Known::Running | Known::AwaitingMediation => self.handlers.cancel(*id),
                // There is nothing to stop.
                Known::Done(_)
                | Known::NotKept
                | Known::Interrupted
                | Known::NeverCame
                | Known::Forgotten => {}
            },
            TaskOrder::Query { id, number } => {
                let known = if self.progress.known {
                    self.board.board.known(*number, *id)
                } else {
                    Known::Forgotten
                };
                self.answer(*id, *number, known, output);
            }
        }
        false
    }

    fn start(&mut self, order: &TaskOrder<'_>, saved: bool, output: &mut [u8]) {
        let TaskOrder::Run(dispatch) = order else { return };
        let id = dispatch.id;
        if !saved {
            // The flash may hold the entry all the same; then it reads as interrupted after a boot.
            let reason = "the flash cannot be written";
            self.board.board.finish(id, DispatchEnd::Rejected, reason.as_bytes());
            self.reject(id, reason, output);
            return;
        }
        let longest = usize::from(dispatch.max_payload).min(output.len());
        let task = Task {
            id,
            node_id: self.board.node_id,
            capability: dispatch.capability.as_str(),
            input: dispatch.input.as_bytes(),
            within: Span::from_millis(dispatch.remaining_ms.into()),
            max_result: longest,
        };
        let started = self.handlers.start(&task, output.get_mut(..longest).unwrap_or_default());
        if let (Started::Runs | Started::AwaitsMediation, Some(place)) =
            (started, self.limits.iter_mut().find(|place| place.is_none()))
        {
            *place = Some((id, dispatch.max_payload));
        }
        match started {
            Started::Runs => self.progress.due = Some(TaskReport::Started(id)),
            Started::AwaitsMediation => self.note(TaskEvent::AwaitsMediation(id), output),
            Started::Ended(end) => self.end(id, end, longest, output),
        }
    }

    async fn next(&mut self, output: &mut [u8]) {
        // The output holds the text of a report that is still owed.
        if self.progress.due.is_some() {
            return core::future::pending().await;
        }
        let event = self.handlers.next(output).await;
        self.note(event, output);
    }

    fn unsaved(&self) -> bool {
        self.progress.unsaved
    }

    fn ended(&self) -> Option<TaskNews<'static>> {
        match self.progress.due {
            Some(TaskReport::Ended(id, end, _)) => Some(TaskNews::Ended(id, end)),
            Some(
                TaskReport::Announce(_)
                | TaskReport::Started(_)
                | TaskReport::AwaitsMediation(_)
                | TaskReport::Progress { .. }
                | TaskReport::Answer { .. },
            )
            | None => None,
        }
    }

    async fn save(&mut self, keep: &mut K) -> Result<(), KeepError> {
        keep.keep_board(self.board, self.record).await?;
        // The mark goes only after the write, so that a failed one is tried again.
        self.progress.unsaved = false;
        Ok(())
    }

    fn report(&mut self) -> Option<TaskReport> {
        if !self.progress.linked {
            return None;
        }
        while let Some(at) = self.progress.announces {
            let Some(capability) = self.handlers.capability(at) else {
                self.progress.announces = None;
                break;
            };
            self.progress.announces = Some(at.saturating_add(1));
            // One that cannot be announced is left out, as `Capability::check` tells beforehand.
            if let Ok(announce) = capability.announced() {
                return Some(TaskReport::Announce(announce));
            }
        }
        self.progress.due.take()
    }
}
