//! A companion's own session.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handfast_store::audit::Who;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::refuse;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::hex::hex;
use crate::http::admin::{PermissionsView, Time};
use crate::http::bearer::{BearerRefused, CompanionBearer};
use crate::proxies::PeerAddress;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The answer to `GET /api/v1/session`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OwnSession {
    /// Id of the session: 32 hex digits.
    pub(crate) id: String,
    /// Profile of the companion, which determines its permissions.
    pub(crate) profile: String,
    /// Label of the device that the code was made for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) device_label: Option<String>,
    /// End of the session.
    pub(crate) expires_at: Time,
    /// Permissions of the session.
    pub(crate) permissions: PermissionsView,
}

/// The answer to the end of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedView {
    /// `true` if the session was valid until now.
    revoked: bool,
}

impl OwnSession {
    fn of(companion: &CompanionBearer) -> Self {
        let info = companion.info();
        Self {
            id: hex(info.session.as_bytes()),
            profile: info.profile.to_string(),
            device_label: info.device_label.as_ref().map(ToString::to_string),
            expires_at: companion.expires_at().into(),
            permissions: PermissionsView::of(companion.scopes()),
        }
    }
}

/// Describes the companion's session that this request comes with.
#[utoipa::path(
    get,
    path = "/api/v1/session",
    tag = "Companions",
    responses((status = 200, body = OwnSession)),
)]
pub(super) async fn show(companion: CompanionBearer) -> Json<OwnSession> {
    Json(OwnSession::of(&companion))
}

/// Prolongs the companion's session that this request comes with.
#[utoipa::path(
    post,
    path = "/api/v1/session/refresh",
    tag = "Companions",
    responses((status = 200, body = OwnSession)),
)]
pub(super) async fn refresh(
    State(gateway): State<Gateway>,
    companion: CompanionBearer,
    parts: Parts,
) -> Result<Json<OwnSession>, Response> {
    let gateway = own(&gateway, &companion, &parts);
    let until = gateway.refresh_companion(companion.info().session).await.map_err(failed)?;
    Ok(Json(OwnSession { expires_at: until.into(), ..OwnSession::of(&companion) }))
}

/// Ends the companion's session that this request comes with.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    tag = "Companions",
    responses((status = 200, body = EndedView)),
)]
pub(super) async fn end(
    State(gateway): State<Gateway>,
    companion: CompanionBearer,
    parts: Parts,
) -> Result<Json<EndedView>, Response> {
    let gateway = own(&gateway, &companion, &parts);
    let revoked = gateway.revoke_companion(companion.info().session).await.map_err(failed)?;
    Ok(Json(EndedView { revoked }))
}

/// Returns the gateway as the session acts on it.
fn own(gateway: &Gateway, companion: &CompanionBearer, parts: &Parts) -> Gateway {
    let from = gateway.inner.proxies.address_of(&parts.extensions, &parts.headers);
    gateway.by(Who::Session(companion.info().session), from.map(PeerAddress::ip))
}

fn failed(error: OperatorError) -> Response {
    match error {
        OperatorError::NoSuchSession(_) => BearerRefused::Unknown.into_response(),
        error @ OperatorError::CutNotStored { .. } => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "cut_not_stored", &error.to_string())
        }
        error @ (OperatorError::NotFound(_)
        | OperatorError::Ambiguous { .. }
        | OperatorError::Refused { .. }
        | OperatorError::NotNamed(_)
        | OperatorError::SeveralNamed { .. }
        | OperatorError::Changed { .. }
        | OperatorError::NoKeys(_)
        | OperatorError::NotLinked(_)
        | OperatorError::Elsewhere { .. }
        | OperatorError::NoAnswer { .. }
        | OperatorError::NotDispatched { .. }
        | OperatorError::NotPaired(_)
        | OperatorError::SeveralPaired { .. }
        | OperatorError::NoSuchCertificate(_)
        | OperatorError::NotQuarantined(_)
        | OperatorError::NotRevoked(_)
        | OperatorError::NoSuchCode(_)
        | OperatorError::NoSuchPolicy(_)
        | OperatorError::CannotReplace { .. }
        | OperatorError::NoSuchEntry(_)
        | OperatorError::NoUrl(_)
        | OperatorError::SetupKey(_)
        | OperatorError::SetupCodesSpent(_)
        | OperatorError::SeveralSessions { .. }
        | OperatorError::NoSuchOperator { .. }
        | OperatorError::SeveralOperators { .. }
        | OperatorError::Clock(_)
        | OperatorError::Wider(_)
        | OperatorError::Delivery { .. }
        | OperatorError::Usage(_)
        | OperatorError::Store(_)) => {
            limited!(error, CausedBy::Any, { %error, } "a companion's session could not be changed");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "store",
                "the registry could not be written; nothing was changed: try again",
            )
        }
    }
}
