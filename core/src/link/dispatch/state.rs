//! The states of a dispatch, and the ends that a node reports.

/// The state of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DispatchState {
    /// The dispatch waits for the node's link.
    Queued,
    /// The dispatch was handed to the link; nothing is heard of it yet.
    Sent,
    /// A person at the node has to agree first.
    AwaitingMediation,
    /// The node works on it.
    Running,
    /// The task is done.
    Succeeded,
    /// The task was tried and failed, or the node was switched off while it ran.
    Failed,
    /// The node did not try the task.
    Rejected,
    /// The time was over before the dispatch was sent, or it was sent and never came.
    Expired,
    /// The time was over after the dispatch had been sent.
    TimedOut,
    /// The dispatch was cancelled before it had a result.
    Cancelled,
    /// The dispatch was sent, the link was lost, and no result came.
    Unknown {
        /// `true` if the node is not asked about it, or can no longer tell.
        for_good: bool,
    },
}

impl DispatchState {
    /// Returns the state's word in the API and in listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::AwaitingMediation => "awaiting_mediation",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str). It does not tell whether an unknown dispatch is
    /// so for good, which a store keeps beside it.
    #[must_use]
    pub fn parse(text: &str, for_good: bool) -> Option<Self> {
        [
            Self::Queued,
            Self::Sent,
            Self::AwaitingMediation,
            Self::Running,
            Self::Succeeded,
            Self::Failed,
            Self::Rejected,
            Self::Expired,
            Self::TimedOut,
            Self::Cancelled,
            Self::Unknown { for_good },
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }

    /// Returns `true` if the dispatch was sent and its result is still due on the present link.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        match self {
            Self::Sent | Self::AwaitingMediation | Self::Running => true,
            Self::Queued
            | Self::Succeeded
            | Self::Failed
            | Self::Rejected
            | Self::Expired
            | Self::TimedOut
            | Self::Cancelled
            | Self::Unknown { .. } => false,
        }
    }

    /// Returns `true` if nothing more is due. A late result may still be kept beside it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::Succeeded
            | Self::Failed
            | Self::Rejected
            | Self::Expired
            | Self::TimedOut
            | Self::Cancelled
            | Self::Unknown { for_good: true } => true,
            Self::Queued
            | Self::Sent
            | Self::AwaitingMediation
            | Self::Running
            | Self::Unknown { for_good: false } => false,
        }
    }
}

/// The end of a task, as its node reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DispatchEnd {
    /// The task is done.
    Succeeded,
    /// The task was tried and failed.
    Failed,
    /// The task was not tried.
    Rejected,
    /// The task was not done in time.
    TimedOut,
    /// The task was cancelled.
    Cancelled,
}

impl DispatchEnd {
    /// Returns the end's word, which is that of the state it leads to.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.state().as_str()
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Succeeded, Self::Failed, Self::Rejected, Self::TimedOut, Self::Cancelled]
            .into_iter()
            .find(|end| end.as_str() == text)
    }

    pub(super) const fn state(self) -> DispatchState {
        match self {
            Self::Succeeded => DispatchState::Succeeded,
            Self::Failed => DispatchState::Failed,
            Self::Rejected => DispatchState::Rejected,
            Self::TimedOut => DispatchState::TimedOut,
            Self::Cancelled => DispatchState::Cancelled,
        }
    }
}
