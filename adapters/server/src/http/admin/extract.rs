//! Extractors of the operator's API. What they refuse has the shape of every other error.

use std::time::Duration;

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

/// Longest wait of one request for a change. A connection is closed if nothing is answered for much
/// longer, so a caller that is told so asks again.
pub(crate) const WAIT_MOST: Duration = Duration::from_secs(30);

/// Returns the time for which a request waits for a change.
///
/// # Errors
/// [`AdminFailure::Usage`] for more than [`WAIT_MOST`].
pub(super) fn longest_wait(seconds: u64) -> Result<Duration, AdminFailure> {
    let wait = Duration::from_secs(seconds);
    if wait > WAIT_MOST {
        return Err(AdminFailure::Usage(format!(
            "wait_seconds is {seconds}, and a request waits {} at most, so ask again when they are over",
            WAIT_MOST.as_secs()
        )));
    }
    Ok(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_outlasts_the_connection_is_refused_in_words() {
        assert_eq!(longest_wait(30).ok(), Some(WAIT_MOST));
        for seconds in [31, u64::MAX] {
            let (status, _, message) = longest_wait(seconds).err().unwrap().told();
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert!(message.contains("30 at most"), "{message}");
        }
    }
}
