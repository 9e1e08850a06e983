//! The life of a dispatch at the gateway.
//!
//! ```text
//! Queued ──push──▶ Sent ──────▶ AwaitingMediation ──▶ Running ──outcome──▶ Succeeded, Failed,
//!   │  ▲            │  │               │                 │  │               Rejected, Cancelled
//!   │  │ idempotent │  └───────────────┴──link lost──────┘  └──deadline──▶ TimedOut
//!   │  │            │                  ▼
//!   │  └─never came─┼────────────── Unknown ──asked after each link──▶ what the node answers
//!   ├──deadline─────┼───▶ Expired ◀─never came┘  └──▶ Unknown for good (forgotten, or a restored node)
//!   └──cancel───────┼───▶ Cancelled
//! ```
//! A task runs at most once. `Sent` is durable before the message leaves, so a gateway that
//! crashes in between finds `Sent`, counts the link as lost and asks the node. Only a task that
//! the node has certainly not begun is ever sent again. `Unknown` is honest: it was sent, and
//! nobody can tell.
//!
//! A dispatch keeps its number from the queue to its end. So a gateway that was restored from a
//! backup sends what it finds queued under its old number, and the node's
//! [board](super::board::Board) knows that it has run it. [`next_number`] makes every later number
//! higher than those of the time after the backup.

mod state;

pub use state::{DispatchEnd, DispatchState};

use crate::time::{Span, UnixTime};
use crate::wire::native::link::{DispatchOutcome, KnownDispatch};

/// The knowledge of a node's board about a dispatch, without the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Known {
    /// The node works on it.
    Running,
    /// A person at the node has to agree first.
    AwaitingMediation,
    /// The task has ended, with the result if there is one.
    Done(DispatchEnd),
    /// The task succeeded; its result was too long to keep.
    NotKept,
    /// The task was begun, and the node was switched off before it had a result.
    Interrupted,
    /// The dispatch never came.
    NeverCame,
    /// The node may have run it and has forgotten it.
    Forgotten,
}

impl Known {
    /// Returns the knowledge of an answer, without the result.
    #[must_use]
    pub const fn of(answer: &KnownDispatch<'_>) -> Self {
        match answer {
            KnownDispatch::Running => Self::Running,
            KnownDispatch::AwaitingMediation => Self::AwaitingMediation,
            KnownDispatch::Done(outcome) => match outcome.outcome() {
                // A final outcome is neither of these; if one were, the task would still run.
                DispatchOutcome::AwaitingMediation | DispatchOutcome::Started => Self::Running,
                DispatchOutcome::Succeeded(_) => Self::Done(DispatchEnd::Succeeded),
                DispatchOutcome::Failed(_) => Self::Done(DispatchEnd::Failed),
                DispatchOutcome::Rejected(_) => Self::Done(DispatchEnd::Rejected),
                DispatchOutcome::TimedOut => Self::Done(DispatchEnd::TimedOut),
                DispatchOutcome::Cancelled => Self::Done(DispatchEnd::Cancelled),
            },
            KnownDispatch::NotKept => Self::NotKept,
            KnownDispatch::Interrupted => Self::Interrupted,
            KnownDispatch::NeverCame => Self::NeverCame,
            KnownDispatch::Forgotten => Self::Forgotten,
        }
    }
}

/// An event in the life of a dispatch. Those from a node count only on its present link: the
/// adapter drops what a replaced link still delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DispatchEvent {
    /// The node's link stands and takes the dispatch.
    Pushed {
        /// The present time.
        now: UnixTime,
    },
    /// The node has begun the task.
    Started,
    /// A person at the node has to agree first.
    AwaitingMediation,
    /// The node reports progress.
    Progress,
    /// The node reports the end of the task.
    Outcome(DispatchEnd),
    /// The operator cancels the dispatch.
    Cancel,
    /// Time has passed.
    Tick {
        /// The present time.
        now: UnixTime,
    },
    /// The node's link is lost, or the gateway has started again.
    LinkLost,
    /// The node has linked again.
    Linked,
    /// The node answers the question about the dispatch, or says on its own that it does not run
    /// it because it may have run it before.
    Answered {
        /// The node's knowledge.
        known: Known,
        /// The present time.
        now: UnixTime,
    },
    /// The operator released the node from quarantine: it was restored from a backup, so its
    /// board is older than what was sent to it.
    NodeRestored,
    /// The node was revoked: it will not link again.
    NodeRevoked,
    /// The operator sends a dispatch again that certainly never ran.
    Retry {
        /// The new number, from [`next_number`].
        number: u64,
        /// The new deadline.
        deadline: UnixTime,
    },
}

