//! Access control of the HTTP API.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use handfast_core::UnixTime;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::registry::authority::{self, Authority, Role};
use tracing::Instrument;

use super::ending::{self, StreamHolder};
use super::{BODY_BYTES, refuse, within};
use crate::gateway::Gateway;
use crate::http::admin::{AdminFailure, Caller};
use crate::http::bearer::{BearerRefused, CompanionBearer, bearer, decoded};
use crate::http::login::{LoginRefused, OperatorSession, OperatorToken};
use crate::policy::origin;
use crate::proxies::{NO_PEER, PeerAddress};
use crate::telemetry::log_lines::{CausedBy, limited};
use crate::telemetry::spans;

/// Prefix of the operator's API in addresses of permissions.
const ADDRESS: &str = authority::GATEWAY;
/// Parts of the API that reveal secrets or give access: reading them requires the permission to
/// administer.
const SECRET: [&str; 5] = ["events", "inbound", "messages", "pairing", "setup"];

/// Checks that apply to every request: its peer is known, its body is within the limit, and no
/// foreign web page changes anything.
pub(super) async fn everybody(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    if gateway.inner.proxies.address_of(request.extensions(), request.headers()).is_none() {
        limited!(error, CausedBy::Any, { problem = NO_PEER.trim_end(), } "a request cannot be served");
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "usage", NO_PEER.trim_end());
    }
    let length = request
        .headers()
        .get(CONTENT_LENGTH)
        .map(|length| length.to_str().ok().and_then(|text| text.parse().ok()));
    // Bodies without a length are limited while they are read.
    if length.is_some_and(|length| length.is_none_or(|bytes: usize| bytes > BODY_BYTES)) {
        return AdminFailure::TooLarge.into_response();
    }
    if !is_read(request.method()) && !origin::may_come(&request, &gateway.inner.setup.settings) {
        let text = "a web page of another origin may change nothing here: name its origin in the gateway's settings";
        return refuse(StatusCode::FORBIDDEN, "origin_not_allowed", text);
    }
    next.run(request).await
}

/// The caller of the operator's API over HTTP.
#[expect(clippy::large_enum_variant, reason = "one is made for each request, and lives as long")]
pub(super) enum ApiCaller {
    /// A companion, by the token of its session.
    Companion(CompanionBearer),
    /// An operator's browser, by its cookie.
    Browser(OperatorSession),
    /// An operator's program, by its token.
    Program(OperatorToken),
}

impl ApiCaller {
    /// Authenticates a request. A bearer counts before a cookie, because only a program sends one.
    async fn of(gateway: &Gateway, parts: &Parts) -> Result<Self, Response> {
        let refused = |refused: LoginRefused| refused.into_response();
        if !parts.headers.contains_key(AUTHORIZATION) {
            let session = OperatorSession::of(gateway, parts).await.map_err(refused)?;
            if let Some(session) = session {
                return Ok(Self::Browser(session));
            }
        }
        let bearer = bearer(&parts.headers).map_err(IntoResponse::into_response)?;
        if let Some(token) = OperatorToken::of(gateway, parts, bearer).await.map_err(refused)? {
            return Ok(Self::Program(token));
        }
        let companion = CompanionBearer::of(gateway, parts).await;
        companion.map(Self::Companion).map_err(IntoResponse::into_response)
    }

    fn authority(&self) -> Authority {
        match self {
            Self::Companion(companion) => companion.authority(),
            Self::Browser(session) => session.authority(),
            Self::Program(token) => token.authority(),
        }
    }

    /// Returns `true` if the caller has just logged in.
    fn is_fresh(&self, now: UnixTime) -> bool {
        match self {
            // A companion never logs in, so it has no act that needs a fresh login.
            Self::Companion(_) => false,
            Self::Browser(session) => now < session.fresh_until(),
            Self::Program(_) => false,
        }
    }
}

