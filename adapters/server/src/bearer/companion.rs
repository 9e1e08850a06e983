//! What an HTTP handler learns of the companion whose session a request shows.

use std::net::SocketAddr;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use handfast_core::grant::scope::{Action, Address, ScopesBuf};
use handfast_core::grant::session::Token;
use handfast_core::id::Source;
use handfast_core::registry::sessions::Session;
use handfast_core::time::UnixTime;

use super::permit::{BearerRefused, bearer, peer};
use crate::gateway::Gateway;
use crate::hook::CompanionInfo;
use crate::telemetry::SessionEvent;

/// Shows that a request came with the token of a companion's session that has not ended. An axum extractor for every state that a [`Gateway`] can be taken
/// from; it answers 401, 429 or 503 where there is none ([`BearerRefused`]).
#[derive(Clone, Debug)]
pub struct Companion {
    info: CompanionInfo,
    expires_at: UnixTime,
    scopes: ScopesBuf,
}

impl Companion {
    /// Which session, and as what and for which device it was opened.
    #[must_use]
    pub const fn info(&self) -> &CompanionInfo {
        &self.info
    }

    /// When the session ends, if it is not refreshed or revoked before.
    #[must_use]
    pub const fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// What its profile allows.
    #[must_use]
    pub const fn scopes(&self) -> &ScopesBuf {
        &self.scopes
    }

    /// Whether that allows this action at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.scopes.scopes().allows(action, address)
    }

    /// Checks what a request brings.
    pub(crate) async fn of(gateway: &Gateway, parts: &Parts) -> Result<Self, BearerRefused> {
        Self::by(gateway, bearer(&parts.headers)?, peer(parts)).await
    }

    /// The companion whose token this is. One look-up by its hash; what has not the form of a token is not looked up.
    pub(super) async fn by(gateway: &Gateway, text: &str, peer: Option<SocketAddr>) -> Result<Self, BearerRefused> {
        let inner = &gateway.inner;
        let source = peer.map(|peer| Source::of(peer.ip()));
        if source.is_some_and(|source| !inner.failures.take(source, inner.clock.now())) {
            return Err(BearerRefused::Throttled);
        }
        let found = match Token::parse(text) {
            Some(token) => gateway.session_of(&token).await,
            None => Ok(Err(None)),
        };
        if let (Some(source), Ok(Ok(_)) | Err(_)) = (source, &found) {
            // Who is known, or met a fault of ours, has not failed.
            inner.failures.refund(source, inner.clock.now());
        }
        match found {
            Ok(Ok(session)) => Ok(Self::with(gateway, &session)),
            Ok(Err(_)) => {
                inner.telemetry.sessions(SessionEvent::Refused, 1);
                Err(BearerRefused::Unknown)
            }
            Err(error) => {
                tracing::error!(%error, "a session could not be looked up");
                Err(BearerRefused::Store)
            }
        }
    }

    fn with(gateway: &Gateway, session: &Session) -> Self {
        let scopes = gateway.inner.setup.settings.permissions_of(session.profile.as_str()).clone();
        Self { info: CompanionInfo::of(session), expires_at: session.expires_at, scopes }
    }
}

impl<S> FromRequestParts<S> for Companion
where
    Gateway: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = BearerRefused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, BearerRefused> {
        if let Some(companion) = parts.extensions.get::<Self>() {
            return Ok(companion.clone());
        }
        Self::of(&Gateway::from_ref(state), parts).await
    }
}
