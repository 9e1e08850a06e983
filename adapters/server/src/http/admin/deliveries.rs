//! Deliveries of secrets that are shown once.

use axum::Json;
use handfast_core::registry::delivery::DeliveryId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::extract::{Body, Path};
use super::failure::AdminFailure;
use crate::gateway::Gateway;

/// Outcome of a delivery.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    /// Id of the delivery: 32 hex digits.
    pub delivery: String,
    /// `delivered` or `undone`.
    pub settled: String,
}

/// Confirms that a secret is in its place.
#[utoipa::path(
    post,
    path = "/api/v1/deliveries/{delivery}/confirm",
    tag = "Deliveries",
    responses((status = 200, body = DeliveryView)),
)]
pub(super) async fn confirm(
    Acting(gateway): Acting,
    Path(id): Path<String>,
) -> Result<Json<DeliveryView>, AdminFailure> {
    gateway.confirm_delivery(parse(&id)?).await?;
    Ok(Json(DeliveryView { delivery: id, settled: "delivered".to_owned() }))
}

/// Reports that a secret could not be shown, and undoes the decision behind it.
#[utoipa::path(
    post,
    path = "/api/v1/deliveries/{delivery}/cancel",
    tag = "Deliveries",
    responses((status = 200, body = DeliveryView)),
)]
pub(super) async fn cancel(
    Acting(gateway): Acting,
    Path(id): Path<String>,
) -> Result<Json<DeliveryView>, AdminFailure> {
    gateway.cancel_delivery(parse(&id)?).await?;
    Ok(Json(DeliveryView { delivery: id, settled: "undone".to_owned() }))
}

/// Many deliveries.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ManyBody {
    /// Ids of the deliveries: 32 hex digits each.
    deliveries: Vec<String>,
}

/// Outcome of many deliveries.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeliveriesView {
    /// Ids of the deliveries: 32 hex digits each.
    pub deliveries: Vec<String>,
    /// `delivered` or `undone`.
    pub settled: String,
}

/// Confirms that many secrets are in their places.
#[utoipa::path(
    post,
    path = "/api/v1/deliveries/confirm",
    tag = "Deliveries",
    request_body = ManyBody,
    responses((status = 200, body = DeliveriesView)),
)]
pub(super) async fn confirm_many(
    Acting(gateway): Acting,
    Body(body): Body<ManyBody>,
) -> Result<Json<DeliveriesView>, AdminFailure> {
    settle_many(&gateway, body, true).await
}

/// Reports that many secrets could not be shown, and undoes the decisions behind them.
#[utoipa::path(
    post,
    path = "/api/v1/deliveries/cancel",
    tag = "Deliveries",
    request_body = ManyBody,
    responses((status = 200, body = DeliveriesView)),
)]
pub(super) async fn cancel_many(
    Acting(gateway): Acting,
    Body(body): Body<ManyBody>,
) -> Result<Json<DeliveriesView>, AdminFailure> {
    settle_many(&gateway, body, false).await
}

async fn settle_many(
    gateway: &Gateway,
    body: ManyBody,
    arrived: bool,
) -> Result<Json<DeliveriesView>, AdminFailure> {
    let ManyBody { deliveries } = body;
    let ids = deliveries.iter().map(|id| parse(id)).collect::<Result<Vec<_>, _>>()?;
    gateway.settle_deliveries(ids, arrived).await?;
    let settled = if arrived { "delivered" } else { "undone" };
    Ok(Json(DeliveriesView { deliveries, settled: settled.to_owned() }))
}

fn parse(id: &str) -> Result<DeliveryId, AdminFailure> {
    let all_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = all_hex.then(|| u128::from_str_radix(id, 16).ok()).flatten();
    number.map(|number| DeliveryId::from_bytes(number.to_be_bytes())).ok_or_else(|| {
        AdminFailure::Usage(format!("{id:?} is no id of a delivery: it has 32 hex digits"))
    })
}
