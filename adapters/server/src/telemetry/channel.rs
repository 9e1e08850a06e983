//! The metrics of each channel of the inbound gate.

use std::sync::Arc;

use super::counting::{Counter, Family, Registry};
use super::label_values::{ApprovalResult, ChallengeResult, DropReason, words};
use super::labels::{Counters, Labels};

/// The sampling rate: one admission in so many is timed.
const TIMED: u64 = 64;

/// The gate's decision about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateDecision {
    /// The message is admitted.
    Admitted,
    /// The sender has to be approved first.
    Challenged,
    /// The message is dropped, and its sender gets no answer.
    Dropped(DropReason),
    /// The store, or the channel's normalization of senders, failed: the message is not admitted.
    Failed,
}

words! {
    /// The label value of a decision. The reason of a dropped message has its own counter.
    enum CountedOutcome {
        /// The message was admitted.
        Admitted = "admitted",
        /// The sender was challenged.
        Challenged = "challenged",
        /// The message was dropped without an answer.
        Dropped = "dropped",
        /// The decision failed.
        Failed = "failed",
    }
}

/// The counters of one channel. Counting is one atomic addition, without a lock or a look-up: keep
/// the value with the channel.
#[derive(Debug)]
pub struct ChannelMetrics {
    name: Arc<str>,
    approvals: Counters<ApprovalResult>,
    challenged: Counters<ChallengeResult>,
    capped: Counter,
    outcomes: Counters<CountedOutcome>,
    admitted: Counter,
    dropped: Counters<DropReason>,
}

impl ChannelMetrics {
    /// Returns the channel's name as it is exposed: shortened, without control characters;
    /// `unknown` for an empty name, `other` if there was no room for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a decision about a message. If it was dropped because too many senders wait, a capped
    /// challenge counts, too.
    pub fn decided(&self, decision: GateDecision) {
        match decision {
            GateDecision::Admitted => {
                self.admitted.inc();
            }
            GateDecision::Challenged => self.outcomes.add(CountedOutcome::Challenged, 1),
            GateDecision::Dropped(reason) => {
                self.outcomes.add(CountedOutcome::Dropped, 1);
                self.dropped.add(reason, 1);
                if reason == DropReason::Full {
                    self.capped.inc();
                }
            }
            GateDecision::Failed => self.outcomes.add(CountedOutcome::Failed, 1),
        }
    }

    /// Counts the outcome of a challenge.
    pub fn challenged(&self, challenge: ChallengeResult) {
        self.challenged.add(challenge, 1);
    }

    /// Counts the outcome of an operator's decision about a sender.
    pub fn approval(&self, approval: ApprovalResult) {
        self.approvals.add(approval, 1);
    }

    /// Returns `true` if the next admission from memory should be timed, which is one in 64:
    /// reading the clock twice costs more than the admission. It reads one counter and changes
    /// nothing, so ask before each message. Messages that go to the store are always timed.
    #[must_use]
    pub fn is_to_be_timed(&self) -> bool {
        self.admitted.get().is_multiple_of(TIMED)
    }
}

/// The metric families with a series for each channel.
#[derive(Debug, Default)]
pub(super) struct ChannelFamilies {
    approvals: Family<Labels, Counter>,
    challenged: Family<Labels, Counter>,
    inbound: Family<Labels, Counter>,
    dropped: Family<Labels, Counter>,
}

impl ChannelFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self::default();
        // The encoder appends `_total` to these names.
        registry.register(
            "pairing_approvals",
            "Decisions of operators on senders that wait",
            families.approvals.clone(),
        );
        registry.register(
            "pairing_inbound_challenged",
            "Challenges to unknown senders",
            families.challenged.clone(),
        );
        registry.register(
            "pairing_inbound",
            "Messages that reached the gate",
            families.inbound.clone(),
        );
        registry.register(
            "pairing_inbound_dropped",
            "Messages that the gate dropped",
            families.dropped.clone(),
        );
        families
    }

    pub(super) fn channel(&self, name: Arc<str>) -> ChannelMetrics {
        let labels = Labels::open("channel", &name);
        let counter = |family: &Family<Labels, Counter>, key, word| {
            family.get_or_create_owned(&labels.clone().with(key, word))
        };
        ChannelMetrics {
            approvals: Counters::of(&self.approvals, &labels, "result"),
            challenged: Counters::of(&self.challenged, &labels, "result"),
            capped: counter(&self.challenged, "result", "capped"),
            outcomes: Counters::of(&self.inbound, &labels, "decision"),
            admitted: counter(&self.inbound, "decision", "admitted"),
            dropped: Counters::of(&self.dropped, &labels, "reason"),
            name,
        }
    }
}
