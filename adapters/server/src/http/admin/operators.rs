//! Operators over HTTP: login links, sessions, and tokens of programs.

use std::time::Duration;

use axum::{Extension, Json};
use handfast_core::UnixTime;
use handfast_core::registry::authority::Role;
use handfast_core::registry::delivery::DeliveryId;
use handfast_core::registry::logins::{Login, LoginKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Acting;
use super::extract::{Body, Path, Query, longest_wait};
use super::failure::AdminFailure;
use super::paging::{self, Page, PageQuery};
use super::time::Time;
use crate::gateway::Gateway;
use crate::gateway::login_links::LinkState;
use crate::hex::hex;
use crate::http::login::OperatorSession;
use crate::operator::LoginReach;

/// The answer to making a login link: the only time it is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct LoginLinkView {
    /// Id of the link: 32 hex digits.
    pub id: String,
    /// The link, with the secret behind `#`.
    pub url: String,
    /// The same link at the address of this gateway alone, if that is another one and others share
    /// the registry: only the gateway that made a link knows it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub own_url: Option<String>,
    /// Name of the operator.
    pub name: String,
    /// Role of the session that it opens.
    pub role: String,
    /// Life of the link in seconds.
    #[serde(rename = "expires_in_seconds")]
    pub expires_in: u64,
    /// Whom it reaches: `elsewhere`, `this_machine`, or `plain` for a connection that everybody on
    /// the way can read.
    pub reach: String,
    /// SHA-256 fingerprint of the certificate that the browser warns about, where it is one of the
    /// gateway's own authority and the link leads there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<String>,
    /// Id of the delivery, to be confirmed once the link was shown.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub delivery: String,
}

/// The state of a login link.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LoginStateView {
    /// `waits`, `used` or `ended`.
    pub state: String,
    /// Time of the use.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub used_at: Option<Time>,
    /// Address of the browser that used it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip_address: Option<String>,
}

/// The session of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// Id of the session: 32 hex digits.
    pub id: String,
    /// Name of the operator.
    pub name: String,
    /// Role of the session.
    pub role: String,
    /// What requests that change something carry in the header `X-Handfast-CSRF`.
    pub csrf: String,
    /// Latest end of the session.
    pub ends_at: Time,
    /// Time until which destructive acts need no new login.
    pub fresh_until: Time,
}

/// The answer to `GET /api/v1/operators`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OperatorList {
    /// Sessions in the order of their making, ended ones too.
    #[serde(rename = "items")]
    pub operators: Vec<LoginView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of items of all pages.
    pub total: usize,
}

/// The answer to `GET /api/v1/tokens`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// Tokens in the order of their making, ended ones too.
    #[serde(rename = "items")]
    pub tokens: Vec<LoginView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of items of all pages.
    pub total: usize,
}

/// An operator's session or token, without its secret.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LoginView {
    /// Its id: 32 hex digits.
    pub id: String,
    /// Name of the operator or the program.
    pub name: String,
    /// Role of its holder.
    pub role: String,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    /// Time of its making.
    pub made_at: Time,
    /// Time of its last use, to about a minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub used_at: Option<Time>,
    /// Address of that use.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ip_address: Option<String>,
    /// End in force, which the use of a session moves.
    pub expires_at: Time,
    /// Latest end.
    pub ends_at: Time,
    /// Time of its revocation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<Time>,
}

/// The answer to making a token: the only time it is shown.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct TokenMadeView {
    /// Id of the token: 32 hex digits.
    pub id: String,
    /// The token, as it is sent: `Authorization: Bearer TOKEN`.
    pub token: String,
    /// Name of the program.
    pub name: String,
    /// Role of the token.
    pub role: String,
    /// End of the token.
    pub ends_at: Time,
    /// Id of the delivery, to be confirmed once the token was shown.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub delivery: String,
}

/// Who logs in.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginBody {
    /// Name of the operator.
    name: Option<String>,
    /// `viewer`, `operator` or `owner`; `operator` if left out.
    role: Option<String>,
}

