//! The programs outside the gateway.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Caller;
use super::failure::{Failure, parse};
use crate::extension::{AdminAnswer, ExtensionStatus, OnBehalfOf};
use crate::gateway::Gateway;

/// What `GET /api/v1/extensions` answers.
#[derive(Debug, Serialize)]
pub struct ExtensionList {
    /// In the order of the configuration.
    pub extensions: Vec<ExtensionStatus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallBody {
    method: String,
    #[serde(default)]
    params: Value,
}

pub(super) async fn list(State(gateway): State<Gateway>) -> Json<ExtensionList> {
    Json(ExtensionList { extensions: gateway.extensions().status() })
}

/// Answered 200 with `"ok":false` where the extension says no or does not answer: its words are no
/// errors of the gateway's.
pub(super) async fn call(
    State(gateway): State<Gateway>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<AdminAnswer>, Failure> {
    let CallBody { method, params } = parse(&body)?;
    let on_behalf_of = OnBehalfOf::of(caller.authority());
    Ok(Json(gateway.extensions().router().call_for(&method, params, on_behalf_of).await))
}
