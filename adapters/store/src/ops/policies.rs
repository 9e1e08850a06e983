//! Approvals in advance.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::policies::{POLICIES, PolicyId};

use super::{Database, Decided, RowResult, Tx, grants};
use crate::audit::{Detail, Entry, What};
use crate::{ByPolicy, Policies, SaveError, StoreError, StoredPolicy, Version, rules};

/// The rows of approval policies.
pub(crate) trait PolicyRows {
    /// Returns a policy.
    fn policy(&mut self, id: PolicyId) -> RowResult<Option<StoredPolicy>>;

    /// Returns all policies, ordered by the time of their making and then by id.
    fn policies(&mut self) -> RowResult<Vec<StoredPolicy>>;

    /// Adds a policy; `false` if its id is taken.
    fn add_policy(&mut self, policy: &StoredPolicy) -> RowResult<bool>;

    /// Counts one more node for a policy.
    fn count_policy_use(&mut self, id: PolicyId) -> RowResult<()>;

    /// Ends a policy; `false` if it was ended before or does not exist.
    fn end_policy(&mut self, id: PolicyId, now: UnixTime) -> RowResult<bool>;

    /// Removes at most `most` policies whose time was over before this time, the earliest first.
    fn forget_policies(&mut self, before: UnixTime, most: u32) -> RowResult<()>;
}

fn add(tx: &mut dyn Tx, added: &StoredPolicy, now: UnixTime) -> RowResult<Decided<bool>> {
    tx.forget_policies(rules::oldest_death(now), rules::PURGE)?;
    // There are few, so they are counted one by one.
    let live = tx.policies()?.iter().filter(|stored| !stored.policy.is_over(now)).count();
    if live >= POLICIES {
        return Ok(Decided::nothing(false));
    }
    if !tx.add_policy(added)? {
        return Err(StoreError::Database("the fresh id of a policy is taken".to_owned()));
    }
    let policy = &added.policy;
    let details = [
        Detail::Policy(policy.id),
        Detail::Count(policy.most.into()),
        Detail::Until(policy.ends_at),
    ];
    Ok(Decided::by(true, Entry::new(What::MakePolicy, details).at(now)))
}

fn end(tx: &mut dyn Tx, id: PolicyId, now: UnixTime) -> RowResult<Decided<bool>> {
    Ok(match tx.end_policy(id, now)? {
        true => Decided::by(true, Entry::new(What::EndPolicy, [Detail::Policy(id)]).at(now)),
        false => Decided::nothing(false),
    })
}

fn offer(
    tx: &mut dyn Tx,
    offered: &ByPolicy,
    now: UnixTime,
) -> Result<Decided<Option<Version>>, SaveError> {
    let ByPolicy { policy, record, profile, read_at, grant, ceiling } = offered;
    // The check and the count share a transaction, so concurrent calls cannot exceed the number.
    let stored = tx.policy(*policy)?.filter(|stored| !stored.policy.is_over(now));
    if stored.is_none() {
        return Ok(Decided::nothing(None));
    }
    let version = grants::offer(tx, record, profile, *read_at, grant, Some(ceiling), now)?.within();
    tx.count_policy_use(*policy)?;
    let mut details =
        vec![Detail::Node(grant.node_id), Detail::Policy(*policy), Detail::Grant(grant.id)];
    details.extend(grant.expires.map(Detail::Until));
    Ok(Decided::by(Some(version), Entry::new(What::Approve, details).at(now)))
}

#[async_trait]
impl<D: Database> Policies for D {
    async fn add_policy(&self, policy: StoredPolicy, now: UnixTime) -> Result<bool, StoreError> {
        self.decide(move |tx| add(tx, &policy, now)).await
    }

    async fn policies(&self) -> Result<Vec<StoredPolicy>, StoreError> {
        self.page(|tx| tx.policies()).await
    }

    async fn end_policy(&self, id: PolicyId, now: UnixTime) -> Result<bool, StoreError> {
        self.decide(move |tx| end(tx, id, now)).await
    }

    async fn offer_by_policy(
        &self,
        offered: ByPolicy,
        now: UnixTime,
    ) -> Result<Option<Version>, SaveError> {
        self.decide(move |tx| offer(tx, &offered, now)).await
    }
}
