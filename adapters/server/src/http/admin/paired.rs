//! Nodes that are paired by their keys.

use std::time::Duration;

use axum::Json;
use handfast_core::registry::grants::State as GrantState;
use handfast_core::{NodeId, UnixTime};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Caller;
use super::caller::{Acting, by_operator, made_by};
use super::extract::{Body, Path, Query};
use super::failure::AdminFailure;
use super::paging::{self, PageQuery};
use super::permissions::PermissionsView;
use super::time::Time;
use super::{DamagedView, DeviceView};
use crate::gateway::delegates::Delegate;
use crate::operator::paired::{PairedNode, PermissionEnd, Revocation};

/// The answer to `GET /api/v1/paired`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PairedList {
    /// Nodes in order of their ids.
    #[serde(rename = "items")]
    pub paired: Vec<PairedView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Nodes whose stored record or grants cannot be read; they are left unchanged.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub damaged: Vec<DamagedView>,
}

/// A node that is paired by its keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PairedView {
    /// The node's registry entry.
    pub device: DeviceView,
    /// Permissions in force; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_force: Option<InForceView>,
    /// Decided permissions that the node has not confirmed yet; absent if they equal those in
    /// force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offered: Option<OfferedView>,
    /// Valid grants, the newest last. The permissions in force follow from them and from later
    /// decisions.
    pub grants: Vec<GrantView>,
    /// Holders that linked by a chain under this node since the gateway started.
    pub delegates: Vec<DelegateView>,
}

/// The permissions of a node that are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InForceView {
    /// The permitted patterns by action.
    pub permissions: PermissionsView,
    /// A second bound, if the two overlap only partly: in force is what both allow.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within: Option<PermissionsView>,
    /// End of the permissions; absent if they have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Time>,
}

/// The permissions that a node has once it has confirmed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfferedView {
    /// The permitted patterns by action.
    pub permissions: PermissionsView,
    /// End of the permissions; absent if they have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Time>,
}

/// A grant of a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantView {
    /// Id of the capability token, by which it is revoked; absent for a grant without permissions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capability: Option<String>,
    /// The permitted patterns by action.
    pub permissions: PermissionsView,
    /// Start of validity.
    pub since: Time,
    /// End of validity; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Time>,
    /// `offered` until the node has stored it, then `active`.
    pub state: String,
    /// The maker: `operator`, or `session ID`; the grant ends with that session.
    #[serde(default = "by_operator")]
    pub made_by: String,
}

/// The holder of a capability token that a node delegated.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DelegateView {
    /// Fingerprint of the holder's static key.
    pub fingerprint: String,
    /// `online` while its link is open, else `offline`.
    pub status: String,
    /// Time when the link last opened or ended.
    pub last_seen: Time,
}

/// The answer to a revocation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevokedView {
    /// `node` or `capability`.
    pub revoked: String,
    /// Id of the node; absent for a token that a node delegated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
    /// The node's own name; only for a revoked node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub friendly_name: Option<String>,
    /// Id of the revoked capability token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capability: Option<String>,
}

/// The answer to `POST /api/v1/paired/revoke-all`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevokedAllView {
    /// Number of revoked nodes.
    pub revoked: usize,
    /// Nodes that could not be revoked, each with the cause.
    pub failed: Vec<DamagedView>,
}

/// Lists the nodes that are paired by their keys, in order of their ids.
#[utoipa::path(
    get,
    path = "/api/v1/paired",
    tag = "Nodes",
    params(PageQuery),
    responses((status = 200, body = PairedList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<PairedList>, AdminFailure> {
    let after = paging::after(query.after.as_deref(), NodeId::parse)?;
    let page = gateway.paired_after(after, paging::limit(query.limit)?).await?;
    let damaged = page
        .damaged
        .into_iter()
        .map(|bad| DamagedView { node_id: bad.node_id.to_string(), problem: bad.problem });
    let now = gateway.now();
    Ok(Json(PairedList {
        paired: page.nodes.iter().map(|node| view(node, now)).collect(),
        next: page.next.map(|node_id| node_id.to_string()),
        damaged: damaged.collect(),
    }))
}

/// A change of a node's permissions or their end.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PermitBody {
    /// All permissions from now on.
    permissions: Option<PermissionsView>,
    /// Life of the permissions in seconds, or `never`.
    #[serde(rename = "expires_seconds")]
    expires: Option<Expires>,
}

/// A number of seconds, or `never`.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Expires {
    After(u64),
    Word(String),
}

/// Returns a node's permissions: those in force, and those offered.
#[utoipa::path(
    get,
    path = "/api/v1/paired/{which}/permissions",
    tag = "Nodes",
    responses((status = 200, body = PairedView)),
)]
pub(super) async fn show(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<PairedView>, AdminFailure> {
    Ok(Json(view(&gateway.paired_named(&which).await?, gateway.now())))
}

/// Changes a node's permissions, their end, or both.
///
/// Fewer permissions are in force at once, more of them once the node has confirmed them.
#[utoipa::path(
    post,
    path = "/api/v1/paired/{which}/permissions",
    tag = "Nodes",
    request_body = PermitBody,
    responses((status = 200, body = PairedView)),
)]
pub(super) async fn permit(
    Acting(gateway): Acting,
    caller: Caller,
    Path(which): Path<String>,
    Body(body): Body<PermitBody>,
) -> Result<Json<PairedView>, AdminFailure> {
    let permissions = body.permissions.as_ref().map(PermissionsView::scopes).transpose()?;
    let until = match body.expires {
        None => None,
        Some(Expires::After(seconds)) => Some(PermissionEnd::After(Duration::from_secs(seconds))),
        Some(Expires::Word(word)) if word == "never" => Some(PermissionEnd::Renewed),
        Some(Expires::Word(_)) => {
            return Err(AdminFailure::Usage(
                "expires_seconds is a number, or \"never\"".to_owned(),
            ));
        }
    };
    if permissions.is_none() && until.is_none() {
        return Err(AdminFailure::Usage(
            "say what it may do, with permissions, or until when, with expires_seconds".to_owned(),
        ));
    }
    // The name is resolved once, so that the answer is about the node that was changed.
    let node_id = gateway.paired_named(&which).await?.device.entry.record.node_id;
    gateway.permit_by(caller.authority(), node_id, permissions, until).await?;
    Ok(Json(view(&gateway.paired_node(node_id).await?, gateway.now())))
}

