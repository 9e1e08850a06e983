//! The mark, the run, steps of the clock, and entries seen to be over.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use handfast_core::registry::trusted_time::ClockStep;
use handfast_core::time::UnixTime;

use super::MemoryStore;
use crate::{Over, Run, StoreError, TakenOver, Timekeeping, rules};

/// The stored state of the clock.
#[derive(Clone, Debug, Default)]
pub(super) struct TimeState {
    run: u64,
    mark: Option<UnixTime>,
}

/// Moves a time. A time that means "no end" stays as it is.
pub(super) fn moved(time: UnixTime, by: i64) -> UnixTime {
    if time.as_secs() >= 1 << 60 { time } else { time.moved(by) }
}

#[async_trait]
impl Timekeeping for MemoryStore {
    async fn begin_run(&self) -> Result<Run, StoreError> {
        let mut state = self.state();
        let made = [
            state.nodes.made_last(),
            state.grants.made_last(),
            state.codes.made_last(),
            state.companions.made_last(),
            state.senders.made_last(),
        ];
        let mark =
            state.time.mark.map(|mark| rules::begins_after(mark, made.into_iter().flatten()));
        state.time.run += 1;
        let run = Run { number: state.time.run, mark };
        state.nodes.run = run.number;
        state.grants.run = run.number;
        state.codes.run = run.number;
        state.companions.run = run.number;
        state.senders.run = run.number;
        state.deliveries.run = run.number;
        Ok(run)
    }

    async fn raise_mark(&self, mark: UnixTime) -> Result<(), StoreError> {
        let kept = &mut self.state().time;
        kept.mark = kept.mark.max(Some(mark));
        Ok(())
    }

    async fn take_over(&self, step: ClockStep) -> Result<TakenOver, StoreError> {
        let mut state = self.state();
        let mut taken = TakenOver::default();
        if step.by() != 0 {
            let deliveries = state.deliveries.move_by(step.by());
            taken.moved = deliveries.len() as u64
                + state.nodes.move_by(step.by(), &deliveries)
                + state.grants.move_by(step.by())
                + state.codes.move_by(step.by())
                + state.companions.move_by(step.by())
                + state.senders.move_by(step.by());
        }
        if step.sets_back() {
            let latest = rules::latest_made(step.mark());
            let deliveries = state.deliveries.end_later(latest);
            taken.ended = deliveries.len() as u64
                + state.nodes.end_later(latest, &deliveries)
                + state.grants.end_later(latest)
                + state.codes.end_later(latest)
                + state.companions.end_later(latest)
                + state.senders.end_later(latest);
        }
        state.time.mark = Some(step.mark());
        self.inbound_epoch.fetch_add(1, Ordering::Release);
        Ok(taken)
    }

    async fn write_over(&self, what: Over, now: UnixTime) -> Result<bool, StoreError> {
        let mut state = self.state();
        Ok(match what {
            Over::Session(id) => state.companions.write_over(id, now),
            Over::Grant(node_id, id) => state.grants.write_over(node_id, id, now),
            Over::Request(id) => state.nodes.write_over(id, now),
            Over::Code(id) => state.codes.write_over(id, now),
            Over::Window => state.codes.close_over(now),
            Over::SetupCode(end) => state.companions.mark_over(end, now),
            Over::Sender(name) => state.senders.write_over(&name, now),
        })
    }
}
