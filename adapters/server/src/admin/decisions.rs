//! What an operator decides about one node.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::Mode;
use serde::{Deserialize, Serialize};

use super::failure::{Failure, parse};
use super::paired::{InForceView, OfferedView, in_force, offered};
use super::permissions::PermissionsView;
use super::{Caller, DeviceView};
use crate::gateway::{Gateway, IssuedCredential};
use crate::pairing::{Terms, hex};

/// What approving answers: the only time a token is shown. A node with keys needs none; it is offered its permissions over its own channel.
#[derive(Serialize, Deserialize)]
pub struct IssuedView {
    /// Whose.
    pub node_id: String,
    /// What it calls itself, for the operator to see whom was approved.
    pub friendly_name: String,
    /// Where it says it stands.
    pub room: String,
    /// From where it asked.
    pub ip_address: String,
    /// The token; absent for a node with keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// The delivery of the token, to be confirmed once it is where it belongs; absent with the token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivery: Option<String>,
    /// The fingerprint of its static key; absent for a node with a token, as are the others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// What it may do now; absent while that is nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_force: Option<InForceView>,
    /// What it may do once it has confirmed it, if that is something else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offered: Option<OfferedView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PairBody {
    #[serde(default)]
    reissue: bool,
    permissions: Option<PermissionsView>,
    expires: Option<u64>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyBody {
    mode: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectBody {
    reason: Option<String>,
}

pub(super) async fn pair(
    State(gateway): State<Gateway>,
    caller: Caller,
    Path(prefix): Path<String>,
    body: Bytes,
) -> Result<Json<IssuedView>, Failure> {
    let body: PairBody = parse(&body)?;
    let purpose = match body.reissue {
        true => Purpose::Reissue,
        false => Purpose::Approve,
    };
    let permissions = body.permissions.as_ref().map(PermissionsView::scopes).transpose()?;
    let terms = Terms { permissions, expires: body.expires.map(Duration::from_secs), message: body.message };
    let record = gateway.device_by_prefix(&prefix).await?.entry.record;
    let issued = gateway.pair_by(caller.authority(), record.node_id, purpose, terms).await?;
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
        token: issued.credential.token().map(|token| token.expose().to_owned()),
        delivery: issued.delivery.map(|ticket| hex(ticket.id.as_bytes())),
        fingerprint: record.keys.as_ref().map(|keys| Fingerprint::of(&keys.channel).to_string()),
        in_force: node.as_ref().and_then(|node| in_force(node, now)),
        offered: node.as_ref().and_then(|node| offered(node, now)),
    }))
}

pub(super) async fn policy(
    State(gateway): State<Gateway>,
    Path(prefix): Path<String>,
    body: Bytes,
) -> Result<Json<DeviceView>, Failure> {
    let body: PolicyBody = parse(&body)?;
    let decision = match (body.mode.as_str(), Mode::parse(&body.mode)) {
        ("muted", _) => Decision::Mute,
        (_, Some(mode)) => Decision::SetMode(mode),
        (_, None) => return Err(Failure::Usage("mode must be full, safe-chat or muted".to_owned())),
    };
    apply(&gateway, &prefix, decision).await
}

pub(super) async fn reject(
    State(gateway): State<Gateway>,
    Path(prefix): Path<String>,
    body: Bytes,
) -> Result<Json<DeviceView>, Failure> {
    let body: RejectBody = parse(&body)?;
    let node_id = gateway.device_by_prefix(&prefix).await?.entry.record.node_id;
    gateway.reject(node_id, body.reason).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

pub(super) async fn decide(
    State(gateway): State<Gateway>,
    Path((prefix, decision)): Path<(String, String)>,
) -> Result<Json<DeviceView>, Failure> {
    let decision = match decision.as_str() {
        "unpair" => Decision::Unpair,
        "mute" => Decision::Mute,
        "unmute" => Decision::Unmute,
        _ => return Err(Failure::Usage("a decision is pair, reject, unpair, policy, mute or unmute".to_owned())),
    };
    apply(&gateway, &prefix, decision).await
}

async fn apply(gateway: &Gateway, prefix: &str, decision: Decision) -> Result<Json<DeviceView>, Failure> {
    let device = gateway.device_by_prefix(prefix).await?;
    let node_id = device.entry.record.node_id;
    gateway.decide(node_id, &decision).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}
