//! The operator's decisions about one node.

use std::time::Duration;

use axum::Json;
use handfast_core::Label;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::identity::seen::SeenHash;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::Mode;
use handfast_store::Version;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::extract::{Body, Path};
use super::failure::AdminFailure;
use super::paired::{InForceView, OfferedView, in_force, offered};
use super::permissions::PermissionsView;
use super::{Caller, DamagedView, DeviceView};
use crate::gateway::Gateway;
use crate::gateway::operator_types::IssuedCredential;
use crate::gateway::requests::{NamedRequest, RequestSelection};
use crate::hex::hex;
use crate::pairing::ReplacedNode;
use crate::policy::rules::ApprovalTerms;

/// The answer to an approval: the only time a token is shown. A node with keys needs no token; it
/// is offered its permissions over its own channel.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct IssuedView {
    /// Id of the approved node.
    pub node_id: String,
    /// The node's own name, for the operator to see whom the approval is for.
    pub friendly_name: String,
    /// The room that the node gave.
    pub room: String,
    /// The address that the request came from.
    pub ip_address: String,
    /// The hardware profile that the node gave: a JSON object as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hardware_profile: Option<String>,
    /// Number of requests, each over a connection of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_times: Option<u32>,
    /// The token; absent for a node with keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// Id of the token's delivery, to be confirmed once the token is in its place; absent without a
    /// token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery: Option<String>,
    /// Fingerprint of the static key; absent for a node with a token, as are the fields below.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// Permissions in force now; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_force: Option<InForceView>,
    /// Permissions in force once the node has confirmed them; absent if they equal those in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offered: Option<OfferedView>,
}

/// The terms of an approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PairBody {
    /// Gives a paired node a new token or grant.
    #[serde(default)]
    reissue: bool,
    /// The version that was shown; another one is refused.
    version: Option<u64>,
    /// The request that was shown, as its `seen`; another one is refused.
    seen: Option<String>,
    /// Permissions, for a node with keys; those that it asks for if left out.
    permissions: Option<PermissionsView>,
    /// Life of the permissions in seconds, for a node with keys.
    #[serde(rename = "expires_seconds")]
    expires: Option<u64>,
    /// A sentence for the node, if it has keys.
    message: Option<String>,
    /// The node whose place it takes, by its whole name or six or more characters of its id.
    replaces: Option<String>,
    /// Version of that node's record, as it was shown.
    replaces_version: Option<u64>,
}

/// A mode for a node.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyBody {
    /// `full`, `safe-chat` or `muted`.
    mode: String,
}

/// A name for a node.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameBody {
    /// 1 to 64 characters on one line.
    name: String,
}

/// The answer to the removal of a record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ForgottenView {
    /// Id of the node whose record was removed.
    pub forgotten: String,
    /// The node's name.
    pub friendly_name: String,
    /// `true` if its key stays revoked, for good; `false` if it may ask again.
    #[serde(default)]
    pub stays_revoked: bool,
}

/// The terms of a rejection.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectBody {
    /// A sentence for the node, if it has keys.
    reason: Option<String>,
    /// Rejects it permanently.
    #[serde(default)]
    for_good: bool,
}

/// The requests that are rejected: one of `all`, `name` and `from`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectManyBody {
    /// All requests.
    #[serde(default)]
    all: bool,
    /// Requests of nodes of this name.
    name: Option<String>,
    /// Requests from this address or net, like `192.0.2.0/24`.
    from: Option<String>,
    /// Rejects them permanently.
    #[serde(default)]
    for_good: bool,
}

/// The answer to the rejection of many requests.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RejectedView {
    /// Number of rejected requests.
    pub rejected: usize,
    /// Requests that could not be rejected, each with the cause.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failed: Vec<DamagedView>,
}

/// Approves a request.
///
/// A node with keys is offered its permissions over its own channel. A node without keys gets a
/// token, which this answer alone tells: confirm its delivery. The body may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/pair",
    tag = "Nodes",
    request_body = PairBody,
    responses((status = 200, body = IssuedView)),
)]
pub(super) async fn pair(
    Acting(gateway): Acting,
    caller: Caller,
    Path(prefix): Path<String>,
    Body(body): Body<PairBody>,
) -> Result<Json<IssuedView>, AdminFailure> {
    let purpose = match body.reissue {
        true => Purpose::Reissue,
        false => Purpose::Approve,
    };
    let permissions = body.permissions.as_ref().map(PermissionsView::scopes).transpose()?;
    let terms = ApprovalTerms {
        permissions,
        expires: body.expires.map(Duration::from_secs),
        message: body.message,
    };
    let seen = body.seen.as_deref().map(SeenHash::parse);
    if seen == Some(None) {
        return Err(AdminFailure::Usage("seen is 64 hexadecimal digits".to_owned()));
    }
    let named = NamedRequest { hash: seen.flatten(), version: body.version.map(Version) };
    let entry = gateway.device_named(&prefix).await?.entry;
    let (record, profile, asked) = (entry.record, entry.profile, entry.asked);
    let (authority, node_id) = (caller.authority(), record.node_id);
    let issued = match body.replaces {
        None => gateway.pair_named_by(authority, node_id, purpose, terms, named).await?,
        Some(_) if body.reissue => {
            return Err(AdminFailure::Usage(
                "a node is approved anew, or in the place of another: leave reissue or replaces out"
                    .to_owned(),
            ));
        }
        Some(old) => {
            let old = gateway.device_for_good(&old).await?.entry.record.node_id;
            let place = ReplacedNode { node_id: old, version: body.replaces_version.map(Version) };
            gateway.replace_named_by(authority, node_id, place, terms, named).await?
        }
    };
    let node = match &issued.credential {
        IssuedCredential::Grant(_) => Some(gateway.paired_node(issued.node_id).await?),
        IssuedCredential::Token(_) => None,
    };
    let now = gateway.now();
    Ok(Json(IssuedView {
        node_id: issued.node_id.to_string(),
        friendly_name: record.name.to_string(),
        room: record.room.to_string(),
        ip_address: record.address.to_string(),
        hardware_profile: Some(profile),
        asked_times: asked.map(|asked| asked.times),
        token: issued.credential.token().map(|token| token.expose().to_owned()),
        delivery: issued.delivery.map(|ticket| hex(ticket.id.as_bytes())),
        fingerprint: record.keys.as_ref().map(|keys| Fingerprint::of(&keys.channel).to_string()),
        in_force: node.as_ref().and_then(|node| in_force(node, now)),
        offered: node.as_ref().and_then(|node| offered(node, now)),
    }))
}

