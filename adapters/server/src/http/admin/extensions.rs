//! The extensions: programs outside the gateway.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Caller;
use super::caller::Acting;
use super::extract::Body;
use super::failure::AdminFailure;
use crate::extension::{AdminAnswer, ExtensionStatus, OnBehalfOf};

/// The answer to `GET /api/v1/extensions`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExtensionList {
    /// The extensions in the order of the configuration.
    pub extensions: Vec<ExtensionStatus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallBody {
    method: String,
    #[serde(default)]
    params: Value,
}

pub(super) async fn list(Acting(gateway): Acting) -> Json<ExtensionList> {
    Json(ExtensionList { extensions: gateway.extensions().status() })
}

/// Calls an extension. The status is 200 with `"ok":false` if the extension refuses or does not
/// answer: its errors are not errors of the gateway.
pub(super) async fn call(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<CallBody>,
) -> Result<Json<AdminAnswer>, AdminFailure> {
    let CallBody { method, params } = body;
    let on_behalf_of = OnBehalfOf::of(caller.authority());
    Ok(Json(gateway.extensions().router().call_for(&method, params, on_behalf_of).await))
}