/// The terms of a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBody {
    /// `viewer`, `operator` or `owner`.
    role: String,
    /// Name of the program.
    name: Option<String>,
    /// Life of the token in seconds; 30 days if left out.
    #[serde(rename = "expires_seconds")]
    expires: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Longest wait for a change in seconds, at most 30.
    #[serde(rename = "wait_seconds", default)]
    wait: u64,
}

/// Makes a login link, which this answer alone tells: confirm its delivery. The body may be empty.
#[utoipa::path(
    post,
    path = "/api/v1/logins",
    tag = "Operators",
    request_body = LoginBody,
    responses((status = 200, body = LoginLinkView)),
)]
pub(super) async fn log_in(
    Acting(gateway): Acting,
    Body(body): Body<LoginBody>,
) -> Result<Json<LoginLinkView>, AdminFailure> {
    let LoginBody { name, role } = body;
    let role = role.as_deref().map_or(Ok(Role::Operator), role_of)?;
    let made = gateway.make_login_link(name.as_deref(), role)?;
    let id = hex(made.id.as_bytes());
    Ok(Json(LoginLinkView {
        url: made.url.to_string(),
        own_url: made.own_url.map(|url| url.to_string()),
        name: made.name.to_string(),
        role: made.role.as_str().to_owned(),
        expires_in: made.lives.as_secs(),
        reach: match made.reach {
            LoginReach::Elsewhere => "elsewhere",
            LoginReach::ThisMachine => "this_machine",
            LoginReach::Plain => "plain",
        }
        .to_owned(),
        certificate: made.certificate,
        delivery: id.clone(),
        id,
    }))
}

/// Returns the state of a login link, at once or as soon as it changes.
#[utoipa::path(
    get,
    path = "/api/v1/logins/{id}",
    tag = "Operators",
    params(WaitQuery),
    responses((status = 200, body = LoginStateView)),
)]
pub(super) async fn link_state(
    Acting(gateway): Acting,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<LoginStateView>, AdminFailure> {
    let wait = longest_wait(query.wait)?;
    let id = link_id(&id)?;
    let mut changes = gateway.inner.logins.links.changes();
    let waits = async {
        while gateway.login_link_state(id) == Some(LinkState::Waits) {
            // A link also ends by time, which changes nothing that is told.
            let _ = tokio::time::timeout(Duration::from_secs(1), changes.changed()).await;
        }
    };
    let _ = tokio::time::timeout(wait, waits).await;
    let (state, used) = match gateway.login_link_state(id) {
        Some(LinkState::Waits) => ("waits", None),
        Some(LinkState::Used(at, from)) => ("used", Some((at, from))),
        Some(LinkState::Ended) | None => ("ended", None),
    };
    Ok(Json(LoginStateView {
        state: state.to_owned(),
        used_at: used.map(|(at, _)| at.into()),
        ip_address: used.and_then(|(_, from)| from).map(|address| address.to_string()),
    }))
}

/// Describes the browser's session that this request comes with.
#[utoipa::path(
    get,
    path = "/api/v1/operator",
    tag = "Operators",
    responses((status = 200, body = OperatorView)),
)]
pub(super) async fn me(
    session: Option<Extension<OperatorSession>>,
) -> Result<Json<OperatorView>, AdminFailure> {
    let Some(Extension(session)) = session else {
        return Err(AdminFailure::Usage(
            "only a browser's session has this; the operator's socket and tokens need none"
                .to_owned(),
        ));
    };
    Ok(Json(OperatorView {
        id: session.id(),
        name: session.name().to_owned(),
        role: session.role().as_str().to_owned(),
        csrf: session.csrf_token().to_owned(),
        ends_at: session.ends_at().into(),
        fresh_until: session.fresh_until().into(),
    }))
}

