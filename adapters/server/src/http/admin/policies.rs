//! Approvals in advance.

use std::time::Duration;

use axum::Json;
use handfast_core::registry::policies::{NotInForce, PolicyId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Caller;
use super::caller::{Acting, by_operator, made_by};
use super::extract::{Body, Path, Query};
use super::failure::AdminFailure;
use super::paging::{self, PageQuery};
use super::permissions::PermissionsView;
use super::time::Time;
use crate::gateway::Gateway;
use crate::hex::hex;
use crate::operator::policies::{NewPolicy, PolicyStatus};

/// The answer to `GET /api/v1/pairing/policies`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// Policies in the order of their making; those that are over for a day.
    #[serde(rename = "items")]
    pub policies: Vec<PolicyView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of policies on all pages.
    pub total: usize,
}

/// An approval policy.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Id of the policy: 32 hex digits.
    pub id: String,
    /// The network whose nodes are approved.
    pub from: String,
    /// `in force`, `ended`, `used up`, or `clock in doubt` while it approves nobody because of the
    /// clock.
    pub state: String,
    /// Number of nodes that it may still approve.
    pub left: u16,
    /// Number of nodes that it has approved.
    pub used: u16,
    /// Time of its making.
    pub made_at: Time,
    /// Time at which it ends.
    pub ends_at: Time,
    /// Permissions of the nodes; absent if they are those of their rule or the settings.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub permissions: Option<PermissionsView>,
    /// The maker: `operator`, `session ID` or `login ID`; it ends with the maker's right.
    #[serde(default = "by_operator")]
    pub made_by: String,
}

/// The terms of an approval policy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyBody {
    /// The network whose nodes are approved, as `192.168.1.0/24`.
    from: String,
    /// Time for which it is in force, in seconds.
    #[serde(rename = "for_seconds")]
    lasts: u64,
    /// Maximum number of nodes that it approves.
    max: u64,
    /// Permissions of the nodes; those of their rule or the settings if left out.
    permissions: Option<PermissionsView>,
    /// Life of what it grants, in seconds.
    #[serde(rename = "grant_expires_seconds")]
    grant_expires: Option<u64>,
}

/// Approves in advance whoever asks from a network, for a time and a number of nodes.
#[utoipa::path(
    post,
    path = "/api/v1/pairing/policies",
    tag = "Pairing",
    request_body = PolicyBody,
    responses((status = 200, body = PolicyView)),
)]
pub(super) async fn make(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<PolicyBody>,
) -> Result<Json<PolicyView>, AdminFailure> {
    let PolicyBody { from, lasts, max, permissions, grant_expires } = body;
    let new = NewPolicy {
        from: from.parse().map_err(|error| AdminFailure::Usage(format!("{from:?}: {error}")))?,
        lasts: Duration::from_secs(lasts),
        most: max,
        permissions: permissions.as_ref().map(PermissionsView::scopes).transpose()?,
        grant_for: grant_expires.map(Duration::from_secs),
    };
    Ok(Json(view(&gateway.make_policy_by(caller.authority(), new).await?)))
}

/// Lists the approval policies.
#[utoipa::path(
    get,
    path = "/api/v1/pairing/policies",
    tag = "Pairing",
    params(PageQuery),
    responses((status = 200, body = PolicyList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<PolicyList>, AdminFailure> {
    let all = gateway.policies().await?.iter().map(view).collect();
    let page =
        paging::cut(all, query.limit, query.after.as_deref(), |one: &PolicyView| one.id.clone())?;
    Ok(Json(PolicyList { policies: page.items, next: page.next, total: page.total }))
}

/// Ends an approval policy, and lists the policies.
#[utoipa::path(
    delete,
    path = "/api/v1/pairing/policies/{id}",
    tag = "Pairing",
    responses((status = 200, body = PolicyList)),
)]
pub(super) async fn end(
    Acting(gateway): Acting,
    Path(id): Path<String>,
) -> Result<Json<PolicyList>, AdminFailure> {
    let all_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = all_hex.then(|| u128::from_str_radix(&id, 16).ok()).flatten();
    let number = number.ok_or_else(|| {
        AdminFailure::Usage(format!("{id:?} is no id of a policy: it has 32 hex digits"))
    })?;
    gateway.end_policy(PolicyId::from_bytes(number.to_be_bytes())).await?;
    list(Acting(gateway), Query(PageQuery { limit: None, after: None })).await
}

/// Returns the policies that are not over.
pub(in crate::http) async fn in_force(gateway: &Gateway) -> Result<Vec<PolicyView>, AdminFailure> {
    let mut all = gateway.policies().await?;
    all.retain(|one| match one.state {
        Ok(()) | Err(NotInForce::ClockInDoubt) => true,
        Err(NotInForce::Ended | NotInForce::UsedUp) => false,
    });
    Ok(all.iter().map(view).collect())
}

fn view(status: &PolicyStatus) -> PolicyView {
    let PolicyStatus { policy, from, state } = status;
    PolicyView {
        id: hex(policy.id.as_bytes()),
        from: from.clone(),
        state: match state {
            Ok(()) => "in force",
            Err(NotInForce::Ended) => "ended",
            Err(NotInForce::UsedUp) => "used up",
            Err(NotInForce::ClockInDoubt) => "clock in doubt",
        }
        .to_owned(),
        left: policy.left(),
        used: policy.used,
        made_at: policy.made_at.into(),
        ends_at: policy.ends_at.into(),
        permissions: policy.scopes.as_ref().map(PermissionsView::of),
        made_by: made_by(policy.maker),
    }
}
