//! Spending a login link's secret, and logging out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handfast_core::grant::keyed_secret::KEYED_SECRET_CHARS;
use handfast_core::grant::login_link::LoginSecret;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::channel::Channel;
use super::{BODY_BYTES, LoginRefused, OperatorSession, cookie};
use crate::connection::rate_limit::Permit;
use crate::gateway::Gateway;
use crate::operator::logins::NotOpened;
use crate::policy::origin;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The gateway in the question of the page, if it has no name.
const UNNAMED: &str = "this gateway";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody<'a> {
    secret: &'a str,
}

/// A checked request with a link's secret, and the attempt that it has taken of its source.
struct Shown {
    secret: LoginSecret,
    permit: Option<Permit>,
    channel: Channel,
    parts: Parts,
}

/// Returns who would log in. Spends nothing; a wrong secret is charged.
pub(super) async fn look(
    State(gateway): State<Gateway>,
    request: Request,
) -> Result<Response, LoginRefused> {
    let shown = shown(&gateway, request).await?;
    let offer = gateway.look_at_login(&shown.secret).ok_or(LoginRefused::Spent)?;
    give_back(&gateway, shown.permit);
    let body = json!({
        "name": offer.name.as_str(),
        "role": offer.role.as_str(),
        "gateway": gateway.name().unwrap_or(UNNAMED),
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Spends the secret, and sets the cookie of a new session.
pub(super) async fn log_in(
    State(gateway): State<Gateway>,
    request: Request,
) -> Result<Response, LoginRefused> {
    let Shown { secret, permit, mut channel, parts } = shown(&gateway, request).await?;
    let peer = gateway.inner.proxies.address_of(&parts.extensions, &parts.headers);
    let opened = match gateway.open_login(&secret, peer.map(|peer| peer.ip())).await {
        Ok(opened) => opened,
        Err(NotOpened::Unknown) => return Err(LoginRefused::Spent),
        Err(NotOpened::TooMany) => {
            give_back(&gateway, permit);
            return Err(LoginRefused::TooMany);
        }
        Err(NotOpened::Store(error)) => {
            give_back(&gateway, permit);
            limited!(error, CausedBy::Any, { %error, } "an operator's session could not be stored");
            return Err(LoginRefused::Store);
        }
    };
    give_back(&gateway, permit);
    // A terminator of TLS that adds no header looks like a local browser, but the page knows
    // better.
    if matches!(channel, Channel::Local(_)) && origin::is_encrypted(&parts.headers) {
        channel = Channel::Encrypted;
    }
    let mut room = Zeroizing::new([0; KEYED_SECRET_CHARS]);
    let value = opened.secret.write(&mut room);
    let lives = gateway.inner.logins.settings.longest;
    // The value has only characters that a header takes.
    let set = cookie::set(channel, value, lives).ok_or(LoginRefused::Store)?;
    let body = json!({
        "name": opened.login.name.as_str(),
        "role": opened.login.role.as_str(),
        "gateway": gateway.name().unwrap_or(UNNAMED),
    });
    let mut response = ([(CACHE_CONTROL, "no-store")], Json(body)).into_response();
    response.headers_mut().insert(SET_COOKIE, set);
    Ok(response)
}

/// Ends the session of the request.
pub(super) async fn log_out(
    State(gateway): State<Gateway>,
    session: OperatorSession,
    request: Request,
) -> Response {
    if let Err(error) = gateway.revoke_login(session.login()).await {
        tracing::error!(%error, "an operator's session was ended at its own wish");
        // The session is out nevertheless; what is left is to store that.
        if !matches!(error, crate::operator::OperatorError::CutNotStored { .. }) {
            return LoginRefused::Store.into_response();
        }
    }
    let mut response = Json(json!({"logged_out": true})).into_response();
    let channel = Channel::of(&gateway, request.extensions(), request.headers());
    for channel in [channel, Channel::Encrypted] {
        if let Some(removed) = cookie::removed(channel) {
            response.headers_mut().append(SET_COOKIE, removed);
        }
    }
    response
}

/// Checks a request with a link's secret, and takes an attempt of its source. The attempt stays
/// spent unless it is given back.
async fn shown(gateway: &Gateway, request: Request) -> Result<Shown, LoginRefused> {
    let (parts, body) = request.into_parts();
    let channel = Channel::of(gateway, &parts.extensions, &parts.headers);
    if matches!(channel, Channel::Plain(_)) && !gateway.inner.logins.settings.plain {
        return Err(LoginRefused::Plain);
    }
    // Another page must not log a browser in to a session that is not its owner's.
    if !origin::is_own(&parts.headers, &parts.extensions, &gateway.inner.setup.settings) {
        return Err(LoginRefused::ForeignPage);
    }
    if !is_json(&parts.headers) {
        return Err(LoginRefused::BadBody);
    }
    let source = gateway
        .inner
        .proxies
        .address_of(&parts.extensions, &parts.headers)
        .map(|peer| peer.source());
    let permit = match source {
        None => None,
        Some(source) => {
            let permit = gateway.inner.budgets.logins.permit(source, gateway.inner.clock.now());
            Some(permit.ok_or(LoginRefused::Throttled)?)
        }
    };
    let body: Bytes =
        axum::body::to_bytes(body, BODY_BYTES).await.map_err(|_| LoginRefused::BadBody)?;
    let body: LoginBody<'_> = serde_json::from_slice(&body).map_err(|_| LoginRefused::BadBody)?;
    // A text that is no secret is a wrong one.
    let secret = LoginSecret::parse(body.secret).ok_or(LoginRefused::Spent)?;
    Ok(Shown { secret, permit, channel, parts })
}

/// Returns `true` for a body that is declared as JSON, which no form of another page can send.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}

fn give_back(gateway: &Gateway, permit: Option<Permit>) {
    if let Some(permit) = permit {
        permit.give_back(gateway.inner.clock.now());
    }
}
