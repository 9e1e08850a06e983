//! Schedule for the renewal of a node's token: at two thirds of its life, then at ever shorter
//! intervals.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast_core::UnixTime;

use super::chain::ChainFacts;
use crate::clock::unix_now;

/// The wall clock may be set while a node waits, so it is checked at this interval.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Minimum interval between requests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The next renewal, if there is a token to renew.
#[derive(Debug, Default)]
pub(super) struct RenewalSchedule(Option<RenewalPlan>);

#[derive(Clone, Copy, Debug)]
struct RenewalPlan {
    at: UnixTime,
    expires: UnixTime,
}

impl RenewalSchedule {
    pub(super) fn plan(&mut self, facts: Option<&ChainFacts>) {
        self.0 = facts.map(|facts| RenewalPlan { at: facts.renew_at(), expires: facts.expires });
    }

    /// Records a request. If it has no result, the next one follows when half of the remaining life
    /// has passed.
    pub(super) fn asked(&mut self) {
        let now = unix_now();
        self.0 = self.0.map(|plan| {
            let left = Duration::from_secs(plan.expires.as_secs().saturating_sub(now.as_secs()));
            let wait = (left / 2).max(PATIENCE);
            RenewalPlan {
                at: UnixTime::from_secs(now.as_secs().saturating_add(wait.as_secs())),
                ..plan
            }
        });
    }

    /// Waits until the renewal is due; forever if there is nothing to renew, or the token has
    /// expired.
    pub(super) async fn due(&self) {
        let Some(RenewalPlan { at, expires }) = self.0 else { return std::future::pending().await };
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            if now.as_secs() >= expires.as_secs() {
                return std::future::pending().await;
            }
            match Duration::from_secs(at.as_secs()).checked_sub(now) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_EVERY)).await,
                Some(_) | None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(at: u64, expires: u64) -> RenewalSchedule {
        let now = unix_now().as_secs();
        RenewalSchedule(Some(RenewalPlan {
            at: UnixTime::from_secs(now + at),
            expires: UnixTime::from_secs(now + expires),
        }))
    }

    async fn is_due(renewal: &RenewalSchedule) -> bool {
        tokio::time::timeout(Duration::from_millis(20), renewal.due()).await.is_ok()
    }

    #[tokio::test]
    async fn it_is_due_when_its_time_has_come_and_not_once_the_token_has_run_out() {
        assert!(is_due(&plan(0, 100)).await);
        assert!(!is_due(&plan(50, 100)).await);
        assert!(!is_due(&plan(0, 0)).await);
        assert!(!is_due(&RenewalSchedule::default()).await);
    }

    #[tokio::test]
    async fn a_gateway_that_gives_nothing_is_not_asked_at_once_again() {
        let mut renewal = plan(0, 1000);
        renewal.asked();
        assert!(!is_due(&renewal).await);
    }
}
