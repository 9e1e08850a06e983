//! Timekeeping. These calls go to the store unchanged: nothing here is in force before it is
//! written.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::trusted_time::ClockStep;

use super::HeldStore;
use crate::{Over, Run, StoreError, TakenOver, Timekeeping};

#[async_trait]
impl Timekeeping for HeldStore {
    async fn begin_run(&self) -> Result<Run, StoreError> {
        self.wrote(self.store.begin_run().await)
    }

    async fn raise_mark(&self, mark: UnixTime) -> Result<(), StoreError> {
        self.wrote(self.store.raise_mark(mark).await)
    }

    async fn take_over(&self, step: ClockStep) -> Result<TakenOver, StoreError> {
        self.wrote(self.store.take_over(step).await)
    }

    async fn write_over(&self, what: Over, now: UnixTime) -> Result<bool, StoreError> {
        self.wrote(self.store.write_over(what, now).await)
    }
}
