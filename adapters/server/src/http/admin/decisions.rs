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
use crate::policy::rules::ApprovalTerms;

/// The answer to an approval: the only time a token is shown. A node with keys needs no token; it
/// is offered its permissions over its own channel.
#[derive(Serialize, Deserialize)]
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairBody {
    #[serde(default)]
    reissue: bool,
    version: Option<u64>,
    seen: Option<String>,
    permissions: Option<PermissionsView>,
    expires: Option<u64>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyBody {
    mode: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameBody {
    name: String,
}

/// The answer to the removal of a record.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForgottenView {
    /// Id of the node whose record was removed.
    pub forgotten: String,
    /// The node's name.
    pub friendly_name: String,
    /// `true` if its key stays revoked, for good; `false` if it may ask again.
    #[serde(default)]
    pub stays_revoked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectBody {
    reason: Option<String>,
    #[serde(default)]
    for_good: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectManyBody {
    #[serde(default)]
    all: bool,
    name: Option<String>,
    from: Option<String>,
    #[serde(default)]
    for_good: bool,
}

/// The answer to the rejection of many requests.
#[derive(Debug, Serialize, Deserialize)]
pub struct RejectedView {
    /// Number of rejected requests.
    pub rejected: usize,
    /// Requests that could not be rejected, each with the cause.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failed: Vec<DamagedView>,
}

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
    let issued =
        gateway.pair_named_by(caller.authority(), record.node_id, purpose, terms, named).await?;
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

pub(super) async fn evict(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let node_id = gateway.device_named(&prefix).await?.entry.record.node_id;
    gateway.evict(node_id).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

pub(super) async fn release(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let node_id = gateway.device_named(&prefix).await?.entry.record.node_id;
    gateway.release_node(node_id).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

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

pub(super) async fn unpair(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let node_id = gateway.device_for_good(&which).await?.entry.record.node_id;
    apply(&gateway, &node_id.to_string(), Decision::Unpair).await
}

pub(super) async fn mute(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<DeviceView>, AdminFailure> {
    apply(&gateway, &prefix, Decision::Mute).await
}

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
