//! Settings over HTTP, in both directions, sealed under K2. Nothing here is done for who has not K2,
//! within the setup window as outside of it.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::ApiState;
use crate::provisioning::shared_settings::{RevisedSettings, SharedSettings};
use crate::provisioning::snapshot::{SETTINGS_BYTES, SealedSettings, SettingsError};

/// Longest body: settings in base64url, with the members' names.
const BODY_BYTES: usize = 2 * SETTINGS_BYTES;

/// Returns the routes.
pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/api/v1/settings/snapshot", post(snapshot))
        .route("/api/v1/settings", post(push))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

async fn snapshot(State(api): State<ApiState>, body: Bytes) -> Response {
    let answer = open(&api).and_then(|settings| {
        let Some(request) = read::<SealedSettings>(&body) else { return Ok(None) };
        settings.snapshot(&request).map(|snapshot| Some(json!(snapshot)))
    });
    respond(answer)
}

async fn push(State(api): State<ApiState>, body: Bytes) -> Response {
    let answer = open(&api).and_then(|settings| {
        let Some(pushed) = read::<RevisedSettings>(&body) else { return Ok(None) };
        settings.push(&pushed).map(|revision| Some(json!({ "revision": revision })))
    });
    respond(answer)
}

fn open(api: &ApiState) -> Result<SharedSettings, SettingsError> {
    SharedSettings::open(&api.0.state)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// Makes the answer; without a value the body was none.
fn respond(answer: Result<Option<Value>, SettingsError>) -> Response {
    let (status, code, error) = match answer {
        Ok(Some(value)) => return Json(value).into_response(),
        Ok(None) => {
            let words = "send an object with ciphertext, nonce and tag, each base64url; a push has \
                         its revision, too";
            let body = json!({ "detail": words, "error_code": "not_sealed" });
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
        }
        Err(error) => match &error {
            SettingsError::NotOurs => (StatusCode::FORBIDDEN, "not_sealed_for_this_node", error),
            SettingsError::NoKey => (StatusCode::CONFLICT, "no_k2", error),
            SettingsError::Stale { .. } => (StatusCode::CONFLICT, "stale_revision", error),
            SettingsError::NonceReused => (StatusCode::CONFLICT, "nonce_reused", error),
            SettingsError::NotJson => (StatusCode::UNPROCESSABLE_ENTITY, "not_json", error),
            SettingsError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "too_long", error),
            SettingsError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", error),
            SettingsError::Files(_) | SettingsError::Randomness(_) => {
                tracing::error!("the settings cannot be shared: {error}");
                (StatusCode::INSUFFICIENT_STORAGE, "cannot_store", error)
            }
        },
    };
    // Paths of files are for the log.
    let words = match &error {
        SettingsError::Files(_) | SettingsError::Randomness(_) => {
            "the node could not read or store its settings; its log says why".to_owned()
        }
        SettingsError::NotOurs
        | SettingsError::NoKey
        | SettingsError::Stale { .. }
        | SettingsError::NonceReused
        | SettingsError::NotJson
        | SettingsError::TooLong
        | SettingsError::Busy => error.to_string(),
    };
    let mut body = json!({ "detail": words, "error_code": code });
    if let SettingsError::Stale { revision } = error {
        body["revision"] = revision.into();
    }
    (status, Json(body)).into_response()
}
