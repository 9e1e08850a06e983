//! Deliveries of secrets that are shown once.

use axum::Json;
use handfast_core::registry::delivery::DeliveryId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::extract::Path;
use super::failure::AdminFailure;

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

fn parse(id: &str) -> Result<DeliveryId, AdminFailure> {
    let all_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = all_hex.then(|| u128::from_str_radix(id, 16).ok()).flatten();
    number.map(|number| DeliveryId::from_bytes(number.to_be_bytes())).ok_or_else(|| {
        AdminFailure::Usage(format!("{id:?} is no id of a delivery: it has 32 hex digits"))
    })
}
