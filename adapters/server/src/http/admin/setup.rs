//! Setup codes, and the sessions that they open.

use std::time::Duration;

use axum::Json;
use handfast_core::registry::sessions::{Session, SessionId};
use handfast_store::SessionFilter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Caller;
use super::caller::{Acting, by_operator, made_by};
use super::extract::{Body, Path, Query};
use super::failure::AdminFailure;
use super::paging;
use super::time::Time;
use crate::gateway::Gateway;
use crate::hex::hex;
use crate::operator::setup_codes::NewSetup;

/// The answer to starting a setup: the only time the code is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct StartedView {
    /// URL of the gateway for the companion.
    pub url: String,
    /// Source of the URL: `public`, `tunnel`, `gateway` or `lan`.
    pub url_source: String,
    /// The token that the companion presents at the URL.
    pub bootstrap_token: String,
    /// End of the code's validity.
    pub expires_at: Time,
    /// URL and token in one text, for a QR code or for copying.
    pub payload: String,
    /// Id of the delivery, to be confirmed once the code was shown.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub delivery: String,
}

/// The answer to a rotation of the key for setup codes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RotatedView {
    /// Always `true`; a failure is an error answer.
    pub rotated: bool,
}

/// The answer to `GET /api/v1/sessions`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionList {
    /// Sessions in order of their ids.
    #[serde(rename = "items")]
    pub sessions: Vec<SessionView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// A companion's session, without its token.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Id of the session: 32 hex digits.
    pub id: String,
    /// Profile of the companion, which determines its permissions.
    pub profile: String,
    /// Label of the device that the code was made for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_label: Option<String>,
    /// Time when the session was opened.
    pub issued_at: Time,
    /// End of the session.
    pub expires_at: Time,
    /// The maker of the code that opened the session: `operator`, or `session ID`; it ends with
    /// that session.
    #[serde(default = "by_operator")]
    pub made_by: String,
    /// Time of the revocation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<Time>,
    /// `true` while a connection of the companion is open.
    pub linked: bool,
}

/// The answer to ending all sessions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RevokedSessionsView {
    /// Number of sessions that were ended by it.
    pub revoked: usize,
}

/// The terms of a setup code.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    /// Label of the device that it is for.
    for_device: Option<String>,
    /// Profile of the session that it opens; the usual one if left out.
    profile: Option<String>,
    /// Life of the code in seconds.
    #[serde(rename = "ttl_seconds")]
    ttl: Option<u64>,
    /// URL of the gateway for the companion; the gateway's own if left out.
    public_url: Option<String>,
    /// Makes a code for a device with a key of its own, which opens no session.
    #[serde(default)]
    bound: bool,
}

/// The terms of a new key.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateSetupKeyBody {
    /// Ends codes of the old key at once.
    #[serde(default)]
    at_once: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionsQuery {
    /// The sessions that are listed.
    #[serde(default)]
    #[param(inline)]
    filter: SessionsFilter,
    /// Maximum number of items, from 1 to 500; 500 if left out.
    limit: Option<usize>,
    /// Cursor of the page: the `next` of the page before.
    after: Option<String>,
}

/// The sessions of a list.
#[derive(Deserialize, Default, Clone, Copy, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SessionsFilter {
    /// Sessions that are valid.
    #[default]
    Live,
    /// Ended sessions, too.
    All,
}

/// Makes a setup code, which this answer alone tells: confirm its delivery. The body may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/setup",
    tag = "Companions",
    request_body = StartBody,
    responses((status = 200, body = StartedView)),
)]
pub(super) async fn start(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<StartBody>,
) -> Result<Json<StartedView>, AdminFailure> {
    let StartBody { for_device, profile, ttl, public_url, bound } = body;
    let new =
        NewSetup { for_device, profile, ttl: ttl.map(Duration::from_secs), public_url, bound };
    let started = gateway.start_setup_by(caller.authority(), &new)?;
    // A code that would count as spent is refused before it is shown.
    gateway.check_setup_mark(started.expires_at).await?;
    // Nothing is stored of a code but its delivery, which lets it lapse if it never arrives.
    let delivery = gateway.deliver_setup(&started).await?;
    Ok(Json(StartedView {
        url: started.url,
        url_source: started.url_source.to_string(),
        bootstrap_token: started.bootstrap_token,
        expires_at: started.expires_at.into(),
        payload: started.payload,
        delivery: hex(delivery.id.as_bytes()),
    }))
}