/// The answer to `POST /api/v1/paired/{which}/ping`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PingView {
    /// Id of the node.
    pub node_id: String,
    /// The node's own name.
    pub friendly_name: String,
    /// Time until the node's answer, in microseconds.
    pub micros: u64,
}

/// Asks a linked node for an answer.
///
/// A session may ask for 20 a minute of one node.
#[utoipa::path(
    post,
    path = "/api/v1/paired/{which}/ping",
    tag = "Nodes",
    responses((status = 200, body = PingView)),
)]
pub(super) async fn ping(
    Acting(gateway): Acting,
    caller: Caller,
    Path(which): Path<String>,
) -> Result<Json<PingView>, AdminFailure> {
    let record = gateway.paired_named(&which).await?.device.entry.record;
    let time = gateway.ping_by(caller.authority(), record.node_id).await?;
    Ok(Json(PingView {
        node_id: record.node_id.to_string(),
        friendly_name: record.name.as_str().to_owned(),
        micros: super::events::micros(time),
    }))
}

/// Revokes a node, or a capability token.
///
/// A node is named by its name or the beginning of its id, a token by the beginning of its id.
#[utoipa::path(
    post,
    path = "/api/v1/paired/{which}/revoke",
    tag = "Nodes",
    responses((status = 200, body = RevokedView)),
)]
pub(super) async fn revoke(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<RevokedView>, AdminFailure> {
    Ok(Json(match gateway.revoke_paired(&which).await? {
        Revocation::Node { node_id, name } => RevokedView {
            revoked: "node".to_owned(),
            node_id: Some(node_id.to_string()),
            friendly_name: Some(name),
            capability: None,
        },
        Revocation::Capability { id, node_id } => RevokedView {
            revoked: "capability".to_owned(),
            node_id: node_id.map(|node_id| node_id.to_string()),
            friendly_name: None,
            capability: Some(id.to_string()),
        },
    }))
}

/// Revokes all nodes that are paired by their keys.
#[utoipa::path(
    post,
    path = "/api/v1/paired/revoke-all",
    tag = "Nodes",
    responses((status = 200, body = RevokedAllView)),
)]
pub(super) async fn revoke_all(
    Acting(gateway): Acting,
) -> Result<Json<RevokedAllView>, AdminFailure> {
    let outcomes = gateway.revoke_all().await?;
    let revoked = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    let failed = outcomes.into_iter().filter_map(|(node_id, outcome)| {
        let problem = outcome.err()?.to_string();
        Some(DamagedView { node_id: node_id.to_string(), problem })
    });
    Ok(Json(RevokedAllView { revoked, failed: failed.collect() }))
}

/// Returns the permissions in force as a view; `None` if there are none.
pub(in crate::http) fn in_force(node: &PairedNode, now: UnixTime) -> Option<InForceView> {
    let (in_force, until) = node.in_force(now)?;
    let (permissions, within) = match (in_force.exactly(), in_force.bounds) {
        (Some(exactly), _) => (exactly, None),
        // The intersection cannot be written as patterns, so both sets are shown.
        (None, bounds) => (in_force.scopes, bounds.first()),
    };
    let nothing = permissions.as_str().is_empty();
    (!nothing).then(|| InForceView {
        permissions: PermissionsView::of(permissions),
        within: within.map(PermissionsView::of),
        expires_at: until.map(Time::from),
    })
}

/// Returns the offered permissions as a view.
pub(super) fn offered(node: &PairedNode, now: UnixTime) -> Option<OfferedView> {
    let offered = node.offered(now)?;
    let expires_at = offered.expires.map(Time::from);
    Some(OfferedView { permissions: PermissionsView::of(&offered.permissions), expires_at })
}

pub(in crate::http) fn view(node: &PairedNode, now: UnixTime) -> PairedView {
    let grants = node.grants.iter().map(|grant| GrantView {
        capability: grant.capability.map(|id| id.to_string()),
        permissions: PermissionsView::of(&grant.scopes),
        since: grant.not_before.into(),
        expires_at: grant.expires.map(Time::from),
        state: match grant.state {
            GrantState::Offered { .. } => "offered",
            GrantState::Active => "active",
            GrantState::Ended => "ended",
        }
        .to_owned(),
        made_by: made_by(grant.maker),
    });
    let delegates = node.delegates.iter().map(delegate).collect();
    PairedView {
        device: DeviceView::from(&node.device),
        in_force: in_force(node, now),
        offered: offered(node, now),
        grants: grants.collect(),
        delegates,
    }
}

fn delegate(delegate: &Delegate) -> DelegateView {
    DelegateView {
        fingerprint: delegate.fingerprint.to_string(),
        status: if delegate.online { "online" } else { "offline" }.to_owned(),
        last_seen: delegate.seen.into(),
    }
}
