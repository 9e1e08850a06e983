//! The gateway's static key: its fingerprint, and its rotation.

use axum::Json;
use handfast_core::Span;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::extract::Body;
use super::failure::AdminFailure;
use super::time::Time;
use crate::gateway::Gateway;
use crate::gateway::key_rotation::KeyRotation;

/// The gateway's key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GatewayKeyView {
    /// Fingerprint of the key.
    pub fingerprint: String,
    /// The rotation that is under way; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotation: Option<RotationView>,
}

/// A rotation of the gateway's key that is under way.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RotationView {
    /// Fingerprint of the key of before.
    pub older_fingerprint: String,
    /// Time of the rotation.
    pub begun: Time,
    /// Time until which nodes link with the older key.
    pub until: Time,
    /// Number of nodes that have taken the new key.
    pub confirmed: u64,
    /// Number of nodes that have not, and lose this gateway at the end.
    pub missing: u64,
    /// `true` if the end is near while nodes are missing.
    pub loses_nodes_soon: bool,
}

impl From<KeyRotation> for RotationView {
    fn from(rotation: KeyRotation) -> Self {
        Self {
            older_fingerprint: rotation.older.to_string(),
            begun: rotation.begun.into(),
            until: rotation.until.into(),
            confirmed: rotation.know,
            missing: rotation.lack,
            loses_nodes_soon: rotation.is_near && rotation.lack > 0,
        }
    }
}

/// The terms of a rotation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateKeyBody {
    /// Time for which nodes link with the older key, in seconds; the usual one if left out.
    #[serde(rename = "overlap_seconds")]
    overlap: Option<u64>,
}

/// Returns the gateway's fingerprint, and the rotation that is under way.
#[utoipa::path(
    get,
    path = "/api/v1/key",
    tag = "State",
    responses((status = 200, body = GatewayKeyView)),
)]
pub(super) async fn show(Acting(gateway): Acting) -> Result<Json<GatewayKeyView>, AdminFailure> {
    view(&gateway).await
}

/// Makes a new key of the gateway; nodes link with the older one until the overlap ends. The body
/// may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/key/rotate",
    tag = "State",
    request_body = RotateKeyBody,
    responses((status = 200, body = GatewayKeyView)),
)]
pub(super) async fn rotate(
    Acting(gateway): Acting,
    Body(body): Body<RotateKeyBody>,
) -> Result<Json<GatewayKeyView>, AdminFailure> {
    let RotateKeyBody { overlap } = body;
    gateway.rotate_key(overlap.map(Span::from_secs)).await?;
    view(&gateway).await
}

/// Ends the overlap now: nodes without the new key lose the gateway.
#[utoipa::path(
    post,
    path = "/api/v1/key/finish",
    tag = "State",
    responses((status = 200, body = GatewayKeyView)),
)]
pub(super) async fn finish(Acting(gateway): Acting) -> Result<Json<GatewayKeyView>, AdminFailure> {
    if !gateway.finish_key_rotation().await? {
        let text = "no rotation of the gateway's key is under way, so there is none to finish";
        return Err(AdminFailure::Usage(text.to_owned()));
    }
    view(&gateway).await
}

async fn view(gateway: &Gateway) -> Result<Json<GatewayKeyView>, AdminFailure> {
    let rotation = gateway.key_rotation().await?.map(RotationView::from);
    Ok(Json(GatewayKeyView { fingerprint: gateway.fingerprint().to_string(), rotation }))
}
