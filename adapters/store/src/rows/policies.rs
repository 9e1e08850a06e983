//! Conversion between rows and approval policies.

use handfast_core::UnixTime;
use handfast_core::registry::policies::{ApprovalPolicy, PolicyId};

use super::{Row, get, maker_or_login, perhaps, scopes_of, time};
use crate::{StoreError, StoredPolicy};

/// Reads a policy. The schema allows only 16 bytes as its id.
pub(crate) fn stored<R: Row>(row: &R) -> Result<Result<StoredPolicy, StoreError>, R::Error> {
    let id = PolicyId::from_bytes(row.get("policy_id")?);
    Ok(try_stored(row, id).map_err(|problem| {
        StoreError::Database(format!("a stored policy cannot be read: {problem}"))
    }))
}

fn try_stored(row: &impl Row, id: PolicyId) -> Result<StoredPolicy, String> {
    let policy = ApprovalPolicy {
        id,
        made_at: time(row, "made_at")?,
        ends_at: time(row, "ends_at")?,
        most: get(row, "most")?,
        used: get(row, "used")?,
        scopes: get::<Option<String>>(row, "scopes")?.map(|text| scopes_of(&text)).transpose()?,
        grant_for: perhaps(row, "grant_for")?.map(UnixTime::as_secs),
        maker: maker_or_login(row, "maker", "login")?,
        ended_at: perhaps(row, "ended_at")?,
    };
    Ok(StoredPolicy { policy, net: get(row, "net")? })
}
