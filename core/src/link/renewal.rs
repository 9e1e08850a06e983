//! The schedule for renewing a grant or a certificate: at two thirds of its life, then at ever
//! shorter intervals.

use crate::flow::identity::certificate::renews_at;
use crate::time::{Span, UnixTime};

/// Longest wait before a plan is looked at again, because the wall clock may be set meanwhile, and
/// interval between requests once the life has ended.
const LOOK_EVERY: Span = Span::from_secs(600);
/// Minimum interval between requests.
const PATIENCE: Span = Span::from_secs(60);

/// The time of the next renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RenewalPlan {
    at: UnixTime,
    expires: UnixTime,
    /// `true` if it is renewed after its end as well.
    outlives: bool,
}

impl RenewalPlan {
    /// Makes a plan for a renewal at a time of the caller's choice. `outlives` says whether it is
    /// renewed after its end as well.
    #[must_use]
    pub const fn new(at: UnixTime, expires: UnixTime, outlives: bool) -> Self {
        Self { at, expires, outlives }
    }

    /// Plans the renewal of a capability token at two thirds of its life. One that has ended is
    /// asked for when the node links.
    #[must_use]
    pub fn of_token(not_before: UnixTime, expires: UnixTime) -> Self {
        Self::new(renews_at(not_before, expires), expires, false)
    }

    /// Plans the renewal of a certificate at two thirds of its life. It is renewed after its end as
    /// well.
    #[must_use]
    pub fn of_certificate(not_before: UnixTime, expires: UnixTime) -> Self {
        Self::new(renews_at(not_before, expires), expires, true)
    }

    /// Moves the next request to this time.
    #[must_use]
    pub const fn moved_to(self, at: UnixTime) -> Self {
        Self { at, ..self }
    }

    /// Brings the next request forward to this time, if it is later.
    #[must_use]
    pub fn no_later_than(self, at: UnixTime) -> Self {
        Self { at: self.at.min(at), ..self }
    }

    /// Returns the plan after a request. If the request has no result, the next one follows when
    /// half of the remaining life has passed; after the end, in ten minutes.
    #[must_use]
    pub fn asked(self, now: UnixTime) -> Self {
        let left = self.expires.as_secs().saturating_sub(now.as_secs());
        let wait = if left == 0 { LOOK_EVERY } else { Span::from_secs(left / 2).max(PATIENCE) };
        Self { at: now.after(wait), ..self }
    }

    /// Returns the time until the plan has to be looked at again: zero if the renewal is due;
    /// `None` if it has ended and is not renewed after that.
    #[must_use]
    pub fn wait(&self, now: UnixTime) -> Option<Span> {
        if self.expires <= now && !self.outlives {
            return None;
        }
        let left = self.at.as_secs().saturating_sub(now.as_secs());
        Some(Span::from_secs(left).min(LOOK_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn a_renewal_is_due_at_two_thirds_of_the_life() {
        let plan = RenewalPlan::of_token(at(1000), at(1900));
        assert_eq!(plan.wait(at(1590)), Some(Span::from_secs(10)));
        assert_eq!(plan.wait(at(1600)), Some(Span::from_secs(0)));
        assert_eq!(plan.wait(at(0)), Some(LOOK_EVERY));
    }

    #[test]
    fn only_a_certificate_is_renewed_after_its_end() {
        assert_eq!(RenewalPlan::of_token(at(0), at(900)).wait(at(900)), None);
        let certificate = RenewalPlan::of_certificate(at(0), at(900));
        assert_eq!(certificate.wait(at(900)), Some(Span::from_secs(0)));
        assert_eq!(certificate.asked(at(900)).wait(at(900)), Some(LOOK_EVERY));
    }

    #[test]
    fn a_request_without_a_result_is_repeated_at_half_the_rest_but_not_within_a_minute() {
        let plan = RenewalPlan::of_token(at(0), at(900));
        assert_eq!(plan.asked(at(600)).wait(at(600)), Some(Span::from_secs(150)));
        assert_eq!(plan.asked(at(880)).wait(at(880)), Some(PATIENCE));
    }
}
