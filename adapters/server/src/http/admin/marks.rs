//! The key of the marks by which copied nodes are noticed.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::failure::AdminFailure;

/// The answer to the rotation of the key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MarkKeyView {
    /// Number of older keys, which are good for reading only.
    pub older_keys: usize,
}

/// Makes a new key for the marks by which copied nodes are noticed.
#[utoipa::path(
    post,
    path = "/api/v1/marks/rotate",
    tag = "Nodes",
    responses((status = 200, body = MarkKeyView)),
)]
pub(super) async fn rotate(Acting(gateway): Acting) -> Result<Json<MarkKeyView>, AdminFailure> {
    Ok(Json(MarkKeyView { older_keys: gateway.rotate_mark_key().await? }))
}
