//! What an HTTP handler learns of whoever sent a bearer.

use axum::Json;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use handfast_core::grant::scope::{Action, Address, ScopeError, ScopesBuf};

use super::Holder;
use crate::admin::{ErrorBody, ErrorView};
use crate::gateway::Gateway;

/// Shows that a request came with a bearer that counts. An axum extractor for every state that a [`Gateway`] can be taken from.
#[derive(Clone, Debug)]
pub struct Permit {
    holder: Holder,
    scopes: ScopesBuf,
}

/// Why a request is not served. Answered as JSON, `{"error":{"code","message"}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerRefused {
    /// 401 `bearer_missing`.
    #[error("this needs a bearer: send the header `Authorization: Bearer TOKEN` with a token that a link was given")]
    Missing,
    /// 401 `bearer_unknown`: never issued, expired, or revoked.
    #[error("this bearer does not count, or no longer: get a new one over the link")]
    Unknown,
    /// 403 `not_allowed`.
    #[error("this bearer does not allow to {0} here: pair with wider permissions")]
    NotAllowed(Action),
    /// 400 `bad_address`.
    #[error("the path of this request is no address: {0}")]
    BadAddress(ScopeError),
}

impl Permit {
    /// Who holds the bearer.
    #[must_use]
    pub const fn holder(&self) -> Holder {
        self.holder
    }

    /// What it allows.
    #[must_use]
    pub const fn scopes(&self) -> &ScopesBuf {
        &self.scopes
    }

    /// Whether it allows this action at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.scopes.scopes().allows(action, address)
    }

    /// Checks what a request brings.
    pub(super) fn of(gateway: &Gateway, parts: &axum::http::HeaderMap) -> Result<Self, BearerRefused> {
        let mut headers = parts.get_all(AUTHORIZATION).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else { return Err(BearerRefused::Missing) };
        let text = header.to_str().map_err(|_| BearerRefused::Missing)?;
        let (scheme, token) = text.split_once(' ').ok_or(BearerRefused::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(BearerRefused::Missing);
        }
        let found = gateway.inner.pairing.bearers.find(token.trim(), gateway.inner.clock.now());
        let (holder, scopes) = found.ok_or(BearerRefused::Unknown)?;
        Ok(Self { holder, scopes })
    }
}

impl<S> FromRequestParts<S> for Permit
where
    Gateway: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = BearerRefused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, BearerRefused> {
        if let Some(permit) = parts.extensions.get::<Self>() {
            return Ok(permit.clone());
        }
        Self::of(&Gateway::from_ref(state), &parts.headers)
    }
}

impl IntoResponse for BearerRefused {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "bearer_missing"),
            Self::Unknown => (StatusCode::UNAUTHORIZED, "bearer_unknown"),
            Self::NotAllowed(_) => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::BadAddress(_) => (StatusCode::BAD_REQUEST, "bad_address"),
        };
        let body = ErrorView { error: ErrorBody { code: code.to_owned(), message: self.to_string() } };
        let mut response = (status, Json(body)).into_response();
        let challenge = match self {
            Self::Missing => "Bearer",
            Self::Unknown => "Bearer error=\"invalid_token\"",
            Self::NotAllowed(_) => "Bearer error=\"insufficient_scope\"",
            Self::BadAddress(_) => return response,
        };
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}