impl DispatchEvent {
    /// Returns the event of a reported outcome.
    #[must_use]
    pub const fn of_outcome(outcome: &DispatchOutcome<'_>) -> Self {
        match outcome {
            DispatchOutcome::AwaitingMediation => Self::AwaitingMediation,
            DispatchOutcome::Started => Self::Started,
            DispatchOutcome::Succeeded(_) => Self::Outcome(DispatchEnd::Succeeded),
            DispatchOutcome::Failed(_) => Self::Outcome(DispatchEnd::Failed),
            DispatchOutcome::Rejected(_) => Self::Outcome(DispatchEnd::Rejected),
            DispatchOutcome::TimedOut => Self::Outcome(DispatchEnd::TimedOut),
            DispatchOutcome::Cancelled => Self::Outcome(DispatchEnd::Cancelled),
        }
    }
}

/// A message to the node. It leaves only after the new state is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DispatchAction {
    /// Send the dispatch.
    Send {
        /// The time that is left, in milliseconds.
        remaining_ms: u32,
    },
    /// Send the cancellation.
    Cancel,
    /// Ask what became of the dispatch.
    Query,
}

/// A dispatch as the registry keeps it, without its capability, input and result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DispatchLife {
    /// The state.
    pub state: DispatchState,
    /// The number among the node's dispatches, which rises.
    pub number: u64,
    /// The absolute end of the time for it, exclusive.
    pub deadline: UnixTime,
    /// `true` if the capability may run twice, so a dispatch that never came is sent again.
    pub idempotent: bool,
    /// `true` if the operator has cancelled it, and the node's answer is due.
    pub cancelling: bool,
    /// The end that the node reported after the dispatch was over without one.
    pub late: Option<DispatchEnd>,
}

/// Number of bits by which the time is shifted in a dispatch's number.
const NUMBERS_A_SECOND_BITS: u32 = 16;

/// Returns the number of a node's next dispatch: above the last one that the registry remembers,
/// and above those that any earlier life of the registry made before this second. It is never zero,
/// which a new [board](super::board::Board) takes for forgotten.
#[must_use]
pub fn next_number(last: Option<u64>, now: UnixTime) -> u64 {
    // The shift leaves room for 65 536 dispatches of a node in one second.
    let of_now = now.as_secs().saturating_mul(1 << NUMBERS_A_SECOND_BITS).max(1);
    last.map_or(of_now, |last| of_now.max(last.saturating_add(1)))
}

impl DispatchLife {
    /// Queues a dispatch that has to be done within this time.
    #[must_use]
    pub fn queued(number: u64, within: Span, idempotent: bool, now: UnixTime) -> Self {
        Self {
            state: DispatchState::Queued,
            number,
            deadline: deadline(within, now),
            idempotent,
            cancelling: false,
            late: None,
        }
    }

    /// Returns `true` if a linked node that has the dispatch is to be told to stop it: an operator
    /// has cancelled it, perhaps at another gateway. Telling it twice does no harm.
    #[must_use]
    pub const fn is_to_stop(&self) -> bool {
        match self.state {
            DispatchState::Sent | DispatchState::AwaitingMediation | DispatchState::Running => {
                self.cancelling
            }
            DispatchState::Queued
            | DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled
            | DispatchState::Unknown { .. } => false,
        }
    }

    /// Returns `true` if the operator may send it again: it certainly never ran.
    #[must_use]
    pub const fn may_retry(&self) -> bool {
        matches!((self.state, self.late), (DispatchState::Expired, None))
    }