/// Lists operators' sessions in the order of their making, ended ones too.
#[utoipa::path(
    get,
    path = "/api/v1/operators",
    tag = "Operators",
    params(PageQuery),
    responses((status = 200, body = OperatorList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<OperatorList>, AdminFailure> {
    let page = views(&gateway, LoginKind::Session, &query).await?;
    Ok(Json(OperatorList { operators: page.items, next: page.next, total: page.total }))
}

/// Ends an operator's session.
#[utoipa::path(
    post,
    path = "/api/v1/operators/{which}/revoke",
    tag = "Operators",
    responses((status = 200, body = LoginView)),
)]
pub(super) async fn revoke(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<LoginView>, AdminFailure> {
    ended(&gateway, LoginKind::Session, &which).await
}

/// Lists the tokens of operators' programs in the order of their making, ended ones too.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "Operators",
    params(PageQuery),
    responses((status = 200, body = TokenList)),
)]
pub(super) async fn tokens(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<TokenList>, AdminFailure> {
    let page = views(&gateway, LoginKind::Token, &query).await?;
    Ok(Json(TokenList { tokens: page.items, next: page.next, total: page.total }))
}

/// Makes a token for a program, which this answer alone tells: confirm its delivery.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "Operators",
    request_body = TokenBody,
    responses((status = 200, body = TokenMadeView)),
)]
pub(super) async fn make_token(
    Acting(gateway): Acting,
    Body(body): Body<TokenBody>,
) -> Result<Json<TokenMadeView>, AdminFailure> {
    let TokenBody { role, name, expires } = body;
    let lives = expires.map(Duration::from_secs);
    let made = gateway.make_token(name.as_deref(), role_of(&role)?, lives).await?;
    let id = hex(made.login.id.as_bytes());
    Ok(Json(TokenMadeView {
        token: made.text.to_string(),
        name: made.login.name.to_string(),
        role: made.login.role.as_str().to_owned(),
        ends_at: made.login.ends_at.into(),
        delivery: id.clone(),
        id,
    }))
}

/// Ends the token of a program.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{which}/revoke",
    tag = "Operators",
    responses((status = 200, body = LoginView)),
)]
pub(super) async fn revoke_token(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<LoginView>, AdminFailure> {
    ended(&gateway, LoginKind::Token, &which).await
}

async fn views(
    gateway: &Gateway,
    kind: LoginKind,
    query: &PageQuery,
) -> Result<Page<LoginView>, AdminFailure> {
    let now = gateway.now();
    let all = gateway.logins(kind).await?.iter().map(|login| view(login, now)).collect();
    paging::cut(all, query.limit, query.after.as_deref(), |login: &LoginView| login.id.clone())
}

async fn ended(
    gateway: &Gateway,
    kind: LoginKind,
    which: &str,
) -> Result<Json<LoginView>, AdminFailure> {
    let login = gateway.login_for_good(kind, which).await?;
    gateway.revoke_login(login.id).await?;
    let now = gateway.now();
    Ok(Json(view(&Login { revoked_at: login.revoked_at.or(Some(now)), ..login }, now)))
}

/// Returns `true` for a token that nobody has used. The confirmation that it was shown counts as its
/// first use in the registry, and is none.
fn is_unused(login: &Login) -> bool {
    login.kind == LoginKind::Token
        && login.used_from.is_none()
        && login.used_at == Some(login.made_at)
}

fn view(login: &Login, now: UnixTime) -> LoginView {
    LoginView {
        id: hex(login.id.as_bytes()),
        name: login.name.to_string(),
        role: login.role.as_str().to_owned(),
        state: match (login.revoked_at, login.admits(now)) {
            (Some(_), _) => "revoked",
            (None, Ok(())) => "valid",
            (None, Err(_)) => "expired",
        }
        .to_owned(),
        made_at: login.made_at.into(),
        used_at: login.used_at.filter(|_| !is_unused(login)).map(Time::from),
        ip_address: login.used_from.map(|address| address.to_string()),
        expires_at: login.expires_at.into(),
        ends_at: login.ends_at.into(),
        revoked_at: login.revoked_at.map(Time::from),
    }
}

fn role_of(text: &str) -> Result<Role, AdminFailure> {
    Role::parse(text).ok_or_else(|| {
        AdminFailure::Usage(format!("{text:?} is no role: it is viewer, operator or owner"))
    })
}

fn link_id(id: &str) -> Result<DeliveryId, AdminFailure> {
    let all_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = all_hex.then(|| u128::from_str_radix(id, 16).ok()).flatten();
    number.map(|number| DeliveryId::from_bytes(number.to_be_bytes())).ok_or_else(|| {
        AdminFailure::Usage(format!("{id:?} is no id of a login link: it has 32 hex digits"))
    })
}