/// Admits companions and operators to the operator's API where their permissions allow it.
pub(super) async fn operators(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match ApiCaller::of(&gateway, &parts).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let authority = caller.authority();
    if let Err(refused) = admitted(&authority, &parts.method, parts.uri.path()) {
        return refused.into_response();
    }
    if destroys(&parts.method, parts.uri.path()) && !caller.is_fresh(gateway.now()) {
        return LoginRefused::NotFresh.into_response();
    }
    if let ApiCaller::Browser(session) = &caller {
        parts.extensions.insert(session.clone());
    }
    // Everything made behind this layer is made with this authority, and bounded by it.
    let from = gateway.inner.proxies.address_of(&parts.extensions, &parts.headers);
    parts.extensions.insert(Caller::new(authority, from.map(PeerAddress::ip)));
    let holder = match &caller {
        ApiCaller::Companion(companion) => StreamHolder::Companion(companion.info().session),
        ApiCaller::Browser(session) => StreamHolder::Operator(session.login()),
        ApiCaller::Program(token) => StreamHolder::Operator(token.login()),
    };
    let served = next.run(Request::from_parts(parts, body));
    let response = match holder {
        StreamHolder::Companion(_) => served.await,
        StreamHolder::Operator(login) => served.instrument(spans::login(login)).await,
    };
    ending::with_the_holder(&gateway, holder, response)
}

/// Checks that an authority covers a request.
///
/// # Errors
/// [`BearerRefused::NotAllowed`] if it does not, and [`BearerRefused::BadAddress`] for a path that
/// is no address.
fn admitted(authority: &Authority, method: &Method, path: &str) -> Result<(), BearerRefused> {
    let address = address(path)?;
    let action = action(method, &address, authority);
    match Address::parse(&address) {
        // The clock ends every right, so only the local socket sets it.
        Ok(_) if address == "/gateway/clock" && action == Action::Admin => {
            Err(BearerRefused::NotAllowed(Action::Admin))
        }
        // A new key ends everybody's setup codes, and no session bounds what it signs.
        Ok(_) if authority.is_delegated() && is_key(&address) => {
            Err(BearerRefused::NotAllowed(Action::Admin))
        }
        // The id of a delivery is known only to the client that received the secret.
        Ok(_) if is_delivery(path) && !authority.is_viewer() => Ok(()),
        Ok(address) if authority.reaches(action, &address) => Ok(()),
        Ok(_) => Err(BearerRefused::NotAllowed(action)),
        Err(wrong) => Err(BearerRefused::BadAddress(wrong)),
    }
}

/// Returns the least role that covers a request; `None` if only the local socket may make it.
pub(in crate::http) fn least_role(method: &Method, path: &str) -> Option<Role> {
    let roles = [Role::Viewer, Role::Operator, Role::Owner];
    roles.into_iter().find(|role| admitted(&Authority::Operator(*role), method, path).is_ok())
}

/// Returns `true` for a request that needs a fresh login.
pub(in crate::http) fn destroys(method: &Method, path: &str) -> bool {
    !is_read(method) && address(path).is_ok_and(|address| is_destructive(&address))
}

/// Returns the action that a request needs. Reading secrets requires `Admin`, except for a viewer,
/// who gets answers without secrets.
fn action(method: &Method, address: &str, authority: &Authority) -> Action {
    match is_read(method) {
        true if authority.is_viewer() || !is_secret(address) => Action::Read,
        // A task changes nothing about the gateway or what the node may do.
        false if is_task(address) => Action::Write,
        true | false => Action::Admin,
    }
}

