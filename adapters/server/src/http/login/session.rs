//! The operator behind a request: the extractor, the layer, and the check of requests that change
//! something.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use handfast_core::crypto::base64url;
use handfast_core::grant::keyed_secret::{KeyedSecret, SecretUse};
use handfast_core::registry::authority::{Authority, Role};
use handfast_core::registry::logins::{FRESH_FOR, Login, LoginId, LoginKind};
use handfast_core::registry::sessions::Ended;
use handfast_core::secret::Secret;
use handfast_core::{Name, UnixTime};

use zeroize::Zeroizing;

use super::LoginRefused;
use super::channel::Channel;
use super::{cookie, page};
use crate::gateway::Gateway;
use crate::hex::hex;
use crate::http::admin::Caller;
use crate::operator::logins::span;
use crate::policy::origin;
use crate::proxies::PeerAddress;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The header that carries the CSRF token.
const CSRF: &str = "x-handfast-csrf";

/// The operator's session behind a request. It is an axum extractor behind [`require_operator`]
/// and behind the layer of the operator's API; without a session it answers 401 `login_needed`.
#[derive(Clone, Debug)]
pub(crate) struct OperatorSession {
    id: LoginId,
    name: Name,
    role: Role,
    csrf: String,
    made_at: UnixTime,
    ends_at: UnixTime,
}

impl OperatorSession {
    /// Returns a session with this role, as the layer inserts it.
    #[cfg(test)]
    pub(crate) fn with_role(role: Role) -> Self {
        let (made_at, ends_at) = (UnixTime::from_secs(0), UnixTime::from_secs(60));
        let name = handfast_core::Label::parse("anna").unwrap().into();
        let id = LoginId::from_bytes([7; 16]);
        Self { id, name, role, csrf: "c5f".to_owned(), made_at, ends_at }
    }

    /// Returns the id of the session.
    pub(crate) const fn login(&self) -> LoginId {
        self.id
    }

    /// Returns the id as text: 32 hex digits.
    pub(crate) fn id(&self) -> String {
        hex(self.id.as_bytes())
    }

    /// Returns the operator's name.
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the operator's role.
    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Returns the text that requests which change something carry in `X-Handfast-CSRF`.
    pub(crate) fn csrf_token(&self) -> &str {
        &self.csrf
    }

    /// Returns the latest end of the session.
    pub(crate) const fn ends_at(&self) -> UnixTime {
        self.ends_at
    }

    /// Returns the time until which the session may carry out destructive acts.
    pub(crate) fn fresh_until(&self) -> UnixTime {
        self.made_at.after(FRESH_FOR)
    }

    /// Returns the authority of the session.
    pub(crate) const fn authority(&self) -> Authority {
        Authority::Login(self.role, self.id)
    }

    /// Authenticates a request by its cookie; `None` if it has none.
    pub(crate) async fn of(gateway: &Gateway, parts: &Parts) -> Result<Option<Self>, LoginRefused> {
        let channel = Channel::of(gateway, &parts.extensions, &parts.headers);
        let Some(value) = presented(gateway, &parts.headers, channel) else { return Ok(None) };
        if matches!(channel, Channel::Plain(_)) && !gateway.inner.logins.settings.plain {
            return Err(LoginRefused::Plain);
        }
        let secret = KeyedSecret::parse(SecretUse::OperatorSession, &value);
        let login = found(gateway, parts, LoginKind::Session, secret.as_ref()).await?;
        // A secret that was found was parsed.
        let csrf = secret.map(|secret| secret.csrf_token()).ok_or(LoginRefused::Needed)?;
        let Login { id, name, role, made_at, ends_at, .. } = login;
        let csrf = base64url::encode_32(csrf.expose());
        let csrf = std::str::from_utf8(&csrf).unwrap_or_default().to_owned();
        let session = Self { id, name, role, csrf, made_at, ends_at };
        session.check_page(gateway, parts)?;
        Ok(Some(session))
    }

    /// Checks that a request which changes something comes from a page of the gateway that this
    /// session has loaded.
    fn check_page(&self, gateway: &Gateway, parts: &Parts) -> Result<(), LoginRefused> {
        if matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let settings = &gateway.inner.setup.settings;
        if !origin::is_own(&parts.headers, &parts.extensions, settings) {
            return Err(LoginRefused::ForeignPage);
        }
        match token_of(&parts.headers) {
            Some(shown) if shown == secret_of(&self.csrf) => Ok(()),
            Some(_) | None => Err(LoginRefused::Csrf),
        }
    }
}

/// The operator's token behind a request.
#[derive(Clone, Debug)]
pub(crate) struct OperatorToken {
    id: LoginId,
    role: Role,
}

impl OperatorToken {
    /// Returns the id of the token.
    pub(crate) const fn login(&self) -> LoginId {
        self.id
    }

    /// Returns the authority of the token.
    pub(crate) const fn authority(&self) -> Authority {
        Authority::Login(self.role, self.id)
    }

