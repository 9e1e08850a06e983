//! What a link grants, for whoever shows that they know its payload.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use handfast_core::grant::setup_code::{VERIFY_SCRATCH, verify};
use handfast_core::wire::invite::{INVITE_SECRET_CHARS_MIN, TypedCode};
use handfast_core::wire::native::pair::Selector;
use handfast_core::wire::phone_link::LinkProof;
use handfast_store::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::BODY_BYTES;
use crate::gateway::Gateway;
use crate::policy::origin;
use crate::telemetry::log_lines::{CausedBy, limited};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum LookBody<'a> {
    Setup { token: &'a str },
    Code { selector: &'a str, proof: &'a str },
}

/// The reason for which a look shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookRefused {
    /// 404 `link_unknown`: unknown, spent, ended, or not of this gateway.
    #[error(
        "this link counts no more: it was used, withdrawn or ran out; ask for another one where \
         you got it"
    )]
    Unknown,
    /// 403 `origin_not_allowed`.
    #[error("only the gateway's own page may look at a link")]
    ForeignPage,
    /// 400 `usage`.
    #[error("the request's body is not understood")]
    BadBody,
    /// 429 `rate_limited`.
    #[error("too many unknown links have come from this address: try again in a minute")]
    Throttled,
    /// 503 `store`.
    #[error("the registry could not be read: try again")]
    Store,
}

impl From<StoreError> for LookRefused {
    fn from(error: StoreError) -> Self {
        limited!(error, CausedBy::Any, { %error, } "a link could not be looked at");
        Self::Store
    }
}

impl IntoResponse for LookRefused {
    fn into_response(self) -> Response {
        let (status, code) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "link_unknown"),
            Self::ForeignPage => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::BadBody => (StatusCode::BAD_REQUEST, "usage"),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Store => (StatusCode::SERVICE_UNAVAILABLE, "store"),
        };
        let error = json!({ "error": { "code": code, "message": self.to_string() } });
        (status, [(CACHE_CONTROL, "no-store")], Json(error)).into_response()
    }
}

/// Tells what a link grants. Spends nothing; a wrong one is charged to its source.
pub(super) async fn look(
    State(gateway): State<Gateway>,
    request: Request,
) -> Result<Response, LookRefused> {
    let (parts, body) = request.into_parts();
    let inner = &gateway.inner;
    if !origin::is_own(&parts.headers, &parts.extensions, &inner.setup.settings) {
        return Err(LookRefused::ForeignPage);
    }
    let source = inner.proxies.address_of(&parts.extensions, &parts.headers);
    let permit = match source.map(|peer| peer.source()) {
        None => None,
        Some(source) => {
            let permit = inner.budgets.codes.permit(source, inner.clock.now());
            Some(permit.ok_or(LookRefused::Throttled)?)
        }
    };
    let body: Bytes =
        axum::body::to_bytes(body, BODY_BYTES).await.map_err(|_| LookRefused::BadBody)?;
    let body: LookBody<'_> = serde_json::from_slice(&body).map_err(|_| LookRefused::BadBody)?;
    let shown = match body {
        LookBody::Setup { token } => setup(&gateway, token),
        LookBody::Code { selector, proof } => code(&gateway, selector, proof).await?,
    };
    let shown = shown.ok_or(LookRefused::Unknown)?;
    // Only what is unknown stays charged.
    if let Some(permit) = permit {
        permit.give_back(inner.clock.now());
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(shown)).into_response())
}

/// Describes a setup code of this gateway; `None` if it is another's, or has expired.
fn setup(gateway: &Gateway, token: &str) -> Option<Value> {
    let now = gateway.inner.clock.unix();
    let keys = gateway.inner.setup.keys.now(now);
    let mut scratch = Zeroizing::new([0; VERIFY_SCRATCH]);
    let verified = verify(&keys, token, &mut *scratch).ok()?;
    let claims = verified.claims();
    if claims.expires_at <= now {
        return None;
    }
    let profile = claims.profile.as_str();
    let granted = gateway.inner.setup.settings.permissions_of(profile);
    Some(json!({
        "profile": profile,
        "device_label": claims.device_label.map(|label| label.as_str().to_owned()),
        "permissions": listed(granted.as_str()),
    }))
}

/// Describes a code that can be used now, and whose proof this is. A typed code is never described:
/// a proof of one would be a guess that nobody counts.
async fn code(
    gateway: &Gateway,
    selector: &str,
    proof: &str,
) -> Result<Option<Value>, LookRefused> {
    let (Some(selector), Some(proof)) = (Selector::parse(selector), LinkProof::parse(proof)) else {
        return Ok(None);
    };
    let inner = &gateway.inner;
    let Some(found) = inner.store.code_by_selector(selector, inner.clock.unix()).await? else {
        return Ok(None);
    };
    let Ok(code) = inner.pairing.seal.open_code(found.id.as_bytes(), &found.sealed) else {
        return Ok(None);
    };
    let long = code.expose().len() >= INVITE_SECRET_CHARS_MIN;
    if !long || LinkProof::of(&TypedCode { selector, code }) != proof {
        return Ok(None);
    }
    Ok(Some(json!({ "permissions": listed(found.scopes.as_str()) })))
}

fn listed(scopes: &str) -> Vec<&str> {
    scopes.split_whitespace().collect()
}
