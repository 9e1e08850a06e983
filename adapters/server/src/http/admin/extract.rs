//! Extractors of the operator's API. What they refuse has the shape of every other error.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;

use super::failure::AdminFailure;

/// The body of a request as JSON, whatever its declared type. An empty body counts as an empty
/// object.
pub(super) struct Body<T>(pub(super) T);

/// The query of a request.
pub(super) struct Query<T>(pub(super) T);

/// The variable parts of a request's path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = AdminFailure;

    async fn from_request(request: Request, state: &S) -> Result<Self, AdminFailure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejected| match rejected
            .into_response()
            .status()
        {
            StatusCode::PAYLOAD_TOO_LARGE => AdminFailure::TooLarge,
            _ => AdminFailure::Usage("the request's body ended early: send it again".to_owned()),
        })?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(bytes).map(Self).map_err(|error| {
            AdminFailure::Usage(format!("the request's body is not understood: {error}"))
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = AdminFailure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminFailure> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(query)| Self(query)).map_err(|rejected| {
            let text = rejected.body_text();
            let wrong = text.rsplit_once("query string: ").map_or(&*text, |(_, wrong)| wrong);
            AdminFailure::Usage(format!("the request's query is not understood: {wrong}"))
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = AdminFailure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminFailure> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(path)| Self(path)).map_err(|rejected| {
            AdminFailure::Usage(format!("the request's path is not understood: {rejected}"))
        })
    }
}