/// Returns `true` for the routes of keys that everybody relies on: the gateway's own, that of setup
/// codes, that of the marks of nodes, and that of the certificate authority.
fn is_key(address: &str) -> bool {
    let is = |key: &str| {
        address
            .strip_prefix(ADDRESS)
            .and_then(|rest| rest.strip_prefix(key))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is("/setup/rotate") || is("/marks") || is("/ca") || is("/key")
}

/// Returns `true` for acts that end all of a kind at once, replace a key, or give others access.
fn is_destructive(address: &str) -> bool {
    let first = address.strip_prefix(ADDRESS).and_then(|rest| rest.split('/').nth(1));
    is_key(address)
        || address.ends_with("/revoke-all")
        || first.is_some_and(|first| matches!(first, "operators" | "roles" | "tokens"))
}

/// Returns `true` for the routes of deliveries.
fn is_delivery(path: &str) -> bool {
    address(path).is_ok_and(|address| {
        address.strip_prefix(ADDRESS).and_then(|rest| rest.split('/').nth(1)) == Some("deliveries")
    })
}

/// Returns `true` for the routes of tasks for nodes.
fn is_task(address: &str) -> bool {
    let parts = address.strip_prefix(ADDRESS).map(|rest| rest.split('/').skip(1));
    parts.is_some_and(|mut parts| {
        parts.next() == Some("nodes")
            && parts.next().is_some()
            && parts.next() == Some("dispatches")
    })
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Returns the address of an API path for permissions.
fn address(path: &str) -> Result<String, BearerRefused> {
    let path = decoded(path).map_err(BearerRefused::BadAddress)?;
    Ok(format!("{ADDRESS}{}", within(&path).unwrap_or(&path)))
}

fn is_secret(address: &str) -> bool {
    let first = address.strip_prefix(ADDRESS).and_then(|rest| rest.split('/').nth(1));
    first.is_none_or(|first| SECRET.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_secrets_is_an_administrators_however_it_is_spelt() {
        for path in [
            "/api/v1/events",
            "/api/v1/%65vents",
            "/api/v1/pairing",
            "/api/v1/pairing/codes",
            "/api/v1/inbound",
            "/api/v1/messages",
            "/api/v1/setup/rotate",
            "/api/v1",
        ] {
            assert!(is_secret(&address(path).unwrap()), "{path}");
        }
        for path in
            ["/api/v1/devices", "/api/v1/devices/events", "/api/v1/paired", "/api/v1/sessions"]
        {
            assert!(!is_secret(&address(path).unwrap()), "{path}");
        }
        assert_eq!(address("/api/v1/devices/a").unwrap(), "/gateway/devices/a");
        let token = "/gateway/provisioning/token";
        assert_eq!(address("/api/v0/provisioning/token").unwrap(), token);
        assert!(address("/api/v1/devices%2f..%2fevents").is_err());
    }

    #[test]
    fn a_viewer_looks_at_everything_and_changes_nothing() {
        let viewer = Authority::Operator(Role::Viewer);
        for path in
            ["/gateway/events", "/gateway/inbound", "/gateway/pairing/codes", "/gateway/devices"]
        {
            assert_eq!(action(&Method::GET, path, &viewer), Action::Read, "{path}");
            assert_eq!(action(&Method::POST, path, &viewer), Action::Admin, "{path}");
        }
        assert_eq!(action(&Method::GET, "/gateway/events", &Authority::OWNER), Action::Admin);
        let tasks = "/gateway/nodes/a/dispatches";
        assert_eq!(action(&Method::POST, tasks, &Authority::OWNER), Action::Write);
        assert_eq!(action(&Method::GET, tasks, &Authority::OWNER), Action::Read);
        let cancel = "/gateway/nodes/a/dispatches/b/cancel";
        assert_eq!(action(&Method::POST, cancel, &Authority::OWNER), Action::Write);
        for other in ["/gateway/nodes/dispatches", "/gateway/devices/a/dispatches"] {
            assert_eq!(action(&Method::POST, other, &viewer), Action::Admin, "{other}");
        }
        for (path, is) in [
            ("/gateway/paired/revoke-all", true),
            ("/gateway/ca/rotate", true),
            ("/gateway/key/rotate", true),
            ("/gateway/tokens", true),
            ("/gateway/operators/ab/revoke", true),
            ("/gateway/operator", false),
            ("/gateway/paired/ab/revoke", false),
            ("/gateway/devices/reject", false),
        ] {
            assert_eq!(is_destructive(path), is, "{path}");
        }
        assert!(is_key("/gateway/marks/rotate"));
        assert!(is_key("/gateway/setup/rotate") && !is_key("/gateway/setup"));
    }
}
