//! Allowances and challenges that are over, and those that only a doubted clock would end.

use handfast_core::UnixTime;
use handfast_core::registry::inbound::{ChallengeCode, Facts};
use handfast_store::{Over, SenderFilter, SenderName, SenderStanding, StoreError};

use super::Gate;

/// Maximum number of removals at once: the default limit of waiting senders.
const MOST_EXPIRIES: usize = 64;

impl Gate {
    /// Records that an allowance has expired, if it has and the clock is good.
    pub(super) async fn note_over(&self, facts: &Facts, name: impl FnOnce() -> SenderName) {
        let inner = &self.inner;
        let now = inner.clock.unix();
        let over = facts
            .allowed
            .is_some_and(|allowed| allowed.revoked_at.is_none() && !allowed.is_active(now));
        // While the clock is not good, nothing is written as over.
        if !over || !inner.clock.trusted().is_good() {
            return;
        }
        // An allowance that is over counts so in any case, so a failed note changes nothing.
        if let Err(error) = inner.store.write_over(Over::Sender(name()), now).await {
            tracing::warn!(%error, "that what a sender was allowed is over could not be written");
        }
    }

    /// Returns `true` if an allowance would have expired only by a jump of the doubted clock.
    pub(super) async fn is_doubted(
        &self,
        facts: &Facts,
        name: impl FnOnce() -> SenderName,
    ) -> Result<bool, StoreError> {
        let inner = &self.inner;
        let moment = inner.clock.moment();
        let allowed =
            facts.allowed.filter(|allowed| !facts.blocked && allowed.is_active(moment.now));
        let Some(until) = allowed.and_then(|allowed| allowed.until) else { return Ok(false) };
        // The earliest possible start is tried first, to avoid a second read in nearly every case.
        if !moment.doubts(UnixTime::from_secs(0), until) {
            return Ok(false);
        }
        // The facts do not contain the start of the allowance.
        let (name, limits) = (name(), &inner.settings.limits);
        let filter =
            SenderFilter { channel: Some(name.channel.clone()), all: true, include_revoked: false };
        let all = inner.store.senders(filter, None, usize::MAX, limits, moment.now).await?;
        Ok(all.into_iter().filter(|sender| sender.name == name).any(|sender| {
            match sender.standing {
                SenderStanding::Allowed { at, until: Some(until), .. } => moment.doubts(at, until),
                SenderStanding::Allowed { until: None, .. }
                | SenderStanding::Pending { .. }
                | SenderStanding::Blocked { .. } => false,
            }
        }))
    }

    /// Returns `true` if the sender that waits with this code would have expired only by a jump of
    /// the doubted clock.
    pub(in crate::inbound) async fn waits_in_doubt(
        &self,
        code: ChallengeCode,
    ) -> Result<bool, StoreError> {
        let inner = &self.inner;
        let moment = inner.clock.moment();
        // The clock is not in doubt then, and the long listing is spared.
        if moment.claimed().is_none() {
            return Ok(false);
        }
        let limits = &inner.settings.limits;
        let waiting = inner
            .store
            .senders(SenderFilter::default(), None, usize::MAX, limits, moment.now)
            .await?;
        Ok(waiting.into_iter().any(|sender| match sender.standing {
            SenderStanding::Pending { code: known, created_at, .. } => {
                known == code && moment.doubts(created_at, created_at.after(limits.pending_for))
            }
            SenderStanding::Allowed { .. } | SenderStanding::Blocked { .. } => false,
        }))
    }

    /// Removes those whose waiting is over, and counts them; nobody while the clock is not good.
    pub(in crate::inbound) async fn expire(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let Some(now) = inner.clock.sweeps_at() else { return Ok(()) };
        for _ in 0..MOST_EXPIRIES {
            match inner.store.expire_senders(&inner.settings.limits, now).await? {
                0 => break,
                gone => inner.telemetry.codes_expired(u64::from(gone)),
            }
        }
        Ok(())
    }
}
