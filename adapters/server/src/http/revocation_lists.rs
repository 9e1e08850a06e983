//! The lists of revoked certificates, for everybody who reads them.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::ca::RevocationLists;
use crate::gateway::Gateway;
use crate::operator::revocation_lists::RECENT;
use crate::telemetry::log_lines::{CausedBy, limited};

pub(crate) async fn der(State(gateway): State<Gateway>) -> Response {
    answer(&gateway, "application/pkix-crl", |lists| lists.newest.to_vec()).await
}

pub(crate) async fn pem(State(gateway): State<Gateway>) -> Response {
    answer(&gateway, "application/x-pem-file", |lists| lists.pem().into_bytes()).await
}

async fn answer(
    gateway: &Gateway,
    kind: &'static str,
    bytes: impl FnOnce(&RevocationLists) -> Vec<u8>,
) -> Response {
    match gateway.recent_revocation_lists().await {
        Ok(lists) => {
            let kept = format!("public, max-age={}", RECENT.as_secs());
            let headers: [(HeaderName, String); 2] =
                [(header::CONTENT_TYPE, kind.to_owned()), (header::CACHE_CONTROL, kept)];
            (headers, bytes(&lists)).into_response()
        }
        Err(error) => {
            limited!(error, CausedBy::Any, { %error, } "the revocation lists cannot be made");
            (StatusCode::SERVICE_UNAVAILABLE, "The list cannot be made now.\n").into_response()
        }
    }
}
