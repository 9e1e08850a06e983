//! The authority of an HTTP request that carries a bearer.

use axum::Json;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use handfast_core::grant::scope::{Action, Address, ScopeError, ScopesBuf};
use handfast_core::registry::authority;

use super::CompanionBearer;
use crate::gateway::Gateway;
use crate::gateway::bearers::BearerHolder;
use crate::gateway::in_force::OwnedInForce;
use crate::http::admin::ErrorView;
use crate::proxies::PeerAddress;

/// Proof that a request came with a valid bearer. It is an axum extractor for every state from
/// which a [`Gateway`] can be taken.
#[derive(Clone, Debug)]
pub struct Bearer {
    holder: BearerHolder,
    in_force: OwnedInForce,
    scopes: ScopesBuf,
}

/// Reasons to refuse a request. The response is JSON, `{"error":{"code","message","hint"}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerRefused {
    /// 401 `bearer_missing`: no `Authorization` header with the scheme `Bearer`, or more than one.
    #[error(
        "this needs a bearer: send the header `Authorization: Bearer TOKEN` with a token that a link was given"
    )]
    Missing,
    /// 401 `bearer_unknown`: never issued, expired, or revoked.
    #[error(
        "this bearer does not count, or no longer: get a new one over the link, or a new session with a setup code"
    )]
    Unknown,
    /// 403 `not_allowed`: the bearer does not allow this action here.
    #[error(
        "this bearer does not allow to {0} here: pair with wider permissions, or have an operator do it at the gateway"
    )]
    NotAllowed(Action),
    /// 503 `clock_in_doubt`: only a clock that is in doubt says that the bearer has expired.
    #[error(
        "the gateway's clock is in doubt, and by what it says this bearer has expired: try again once it is right"
    )]
    ClockInDoubt,
    /// 429 `rate_limited`: this source has sent too many invalid bearers.
    #[error(
        "too many bearers that count for nothing have come from this address: try again in a minute"
    )]
    Throttled,
    /// 503 `store`: the registry could not be read, so no bearer is accepted.
    #[error(
        "the registry could not be read, so it is not known whether this bearer counts: try again"
    )]
    Store,
    /// 400 `bad_address`: the request's path is not an address.
    #[error("the path of this request is no address: {0}")]
    BadAddress(ScopeError),
}

impl Bearer {
    /// Returns the holder of the bearer.
    #[must_use]
    pub const fn holder(&self) -> BearerHolder {
        self.holder
    }

    /// Returns the scopes that the bearer allows. Where an operator's decision cuts across the
    /// granted scopes, only those that lie within it are listed.
    #[must_use]
    pub const fn scopes(&self) -> &ScopesBuf {
        &self.scopes
    }

    /// Returns `true` if the bearer allows this action at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.in_force.allows(action, address)
    }

    /// Returns `true` if the bearer allows an action at one of the gateway's own addresses, which
    /// need a scope that names them: a pattern for everything means those of the application.
    pub(crate) fn allows_of_gateway(&self, action: Action, address: &Address<'_>) -> bool {
        authority::reaches(&self.scopes, action, address)
    }

    /// Authenticates a request. Bearers in memory are tried first, sessions of the registry only
    /// after them.
    pub(crate) async fn of(gateway: &Gateway, parts: &Parts) -> Result<Self, BearerRefused> {
        let text = bearer(&parts.headers)?;
        if let Some((holder, in_force)) =
            gateway.inner.pairing.bearers.find(text, gateway.inner.clock.now())
        {
            // What ended it may not have been read yet.
            if !gateway.inner.hub.contact().admits() {
                return Err(BearerRefused::Store);
            }
            // A permit shows one set of scopes, so the bounds of the bearer are intersected with
            // them.
            let scopes = in_force.lend().at_most();
            return Ok(Self { holder, in_force, scopes });
        }
        let companion = CompanionBearer::by(gateway, text, peer(gateway, parts)).await?;
        let scopes = companion.scopes().clone();
        Ok(Self {
            holder: BearerHolder::Companion(companion.info().session),
            in_force: scopes.clone().into(),
            scopes,
        })
    }
}

/// Returns the bearer of the only `Authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, BearerRefused> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(BearerRefused::Missing);
    };
    let text = header.to_str().map_err(|_| BearerRefused::Missing)?;
    let (scheme, token) = text.split_once(' ').ok_or(BearerRefused::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(BearerRefused::Missing)
    }
}

/// Returns the address from which a request comes, if the server put it into the extensions.
pub(super) fn peer(gateway: &Gateway, parts: &Parts) -> Option<PeerAddress> {
    gateway.inner.proxies.address_of(&parts.extensions, &parts.headers)
}

impl<S> FromRequestParts<S> for Bearer
where
    Gateway: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = BearerRefused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, BearerRefused> {
        // A layer of this request has authenticated it already.
        if let Some(permit) = parts.extensions.get::<Self>() {
            return Ok(permit.clone());
        }
        Self::of(&Gateway::from_ref(state), parts).await
    }
}

impl IntoResponse for BearerRefused {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "bearer_missing"),
            Self::Unknown => (StatusCode::UNAUTHORIZED, "bearer_unknown"),
            Self::NotAllowed(_) => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Store => (StatusCode::SERVICE_UNAVAILABLE, "store"),
            Self::ClockInDoubt => (StatusCode::SERVICE_UNAVAILABLE, "clock_in_doubt"),
            Self::BadAddress(_) => (StatusCode::BAD_REQUEST, "bad_address"),
        };
        let mut response = (status, Json(ErrorView::new(code, &self.to_string()))).into_response();
        let challenge = match self {
            Self::Missing => "Bearer",
            Self::Unknown => "Bearer error=\"invalid_token\"",
            Self::NotAllowed(_) => "Bearer error=\"insufficient_scope\"",
            Self::Throttled => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
                return response;
            }
            Self::Store | Self::ClockInDoubt | Self::BadAddress(_) => return response,
        };
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}