/// Sets the mode of a paired node.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/policy",
    tag = "Nodes",
    request_body = PolicyBody,
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn policy(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
    Body(body): Body<PolicyBody>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let decision = match (body.mode.as_str(), Mode::parse(&body.mode)) {
        // `muted` is a mode for clients only; the registry keeps the mode to which unmuting
        // returns.
        ("muted", _) => Decision::Mute,
        (_, Some(mode)) => Decision::SetMode(mode),
        (_, None) => {
            return Err(AdminFailure::Usage("mode must be full, safe-chat or muted".to_owned()));
        }
    };
    apply(&gateway, &prefix, decision).await
}

/// Names a paired node.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/rename",
    tag = "Nodes",
    request_body = RenameBody,
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn rename(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
    Body(body): Body<RenameBody>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let RenameBody { name } = body;
    let label = Label::parse(&name).ok_or_else(|| {
        let bounds = "a name has 1 to 64 characters on one line, and none that is invisible";
        AdminFailure::Usage(bounds.to_owned())
    })?;
    let node_id = gateway.device_named(&prefix).await?.entry.record.node_id;
    gateway.rename(node_id, label.into()).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

/// Ends a node's links and its certificates.
///
/// It may come back by renewing with its key.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/evict",
    tag = "Nodes",
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn evict(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let node_id = gateway.device_named(&prefix).await?.entry.record.node_id;
    gateway.evict(node_id).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

/// Ends the quarantine of a node whose state was restored from a backup.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/release",
    tag = "Nodes",
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn release(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let node_id = gateway.device_named(&prefix).await?.entry.record.node_id;
    gateway.release_node(node_id).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

/// Removes the record of a revoked or rejected node.
///
/// The key of a revoked one stays revoked for good; a rejected one may ask again.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{which}/forget",
    tag = "Nodes",
    responses((status = 200, body = ForgottenView)),
)]
pub(super) async fn forget(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<ForgottenView>, AdminFailure> {
    let record = gateway.device_for_good(&which).await?.entry.record;
    let stays_revoked = gateway.forget(record.node_id).await?;
    Ok(Json(ForgottenView {
        stays_revoked,
        forgotten: record.node_id.to_string(),
        friendly_name: record.name.to_string(),
    }))
}

/// Rejects a request, which may be made again later; with `for_good`, permanently.
///
/// A permanent rejection needs a whole name, or six or more characters of the id. The body may be
/// empty.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/reject",
    tag = "Nodes",
    request_body = RejectBody,
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn reject(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
    Body(body): Body<RejectBody>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let device = match body.for_good {
        true => gateway.device_for_good(&prefix).await?,
        false => gateway.device_named(&prefix).await?,
    };
    let node_id = device.entry.record.node_id;
    gateway.turn_down(node_id, body.reason, body.for_good).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

/// Rejects all requests that match one of `all`, `name` and `from`.
#[utoipa::path(
    post,
    path = "/api/v1/devices/reject",
    tag = "Nodes",
    request_body = RejectManyBody,
    responses((status = 200, body = RejectedView)),
)]
pub(super) async fn reject_many(
    Acting(gateway): Acting,
    Body(body): Body<RejectManyBody>,
) -> Result<Json<RejectedView>, AdminFailure> {
    let which = match (body.all, body.name, body.from) {
        (true, None, None) => RequestSelection::All,
        (false, Some(name), None) => RequestSelection::Named(name),
        (false, None, Some(net)) => RequestSelection::From(
            net.parse().map_err(|error| AdminFailure::Usage(format!("{net:?}: {error}")))?,
        ),
        _ => {
            return Err(AdminFailure::Usage(
                "name the requests by one of all, name or from".to_owned(),
            ));
        }
    };
    let outcomes = gateway.turn_down_all(&which, body.for_good).await?;
    let rejected = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    let failed = outcomes.into_iter().filter_map(|(node_id, outcome)| {
        Some(DamagedView { node_id: node_id.to_string(), problem: outcome.err()?.to_string() })
    });
    Ok(Json(RejectedView { rejected, failed: failed.collect() }))
}

/// Revokes a node.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{which}/unpair",
    tag = "Nodes",
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn unpair(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let node_id = gateway.device_for_good(&which).await?.entry.record.node_id;
    apply(&gateway, &node_id.to_string(), Decision::Unpair).await
}

/// Mutes a node.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/mute",
    tag = "Nodes",
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn mute(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    apply(&gateway, &prefix, Decision::Mute).await
}

/// Ends the muting of a node, which gets the mode back that it had.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/unmute",
    tag = "Nodes",
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn unmute(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    apply(&gateway, &prefix, Decision::Unmute).await
}

async fn apply(
    gateway: &Gateway,
    prefix: &str,
    decision: Decision,
) -> Result<Json<DeviceView>, AdminFailure> {
    let device = gateway.device_named(prefix).await?;
    let node_id = device.entry.record.node_id;
    gateway.decide(node_id, &decision).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}