    /// Returns the life after an event, and the message that is due once it is stored. An event
    /// that does not apply changes nothing.
    #[must_use]
    pub fn step(self, event: DispatchEvent) -> (Self, Option<DispatchAction>) {
        match event {
            DispatchEvent::Pushed { now } => self.pushed(now),
            DispatchEvent::Started | DispatchEvent::Progress => {
                (self.heard(DispatchState::Running), None)
            }
            DispatchEvent::AwaitingMediation => {
                (self.heard(DispatchState::AwaitingMediation), None)
            }
            DispatchEvent::Outcome(end) => (self.ended(end), None),
            DispatchEvent::Cancel => self.cancelled(),
            DispatchEvent::Tick { now } => (self.at(now), None),
            DispatchEvent::LinkLost => (self.link_lost(), None),
            DispatchEvent::Linked => {
                // A new link means that every earlier one is lost, noticed or not.
                let life = self.link_lost();
                let asks = life.state == DispatchState::Unknown { for_good: false };
                (life, asks.then_some(DispatchAction::Query))
            }
            DispatchEvent::Answered { known, now } => self.answered(known, now),
            DispatchEvent::NodeRestored => (self.left_unknown(), None),
            DispatchEvent::NodeRevoked => match self.state {
                // A queued dispatch was never sent, so its end is certain.
                DispatchState::Queued => (self.with(DispatchState::Cancelled), None),
                DispatchState::Sent
                | DispatchState::AwaitingMediation
                | DispatchState::Running
                | DispatchState::Unknown { .. }
                | DispatchState::Succeeded
                | DispatchState::Failed
                | DispatchState::Rejected
                | DispatchState::Expired
                | DispatchState::TimedOut
                | DispatchState::Cancelled => (self.left_unknown(), None),
            },
            DispatchEvent::Retry { number, deadline } => {
                let again = Self {
                    state: DispatchState::Queued,
                    number,
                    deadline,
                    cancelling: false,
                    ..self
                };
                (if self.may_retry() { again } else { self }, None)
            }
        }
    }

    const fn with(self, state: DispatchState) -> Self {
        Self { state, ..self }
    }

    fn pushed(self, now: UnixTime) -> (Self, Option<DispatchAction>) {
        match self.state {
            // The deadline may have passed before the tick that tells so.
            DispatchState::Queued if self.deadline <= now => {
                (self.with(DispatchState::Expired), None)
            }
            DispatchState::Queued => {
                let left = self.deadline.as_secs().saturating_sub(now.as_secs());
                let left = Span::from_secs(left).as_millis();
                // More than 49 days do not fit into the message, and are cut to that.
                let remaining_ms = u32::try_from(left).unwrap_or(u32::MAX);
                (self.with(DispatchState::Sent), Some(DispatchAction::Send { remaining_ms }))
            }
            DispatchState::Sent
            | DispatchState::AwaitingMediation
            | DispatchState::Running
            | DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled
            | DispatchState::Unknown { .. } => (self, None),
        }
    }

    /// The node says that it has the task, which it can say only if it has it.
    const fn heard(self, state: DispatchState) -> Self {
        match self.state {
            DispatchState::Queued
            | DispatchState::Sent
            | DispatchState::AwaitingMediation
            | DispatchState::Running
            | DispatchState::Unknown { .. } => self.with(state),
            // A final state was told to others, so it stays.
            DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled => self,
        }
    }

    fn ended(self, end: DispatchEnd) -> Self {
        match self.state {
            // A restored gateway may find queued what the node has run: then it is not sent.
            DispatchState::Queued
            | DispatchState::Sent
            | DispatchState::AwaitingMediation
            | DispatchState::Running
            | DispatchState::Unknown { .. } => Self { cancelling: false, ..self.with(end.state()) },
            // The state was told as final, so the result is kept beside it.
            DispatchState::Expired | DispatchState::TimedOut | DispatchState::Cancelled => {
                // The first late end counts, and a repeated one changes nothing.
                Self { late: self.late.or(self.beside(end)), ..self }
            }
            DispatchState::Succeeded | DispatchState::Failed | DispatchState::Rejected => self,
        }
    }

    /// Returns the end unless it says the same as the state.
    fn beside(&self, end: DispatchEnd) -> Option<DispatchEnd> {
        (end.state() != self.state).then_some(end)
    }

