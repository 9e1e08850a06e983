//! Approval policies. These calls go to the store unchanged: a policy approves by a write, so none
//! approves while the store cannot be written.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::policies::PolicyId;

use super::HeldStore;
use crate::{ByPolicy, Policies, SaveError, StoreError, StoredPolicy, Version};

#[async_trait]
impl Policies for HeldStore {
    async fn add_policy(&self, policy: StoredPolicy, now: UnixTime) -> Result<bool, StoreError> {
        self.wrote(self.store.add_policy(policy, now).await)
    }

    async fn policies(&self) -> Result<Vec<StoredPolicy>, StoreError> {
        self.store.policies().await
    }

    async fn end_policy(&self, id: PolicyId, now: UnixTime) -> Result<bool, StoreError> {
        self.wrote(self.store.end_policy(id, now).await)
    }

    async fn offer_by_policy(
        &self,
        offered: ByPolicy,
        now: UnixTime,
    ) -> Result<Option<Version>, SaveError> {
        self.wrote_save(self.store.offer_by_policy(offered, now).await)
    }
}
