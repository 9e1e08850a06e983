//! The gateway's timekeeping: reading the clocks, taking steps over, and writing the mark and
//! expired things.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::registry::trusted_time::{ClockState, ClockStep, NotAccepted};
use handfast_core::{UnixTime, rfc3339};
use handfast_store::{Over, StoreError, TakenOver};

use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, Inner, certificates};
use crate::telemetry::outage::Outage;

/// The interval at which the clocks are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The state of the gateway's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStatus {
    /// The judgement of the system's clock: good, behind or doubtful.
    pub state: ClockState,
    /// The time that the gateway uses.
    pub now: UnixTime,
    /// The time of the system's clock.
    pub wall: UnixTime,
    /// The latest time that is known to have been.
    pub mark: UnixTime,
    /// `true` if the system calls its clock synchronised.
    pub synchronised: bool,
}

impl ClockStatus {
    /// Returns the problem and its remedy; `None` if the clock is good.
    #[must_use]
    pub fn mend(&self) -> Option<String> {
        let (wall, now) = (rfc3339::write(self.wall), rfc3339::write(self.now));
        match self.state {
            ClockState::Good { ahead } if ahead.unsigned_abs() <= 60 => None,
            ClockState::Good { .. } => Some(format!(
                "the system's clock was set to {wall} and is not known to be synchronised, so the \
                 gateway goes on from {now}; what it says is taken over at the next start, or once \
                 an operator accepts it"
            )),
            ClockState::Behind { .. } => Some(format!(
                "the system's clock says {wall}, which cannot be: the gateway has known a later \
                 time, and goes on from {now}. Set the system's clock; if the later time was \
                 false, the owner can say what time it is"
            )),
            ClockState::Doubtful { ahead, .. } => Some(format!(
                "the system's clock says {wall}, {} days after all that the gateway has known: \
                 what would be over only by that is refused, and is not ended. It is believed \
                 once it has been synchronised for 24 hours, or once an operator accepts it; or \
                 set the system's clock",
                ahead.as_secs() / 86_400
            )),
        }
    }
}

impl Gateway {
    /// Returns the state of the clock.
    #[must_use]
    pub fn clock(&self) -> ClockStatus {
        status(&self.inner)
    }

    /// Accepts the system's clock as right, or sets the time `at`, on the operator's word. Setting
    /// a time is reserved to the gateway's owner: it may lower the mark, so that expired things
    /// that were not written as ended are valid again. What earlier runs made later than that time
    /// ends, because its end is unknown.
    ///
    /// # Errors
    /// [`OperatorError::Clock`] if the system's clock is behind, [`OperatorError::SetupKey`] if
    /// there can be no new key for setup codes, and [`OperatorError::Store`]. Nothing was changed
    /// then, except that unspent setup codes may be worthless.
    pub async fn accept_clock(&self, at: Option<UnixTime>) -> Result<TakenOver, OperatorError> {
        let clock = &self.inner.clock;
        // While this is held no other step is taken over, and no certificate is issued.
        let taking = clock.taking().await;
        let accepted = {
            let reading = clock.read();
            let trusted = clock.trusted();
            match at {
                Some(at) => Ok(trusted.accept_at(at, reading)),
                None => trusted.accept(reading),
            }
        };
        let step = accepted.map_err(|NotAccepted::Behind| {
            OperatorError::Clock(
                self.clock().mend().unwrap_or_else(|| "the system's clock is behind".to_owned()),
            )
        })?;
        if step.sets_back() {
            // The record of the codes spent under the false time is lost with it. A new key makes
            // all codes of that time worthless in the true one.
            self.rotate_setup_key(true).await?;
        }
        let taken = take(self, step).await?;
        drop(taking);
        Ok(taken)
    }

    /// Writes that something is over, if the clock is good. It then stays over, whatever the clock
    /// says later.
    pub(crate) async fn note_over(&self, what: Over) {
        if !self.inner.clock.trusted().is_good() {
            return;
        }
        // It is over all the same, and the next use of it tries to write so again.
        if let Err(error) = self.inner.store.write_over(what, self.inner.clock.unix()).await {
            tracing::warn!(%error, "that something is over could not be written");
        }
    }
}

fn status(inner: &Inner) -> ClockStatus {
    let reading = inner.clock.read();
    let trusted = inner.clock.trusted();
    ClockStatus {
        state: trusted.state(reading.elapsed),
        now: trusted.now(reading.elapsed),
        wall: reading.wall,
        mark: trusted.mark(),
        synchronised: reading.synchronised,
    }
}

/// Carries a step out, durably first.
async fn take(gateway: &Gateway, step: ClockStep) -> Result<TakenOver, StoreError> {
    let inner = &gateway.inner;
    let taken = gateway.store().take_over(step).await?;
    inner.clock.trusted().taken(step);
    certificates::follow_step(inner).await?;
    // The times of earlier runs did not move, so the ends of their open links are nearer or farther
    // now.
    inner.hub.all_look_again();
    tracing::warn!(
        seconds = step.by(),
        moved = taken.moved,
        ended = taken.ended,
        now = rfc3339::write(inner.clock.unix()).as_str(),
        "a step of the clock was taken over: what this run made keeps its remaining life"
    );
    Ok(taken)
}

/// Starts the task that reads the clocks, as long as the gateway lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    // After a pause of the machine one reading suffices.
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = "good";
    let mut outage = Outage::default();
    loop {
        looks.tick().await;
        let Some(inner) = gateway.upgrade() else { return };
        match (look(&inner).await, inner.clock.now()) {
            (Err(error), now) => {
                if outage.begins(now) {
                    tracing::error!(%error, "the time could not be written; it is tried each second, and said once it is written again");
                }
            }
            (Ok(()), now) => {
                if let Some(lasted) = outage.ends(now) {
                    let seconds = lasted.as_secs();
                    tracing::info!("the time is written again, and is back after {seconds} s");
                }
            }
        }
        let status = status(&inner);
        if status.state.as_str() != said {
            said = status.state.as_str();
            match status.mend() {
                Some(mend) => tracing::warn!(clock = said, "{mend}"),
                None => tracing::info!(clock = said, "the system's clock is good"),
            }
        }
    }
}

async fn look(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let _taking = inner.clock.taking().await;
    let reading = inner.clock.read();
    let due = inner.clock.trusted().observe(reading);
    if let Some(step) = due.step {
        take(&Gateway::new(Arc::clone(inner)), step).await?;
    } else if let Some(mark) = due.mark {
        inner.store.raise_mark(mark).await?;
        inner.clock.trusted().marked(mark);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
