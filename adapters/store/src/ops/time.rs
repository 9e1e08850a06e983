//! The mark, the run, steps of the clock, and entries seen to be over.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::trusted_time::ClockStep;

use super::{Database, Decided, RowResult, Tx};
use crate::audit::{Detail, Entry, What};
use crate::{Over, Run, StoreError, TakenOver, Timekeeping, rules};

/// The rows of all concerns by the run that made them, and the mark.
pub(crate) trait TimeRows {
    /// Raises the number of the run. Returns it, and the mark.
    fn begin_run(&mut self) -> RowResult<(u64, Option<UnixTime>)>;

    /// Returns the latest times, none after `latest`, at which this run made entries: one for each
    /// kind of entry at least.
    fn made_last(&mut self, run: u64, latest: UnixTime) -> RowResult<Vec<UnixTime>>;

    /// Returns the mark.
    fn mark(&mut self) -> RowResult<Option<UnixTime>>;

    /// Sets the mark.
    fn set_mark(&mut self, mark: UnixTime) -> RowResult<()>;

    /// Moves the times of everything that this run made, and the ends that it set, by this number
    /// of seconds. A time from 2^60 on means "no end" and does not move; no time moves below 0.
    /// Returns the number of rows, each counted once for every run that it carries.
    fn move_times(&mut self, by: i64) -> RowResult<u64>;

    /// Ends everything that earlier runs made later than this time, and the ends that they set
    /// later than it. Returns the number of rows.
    fn end_made_after(&mut self, latest: UnixTime) -> RowResult<u64>;

    /// Records that an entry is over, if it has ended by now and that was not recorded; `false`
    /// otherwise. Works for a damaged one too.
    fn end_over(&mut self, what: &Over, now: UnixTime) -> RowResult<bool>;
}

pub(super) fn begin_run(tx: &mut dyn Tx) -> Result<Run, StoreError> {
    let (number, mark) = tx.begin_run()?;
    let mark = match mark {
        Some(mark) => {
            let made = tx.made_last(number.saturating_sub(1), rules::latest_made(mark))?;
            Some(rules::begins_after(mark, made))
        }
        None => None,
    };
    Ok(Run { number, mark })
}

pub(super) fn raise_mark(tx: &mut dyn Tx, mark: UnixTime) -> Result<(), StoreError> {
    match tx.mark()?.is_none_or(|before| before < mark) {
        true => tx.set_mark(mark),
        false => Ok(()),
    }
}

pub(super) fn take_over(
    tx: &mut dyn Tx,
    step: ClockStep,
) -> Result<Decided<TakenOver>, StoreError> {
    let mut taken = TakenOver::default();
    if step.by() != 0 {
        taken.moved = tx.move_times(step.by())?;
    }
    let latest = rules::latest_made(step.mark());
    if step.sets_back() {
        taken.ended = tx.end_made_after(latest)?;
    }
    if step.by() < 0 {
        // The times of a certificate are signed, so it cannot move.
        taken.ended += tx.supersede_issued_after(latest, step.sets_back())?;
    }
    tx.set_mark(step.mark())?;
    // Cached facts about senders contain ends that have moved.
    tx.facts_changed();
    let details = [Detail::Seconds(step.by()), Detail::Count(taken.moved + taken.ended)];
    Ok(Decided::by(taken, Entry::new(What::AcceptClock, details)))
}

#[async_trait]
impl<D: Database> Timekeeping for D {
    async fn begin_run(&self) -> Result<Run, StoreError> {
        self.change(begin_run).await
    }

    async fn raise_mark(&self, mark: UnixTime) -> Result<(), StoreError> {
        self.change(move |tx| raise_mark(tx, mark)).await
    }

    async fn take_over(&self, step: ClockStep) -> Result<TakenOver, StoreError> {
        self.decide(move |tx| take_over(tx, step)).await
    }

    async fn write_over(&self, what: Over, now: UnixTime) -> Result<bool, StoreError> {
        self.change(move |tx| tx.end_over(&what, now)).await
    }
}
