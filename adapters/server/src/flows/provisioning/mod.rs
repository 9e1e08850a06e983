//! Provisioning: a node that a phone has set up registers over HTTP, by the token that the phone
//! gave it, and authenticates its later requests by the key that it got.
//!
//! The routes are those of the Jarvis command center. HTTP requests drive the flow, so it has no
//! connection and no machine of its own; `pairing::provisioning` carries out what core decides.
//!
//! | module | content |
//! |---|---|
//! | `body` | the body of a registration, and what is wrong with one |
//! | `register` | the registration, and its answers |
//! | `caller` | the node of a request with `X-API-Key` |

mod body;
mod caller;
mod register;

use axum::extract::DefaultBodyLimit;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::gateway::Gateway;

pub use caller::{NodeKeyCaller, NodeKeyRefused};

/// Maximum size of a registration in bytes.
const BODY_BYTES: usize = 4096;

/// Returns the routes of nodes.
pub(crate) fn routes() -> Router<Gateway> {
    Router::new()
        .route("/api/v0/nodes/register", post(register::register))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .route("/api/v0/nodes/self", get(caller::show))
}

/// Returns an answer with a `detail`, the dialect's form of an error.
fn detail(status: StatusCode, detail: impl Into<Value>) -> Response {
    let mut response = (status, Json(json!({ "detail": detail.into() }))).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    response
}