/// Makes a new key for setup codes. The body may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/setup/rotate",
    tag = "Companions",
    request_body = RotateSetupKeyBody,
    responses((status = 200, body = RotatedView)),
)]
pub(super) async fn rotate(
    Acting(gateway): Acting,
    Body(body): Body<RotateSetupKeyBody>,
) -> Result<Json<RotatedView>, AdminFailure> {
    let RotateSetupKeyBody { at_once } = body;
    gateway.rotate_setup_key(at_once).await?;
    Ok(Json(RotatedView { rotated: true }))
}

/// Lists companions' sessions in order of their ids.
#[utoipa::path(
    get,
    path = "/api/v1/sessions",
    tag = "Companions",
    params(SessionsQuery),
    responses((status = 200, body = SessionList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<SessionsQuery>,
) -> Result<Json<SessionList>, AdminFailure> {
    let filter = match query.filter {
        SessionsFilter::Live => SessionFilter::Live,
        SessionsFilter::All => SessionFilter::All,
    };
    let most = paging::limit(query.limit)?;
    let after = paging::after(query.after.as_deref(), session_id)?;
    let page = gateway.companions_after(filter, after, most).await?;
    let last = page.last().filter(|_| page.len() == most);
    let next = last.map(|session| hex(session.id.as_bytes()));
    let sessions = page.iter().map(|session| view(&gateway, session)).collect();
    Ok(Json(SessionList { sessions, next }))
}

/// Returns the sessions that a filter keeps.
pub(in crate::http) async fn read(
    gateway: &Gateway,
    filter: SessionFilter,
) -> Result<SessionList, AdminFailure> {
    let sessions = gateway.companions(filter).await?;
    let sessions = sessions.iter().map(|session| view(gateway, session)).collect();
    Ok(SessionList { sessions, next: None })
}

/// Ends a companion's session.
#[utoipa::path(
    post,
    path = "/api/v1/sessions/{which}/revoke",
    tag = "Companions",
    responses((status = 200, body = SessionView)),
)]
pub(super) async fn revoke(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
) -> Result<Json<SessionView>, AdminFailure> {
    let session = gateway.companion_for_good(&prefix).await?;
    gateway.revoke_companion(session.id).await?;
    show(&gateway, &session).await
}

/// Prolongs a companion's session.
#[utoipa::path(
    post,
    path = "/api/v1/sessions/{prefix}/refresh",
    tag = "Companions",
    responses((status = 200, body = SessionView)),
)]
pub(super) async fn refresh(
    Acting(gateway): Acting,
    caller: Caller,
    Path(prefix): Path<String>,
) -> Result<Json<SessionView>, AdminFailure> {
    let session = gateway.companion_by_prefix(&prefix).await?;
    gateway.refresh_companion_by(caller.authority(), session.id).await?;
    show(&gateway, &session).await
}

/// Ends all companions' sessions.
#[utoipa::path(
    post,
    path = "/api/v1/sessions/revoke-all",
    tag = "Companions",
    responses((status = 200, body = RevokedSessionsView)),
)]
pub(super) async fn revoke_all(
    Acting(gateway): Acting,
) -> Result<Json<RevokedSessionsView>, AdminFailure> {
    Ok(Json(RevokedSessionsView { revoked: gateway.revoke_all_companions().await? }))
}

async fn show(gateway: &Gateway, session: &Session) -> Result<Json<SessionView>, AdminFailure> {
    let now = gateway
        .inner
        .store
        .session(session.id)
        .await
        .map_err(crate::gateway::operator_types::OperatorError::from)?;
    Ok(Json(view(gateway, now.as_ref().unwrap_or(session))))
}

fn session_id(text: &str) -> Option<SessionId> {
    let all_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = all_hex.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(SessionId::from_bytes(number.to_be_bytes()))
}

pub(super) fn view(gateway: &Gateway, session: &Session) -> SessionView {
    SessionView {
        id: hex(session.id.as_bytes()),
        profile: session.profile.to_string(),
        device_label: session.device_label.as_ref().map(ToString::to_string),
        issued_at: session.issued_at.into(),
        expires_at: session.expires_at.into(),
        made_by: made_by(session.maker),
        revoked_at: session.revoked_at.map(Time::from),
        linked: gateway.inner.hub.is_live(session.id),
    }
}