    const fn cancelled(self) -> (Self, Option<DispatchAction>) {
        match self.state {
            DispatchState::Queued => (self.with(DispatchState::Cancelled), None),
            DispatchState::Sent | DispatchState::AwaitingMediation | DispatchState::Running => {
                (Self { cancelling: true, ..self }, Some(DispatchAction::Cancel))
            }
            // The node is told after the next link, if it still has the task.
            DispatchState::Unknown { for_good: false } => (Self { cancelling: true, ..self }, None),
            DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled
            | DispatchState::Unknown { for_good: true } => (self, None),
        }
    }

    fn at(self, now: UnixTime) -> Self {
        if now < self.deadline {
            return self;
        }
        match self.state {
            DispatchState::Queued => self.with(DispatchState::Expired),
            DispatchState::Sent | DispatchState::AwaitingMediation | DispatchState::Running => {
                Self { cancelling: false, ..self.with(DispatchState::TimedOut) }
            }
            // Nobody knows yet whether it ran; the node is asked after its next link.
            DispatchState::Unknown { .. }
            | DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled => self,
        }
    }

    const fn link_lost(self) -> Self {
        match self.state {
            DispatchState::Sent | DispatchState::AwaitingMediation | DispatchState::Running => {
                self.with(DispatchState::Unknown { for_good: false })
            }
            DispatchState::Queued
            | DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled
            | DispatchState::Unknown { .. } => self,
        }
    }

    fn answered(self, known: Known, now: UnixTime) -> (Self, Option<DispatchAction>) {
        // The cancellation may have been lost with the last link.
        let cancel = self.cancelling.then_some(DispatchAction::Cancel);
        match known {
            Known::Running => (self.heard(DispatchState::Running), cancel),
            Known::AwaitingMediation => (self.heard(DispatchState::AwaitingMediation), cancel),
            Known::Done(end) => (self.ended(end), None),
            // The result is lost, but the task has succeeded.
            Known::NotKept => (self.ended(DispatchEnd::Succeeded), None),
            // A task that was begun must not run twice, so it counts as failed.
            Known::Interrupted => (self.ended(DispatchEnd::Failed), None),
            Known::NeverCame => (self.never_came(now), None),
            Known::Forgotten => (self.left_unknown(), None),
        }
    }

    /// It was sent, and it certainly does not run.
    fn never_came(self, now: UnixTime) -> Self {
        match self.state {
            DispatchState::Unknown { for_good: false } => {}
            // Only the question after a lost link is answered so. A later answer is not about the
            // message that was sent since.
            DispatchState::Queued
            | DispatchState::Sent
            | DispatchState::AwaitingMediation
            | DispatchState::Running
            | DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled
            | DispatchState::Unknown { for_good: true } => return self,
        }
        let state = match (self.cancelling, self.idempotent && now < self.deadline) {
            // The operator's cancellation outweighs another attempt.
            (true, _) => DispatchState::Cancelled,
            (false, true) => DispatchState::Queued,
            (false, false) => DispatchState::Expired,
        };
        Self { cancelling: false, ..self.with(state) }
    }

    /// Nobody will ever tell what became of it, if it was sent.
    const fn left_unknown(self) -> Self {
        match self.state {
            DispatchState::Sent
            | DispatchState::AwaitingMediation
            | DispatchState::Running
            | DispatchState::Unknown { .. } => {
                Self { cancelling: false, ..self.with(DispatchState::Unknown { for_good: true }) }
            }
            DispatchState::Queued
            | DispatchState::Succeeded
            | DispatchState::Failed
            | DispatchState::Rejected
            | DispatchState::Expired
            | DispatchState::TimedOut
            | DispatchState::Cancelled => self,
        }
    }
}

/// Returns the deadline of a dispatch that is made now. The part of the present second that has
/// passed is not known, so a second is added.
#[must_use]
pub fn deadline(within: Span, now: UnixTime) -> UnixTime {
    let secs = within.as_millis().div_ceil(1000).saturating_add(1);
    now.after(Span::from_secs(secs))
}

#[cfg(test)]
mod tests;
