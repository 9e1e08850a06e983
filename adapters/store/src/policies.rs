//! Approvals in advance.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::policies::{ApprovalPolicy, PolicyId};
use handfast_core::registry::record::Record;

use crate::{SaveError, StoreError, Version};

/// An approval policy with its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPolicy {
    /// The policy.
    pub policy: ApprovalPolicy,
    /// The network that it is for, as its maker's adapter reads and writes it.
    pub net: String,
}

/// A node that a policy approves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByPolicy {
    /// The policy.
    pub policy: PolicyId,
    /// The node's record.
    pub record: Record,
    /// Description of its hardware: a JSON object.
    pub profile: String,
    /// Version of its record, as it was read; `None` for a new one.
    pub read_at: Option<Version>,
    /// The grant that is offered to it.
    pub grant: Grant,
    /// Upper bound of its permissions.
    pub ceiling: Ceiling,
}

/// The part of a [`Store`](crate::Store) for approvals in advance. Policies that ended more than a
/// day ago may be missing.
#[async_trait]
pub trait Policies: Send + Sync + 'static {
    /// Adds a policy. Returns `false`, and adds nothing, if
    /// [`POLICIES`](handfast_core::registry::policies::POLICIES) are in force already.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn add_policy(&self, policy: StoredPolicy, now: UnixTime) -> Result<bool, StoreError>;

    /// Reads all policies, in the order of their making.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one of them is damaged.
    async fn policies(&self) -> Result<Vec<StoredPolicy>, StoreError>;

    /// Ends a policy for good, regardless of the clock. `false` if it has ended before, or does not
    /// exist.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn end_policy(&self, id: PolicyId, now: UnixTime) -> Result<bool, StoreError>;

    /// Pairs a node as [`offer`](crate::Store::offer) does, and counts it for the policy in the same
    /// step. Returns `None`, and changes nothing, if the policy approves nobody any more.
    ///
    /// # Errors
    /// As [`offer`](crate::Store::offer).
    async fn offer_by_policy(
        &self,
        offered: ByPolicy,
        now: UnixTime,
    ) -> Result<Option<Version>, SaveError>;
}
