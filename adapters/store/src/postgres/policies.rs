//! The rows of approval policies.

use crate::value::params;
use handfast_core::UnixTime;
use handfast_core::registry::policies::{ApprovalPolicy, PolicyId};

use super::tx::PostgresTx;
use crate::StoredPolicy;
use crate::ops::{PolicyRows, RowResult};
use crate::rows::policies::stored;
use crate::rows::{integer, login, session};

impl PolicyRows for PostgresTx<'_> {
    fn policy(&mut self, id: PolicyId) -> RowResult<Option<StoredPolicy>> {
        let sql = "SELECT * FROM approval_policy WHERE policy_id = $1";
        self.find(sql, params![id.as_bytes()], stored)?.transpose()
    }

    fn policies(&mut self) -> RowResult<Vec<StoredPolicy>> {
        let sql = "SELECT * FROM approval_policy ORDER BY made_at, policy_id";
        self.all(sql, params![], stored)?.into_iter().collect()
    }

    fn add_policy(&mut self, StoredPolicy { policy, net }: &StoredPolicy) -> RowResult<bool> {
        let ApprovalPolicy { id, made_at, ends_at, most, used, .. } = policy;
        let ApprovalPolicy { scopes, grant_for, maker, ended_at, .. } = policy;
        let sql = "INSERT INTO approval_policy (policy_id, net, made_at, ends_at, most, used, scopes, grant_for, maker, login, ended_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
        let added = self.execute(
            sql,
            params![
                id.as_bytes(),
                net,
                integer(*made_at),
                integer(*ends_at),
                most,
                used,
                scopes.as_ref().map(|scopes| scopes.as_str()),
                grant_for.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
                session(*maker),
                login(*maker),
                ended_at.map(integer),
            ],
        )?;
        Ok(added == 1)
    }

    fn count_policy_use(&mut self, id: PolicyId) -> RowResult<()> {
        let sql = "UPDATE approval_policy SET used = used + 1 WHERE policy_id = $1";
        self.execute(sql, params![id.as_bytes()])?;
        Ok(())
    }

    fn end_policy(&mut self, id: PolicyId, now: UnixTime) -> RowResult<bool> {
        let sql = "UPDATE approval_policy SET ended_at = $2
                   WHERE policy_id = $1 AND ended_at IS NULL";
        Ok(self.execute(sql, params![id.as_bytes(), integer(now)])? == 1)
    }

    fn forget_policies(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql =
            "DELETE FROM approval_policy WHERE policy_id IN (SELECT policy_id FROM approval_policy
             WHERE least(ends_at, ended_at) < $1 ORDER BY ends_at, policy_id LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }
}
