//! Deliveries. These calls go to the store unchanged: a held decision only takes something away,
//! and a delivery gives nothing that a held decision could withhold.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::delivery::{DeliveryId, NotSettled, Outcome};

use super::HeldStore;
use crate::{Deliveries, Delivery, Settlement, StoreError};

#[async_trait]
impl Deliveries for HeldStore {
    async fn deliver(&self, delivery: Delivery, now: UnixTime) -> Result<(), StoreError> {
        self.wrote(self.store.deliver(delivery, now).await)
    }

    async fn settle(
        &self,
        id: DeliveryId,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Result<Settlement, NotSettled>, StoreError> {
        self.wrote(self.store.settle(id, outcome, now).await)
    }

    async fn settle_all(
        &self,
        ids: Vec<DeliveryId>,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Vec<Result<Settlement, NotSettled>>, StoreError> {
        self.wrote(self.store.settle_all(ids, outcome, now).await)
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.store.undelivered(limit).await
    }
}
