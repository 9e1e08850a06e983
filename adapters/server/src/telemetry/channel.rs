//! What is counted for each channel of the inbound gate.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::label_values::{Approval, Challenge, DropReason, words};
use super::labels::{Counters, Labels};

/// One admission in so many is worth the two looks at the clock.
const TIMED: u64 = 64;

/// What the gate made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is let in.
    Admitted,
    /// Its sender has to be approved first.
    Challenged,
    /// It is not let in, and its sender is not answered.
    Dropped(DropReason),
    /// The store, or the channel's own naming of senders, failed: it is not let in.
    Failed,
}

words! {
    /// How a decision is counted; for what was dropped, its reason is counted apart.
    enum Outcome {
        /// Let in.
        Admitted = "admitted",
        /// To be approved first.
        Challenged = "challenged",
        /// Neither let in nor answered.
        Dropped = "dropped",
        /// Not decided.
        Failed = "failed",
    }
}

/// The counters of one channel. To count is one atomic addition, without a lock or a look-up: keep
/// it with the channel.
#[derive(Debug)]
pub struct ChannelMetrics {
    name: Arc<str>,
    approvals: Counters<Approval>,
    challenged: Counters<Challenge>,
    capped: Counter,
    outcomes: Counters<Outcome>,
    admitted: Counter,
    dropped: Counters<DropReason>,
}

impl ChannelMetrics {
    /// The channel's name as it is exposed: shortened, without control characters, `unknown` if it
    /// was empty, `other` if there was no room for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts one decision on a message, and where it was dropped because too many senders wait,
    /// one challenge that was capped.
    pub fn decided(&self, decision: Decision) {
        match decision {
            Decision::Admitted => {
                self.admitted.inc();
            }
            Decision::Challenged => self.outcomes.add(Outcome::Challenged, 1),
            Decision::Dropped(reason) => {
                self.outcomes.add(Outcome::Dropped, 1);
                self.dropped.add(reason, 1);
                if reason == DropReason::Full {
                    self.capped.inc();
                }
            }
            Decision::Failed => self.outcomes.add(Outcome::Failed, 1),
        }
    }

    /// Counts what became of one challenge.
    pub fn challenged(&self, challenge: Challenge) {
        self.challenged.add(challenge, 1);
    }

    /// Counts what an operator's decision on one sender came to.
    pub fn approval(&self, approval: Approval) {
        self.approvals.add(approval, 1);
    }

    /// Whether the next admission from memory is one to time. One in 64 is; to look at the clock
    /// twice costs more than all the rest. It reads one counter and changes nothing, so ask before
    /// each message, and measure those that go to the store always.
    #[must_use]
    pub fn is_to_be_timed(&self) -> bool {
        self.admitted.get().is_multiple_of(TIMED)
    }
}

/// The families of which each channel has its own series.
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
        // Names without `_total`, which is appended.
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