    /// Authenticates a request by the text of its bearer; `None` if that has not the form of an
    /// operator's token.
    pub(crate) async fn of(
        gateway: &Gateway,
        parts: &Parts,
        text: &str,
    ) -> Result<Option<Self>, LoginRefused> {
        let Some(secret) = KeyedSecret::parse(SecretUse::OperatorToken, text) else {
            return Ok(None);
        };
        let login = found(gateway, parts, LoginKind::Token, Some(&secret)).await?;
        Ok(Some(Self { id: login.id, role: login.role }))
    }
}

/// Returns the valid login of a secret, and notes its use. A wrong secret is charged to its source.
async fn found(
    gateway: &Gateway,
    parts: &Parts,
    kind: LoginKind,
    secret: Option<&KeyedSecret>,
) -> Result<Login, LoginRefused> {
    let inner = &gateway.inner;
    let unreadable = |error| {
        limited!(error, CausedBy::Any, { %error, } "an operator's session could not be looked up");
        LoginRefused::Store
    };
    let login = match secret {
        Some(secret) => {
            let id = LoginId::from_bytes(*secret.id());
            let login = inner.store.login(id).await.map_err(unreadable)?;
            login.filter(|login| login.kind == kind && login.hash == secret.hash())
        }
        None => None,
    };
    let peer = inner.proxies.address_of(&parts.extensions, &parts.headers);
    let moment = inner.clock.moment();
    let Some(login) = login else {
        // Only failures are limited, so others at the same source do not keep an operator out.
        let charged = peer.is_none_or(|peer| {
            inner.budgets.logins.permit(peer.source(), inner.clock.now()).is_some()
        });
        return Err(if charged { LoginRefused::Needed } else { LoginRefused::Throttled });
    };
    match login.admits_at(&moment) {
        Ok(()) => {}
        Err(Ended::ClockInDoubt) => return Err(LoginRefused::ClockInDoubt),
        Err(Ended::Revoked) => return Err(LoginRefused::Needed),
        Err(Ended::Expired) => {
            // Written while the clock is good, so that setting it back does not revive the session.
            if let Some(now) = inner.clock.sweeps_at()
                && let Err(error) = inner.store.end_login(login.id, now).await
            {
                return Err(unreadable(error));
            }
            return Err(LoginRefused::Needed);
        }
    }
    let idle = span(inner.logins.settings.idle);
    if let Some(used) = login.used(moment.now, peer.map(|peer| peer.ip()), idle) {
        match inner.store.login_used(login.id, used).await {
            Ok(true) => {}
            // It was revoked meanwhile.
            Ok(false) => return Err(LoginRefused::Needed),
            // The end in force stays where it was, so nothing is given that is not stored.
            Err(error) => {
                limited!(error, CausedBy::Any, { %error, } "the use of an operator's session could not be noted");
            }
        }
    }
    Ok(login)
}

/// Admits operators' sessions alone, for pages and calls beside the operator's API: inserts the
/// [`OperatorSession`] and its [`Caller`].
pub(crate) async fn require_operator(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match OperatorSession::of(&gateway, &parts).await {
        Ok(Some(session)) => {
            let from = gateway.inner.proxies.address_of(&parts.extensions, &parts.headers);
            let from = from.map(PeerAddress::ip);
            parts.extensions.insert(Caller::new(session.authority(), from));
            parts.extensions.insert(session);
            next.run(Request::from_parts(parts, body)).await
        }
        Ok(None) => refusal(&parts, LoginRefused::Needed),
        Err(refused) => refusal(&parts, refused),
    }
}

/// Returns the answer to a refused request: a page for a browser that opens one.
fn refusal(parts: &Parts, refused: LoginRefused) -> Response {
    let accept = parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    match parts.method == Method::GET && accept.is_some_and(|kinds| kinds.contains("text/html")) {
        true => page::refused(refused),
        false => refused.into_response(),
    }
}

impl<S: Sync> FromRequestParts<S> for OperatorSession {
    type Rejection = LoginRefused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, LoginRefused> {
        parts.extensions.get::<Self>().cloned().ok_or(LoginRefused::Needed)
    }
}

/// Returns the cookie of a request. Behind a terminator of TLS that adds no header, a browser looks
/// like a local one and has the cookie of encrypted connections.
fn presented(
    gateway: &Gateway,
    headers: &HeaderMap,
    channel: Channel,
) -> Option<Zeroizing<String>> {
    let either =
        matches!(channel, Channel::Local(_)) && gateway.inner.setup.settings.is_public_encrypted();
    let encrypted = || either.then(|| cookie::read(headers, Channel::Encrypted)).flatten();
    cookie::read(headers, channel).or_else(encrypted)
}

/// Returns the CSRF token of a request's only such header, for a comparison in constant time.
fn token_of(headers: &HeaderMap) -> Option<Secret<43>> {
    let mut all = headers.get_all(CSRF).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => Some(Secret::new(value.as_bytes().try_into().ok()?)),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

fn secret_of(csrf: &str) -> Secret<43> {
    Secret::new(csrf.as_bytes().try_into().unwrap_or([0; 43]))
}
