//! Schedule for the renewal of a node's token or certificate: at two thirds of its life, then at
//! ever shorter intervals; and at once for a certificate that the gateway refuses.

use std::time::{Duration, Instant};

use handfast_core::UnixTime;
use handfast_core::flow::identity::replacement::ReplacementRequests;
use handfast_core::link::renewal::RenewalPlan;

use super::certificate::CertificateFacts;
use super::chain::ChainFacts;
use crate::clock::unix_now;

/// The next renewal, if there is something to renew.
#[derive(Debug, Default)]
pub(super) struct RenewalSchedule {
    plan: Option<RenewalPlan>,
    /// `true` if what the node has is refused, or it has nothing.
    replaces: bool,
    replacements: ReplacementRequests,
    /// The time of the last request for a replacement.
    replaced: Option<Instant>,
    /// `true` if the last request has no answer yet.
    unanswered: bool,
}

impl From<&ChainFacts> for RenewalPlan {
    fn from(facts: &ChainFacts) -> Self {
        Self::of_token(facts.not_before, facts.expires)
    }
}

impl From<&CertificateFacts> for RenewalPlan {
    fn from(facts: &CertificateFacts) -> Self {
        Self::of_certificate(facts.not_before, facts.not_after)
    }
}

impl RenewalSchedule {
    pub(super) fn plan(&mut self, plan: Option<RenewalPlan>) {
        (self.plan, self.replaces, self.unanswered) = (plan, false, false);
    }

    /// Records that the last request was refused.
    pub(super) fn refused(&mut self) {
        self.unanswered = false;
    }

    /// Repeats a request at once whose answer was lost with its link.
    pub(super) fn linked(&mut self) {
        if self.unanswered {
            let at = unix_now();
            self.plan = self.plan.map(|plan| plan.moved_to(at));
        }
    }

    /// Brings the next request forward, because what the node has is refused or it has nothing.
    pub(super) fn replace(&mut self) {
        if std::mem::replace(&mut self.replaces, true) {
            return;
        }
        let wait = Duration::from_secs(self.replacements.wait().as_secs());
        let left = self.replaced.map_or(Duration::ZERO, |at| wait.saturating_sub(at.elapsed()));
        let at = later(left);
        self.plan = Some(match self.plan {
            Some(plan) => plan.no_later_than(at),
            None => RenewalPlan::new(at, at, true),
        });
    }

    /// Records that what the node has is accepted. Returns `true` if it was to be replaced.
    pub(super) fn accepted(&mut self) -> bool {
        self.replacements = ReplacementRequests::default();
        std::mem::take(&mut self.replaces)
    }

    /// Records a request. If it has no result, the next one follows when half of the remaining life
    /// has passed; after the end, in ten minutes.
    pub(super) fn asked(&mut self) {
        let now = unix_now();
        // A repeated one gets the answer of the one before.
        let repeated = std::mem::replace(&mut self.unanswered, true);
        if self.replaces && !repeated {
            self.replacements = self.replacements.and_one_more();
            self.replaced = Some(Instant::now());
        }
        let replacement = Duration::from_secs(self.replacements.wait().as_secs());
        self.plan = self.plan.map(|plan| {
            if self.replaces { plan.moved_to(later(replacement)) } else { plan.asked(now) }
        });
    }

    /// Waits until the renewal is due; forever if there is nothing to renew, or it has ended and
    /// is not renewed after that.
    pub(super) async fn due(&self) {
        // The wait is reckoned anew after each sleep, because the clock may have been set.
        while let Some(wait) = self.plan.and_then(|plan| plan.wait(unix_now())) {
            if wait.as_millis() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(wait.as_millis())).await;
        }
        std::future::pending::<()>().await;
    }
}

/// Returns the time after this wait, rounded up to a second.
fn later(wait: Duration) -> UnixTime {
    let secs = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    UnixTime::from_secs(unix_now().as_secs().saturating_add(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(at: u64, expires: u64, outlives: bool) -> RenewalSchedule {
        let now = unix_now().as_secs();
        let mut renewal = RenewalSchedule::default();
        let time = |secs| UnixTime::from_secs(now + secs);
        renewal.plan(Some(RenewalPlan::new(time(at), time(expires), outlives)));
        renewal
    }

    async fn is_due(renewal: &RenewalSchedule) -> bool {
        tokio::time::timeout(Duration::from_millis(20), renewal.due()).await.is_ok()
    }

    #[tokio::test]
    async fn a_token_is_due_when_its_time_has_come_and_not_once_it_has_run_out() {
        assert!(is_due(&plan(0, 100, false)).await);
        assert!(!is_due(&plan(50, 100, false)).await);
        assert!(!is_due(&plan(0, 0, false)).await);
        assert!(!is_due(&RenewalSchedule::default()).await);
    }

    #[tokio::test]
    async fn a_certificate_is_due_after_its_end_as_well() {
        assert!(is_due(&plan(0, 0, true)).await);
    }

    #[tokio::test]
    async fn a_gateway_that_gives_nothing_is_not_asked_at_once_again() {
        for outlives in [false, true] {
            let mut renewal = plan(0, 1000, outlives);
            renewal.asked();
            assert!(!is_due(&renewal).await);
        }
    }

    #[tokio::test]
    async fn a_refused_or_missing_certificate_is_asked_for_at_once_and_the_next_one_later() {
        for mut renewal in [plan(500, 1000, true), RenewalSchedule::default()] {
            renewal.replace();
            assert!(is_due(&renewal).await);
            renewal.asked();
            assert!(!is_due(&renewal).await, "it was asked for");
            // A new one came, and is refused as well.
            renewal.plan(plan(500, 1000, true).plan);
            renewal.replace();
            assert!(!is_due(&renewal).await, "a minute has not passed");
            // Once a certificate was accepted, the next refusal is the first again.
            assert!(renewal.accepted());
            renewal.replace();
            assert!(is_due(&renewal).await);
        }
    }

    #[tokio::test]
    async fn a_request_whose_answer_was_lost_is_repeated_with_the_next_link() {
        for replaces in [false, true] {
            let mut renewal = plan(0, 1000, true);
            if replaces {
                renewal.replace();
            }
            renewal.asked();
            assert!(!is_due(&renewal).await);
            renewal.linked();
            assert!(is_due(&renewal).await);
            renewal.asked();
            renewal.refused();
            renewal.linked();
            assert!(!is_due(&renewal).await, "it was answered");
        }
    }
}
