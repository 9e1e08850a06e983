//! The rows of approval policies.

use handfast_core::UnixTime;
use handfast_core::registry::policies::PolicyId;

use super::MemoryTx;
use crate::StoredPolicy;
use crate::ops::{PolicyRows, RowResult};

/// A policy, and the run that made it.
#[derive(Clone, Debug)]
pub(super) struct PolicyRow {
    pub(super) stored: StoredPolicy,
    pub(super) run: u64,
}

impl PolicyRows for MemoryTx {
    fn policy(&mut self, id: PolicyId) -> RowResult<Option<StoredPolicy>> {
        Ok(self.policies.get(&id).map(|row| row.stored.clone()))
    }

    fn policies(&mut self) -> RowResult<Vec<StoredPolicy>> {
        let mut all: Vec<StoredPolicy> =
            self.policies.values().map(|row| row.stored.clone()).collect();
        all.sort_by_key(|stored| (stored.policy.made_at, stored.policy.id));
        Ok(all)
    }

    fn add_policy(&mut self, policy: &StoredPolicy) -> RowResult<bool> {
        let row = PolicyRow { stored: policy.clone(), run: self.singles.run };
        Ok(self.policies.add(policy.policy.id, row))
    }

    fn count_policy_use(&mut self, id: PolicyId) -> RowResult<()> {
        self.policies.change(&id, |row| row.stored.policy.used += 1);
        Ok(())
    }

    fn end_policy(&mut self, id: PolicyId, now: UnixTime) -> RowResult<bool> {
        let ended = self.policies.change(&id, |row| {
            let ended_at = &mut row.stored.policy.ended_at;
            let ends = ended_at.is_none();
            ended_at.get_or_insert(now);
            ends
        });
        Ok(ended.unwrap_or(false))
    }

    fn forget_policies(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let order = |id: &PolicyId, row: &PolicyRow| {
            let policy = &row.stored.policy;
            let over = policy.ends_at.min(policy.ended_at.unwrap_or(policy.ends_at));
            (over < before).then_some((policy.ends_at, *id))
        };
        for id in self.policies.first(most, order) {
            self.policies.remove(&id);
        }
        Ok(())
    }
}
