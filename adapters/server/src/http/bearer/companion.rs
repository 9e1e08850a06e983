//! The companion behind an HTTP request with a session token.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use handfast_core::UnixTime;
use handfast_core::grant::scope::{Action, Address, ScopesBuf};
use handfast_core::grant::session::Token;
use handfast_core::registry::authority::{Authority, Delegated};
use handfast_core::registry::sessions::Ended;

use super::permit::{BearerRefused, bearer, peer};
use crate::application::CompanionInfo;
use crate::gateway::Gateway;
use crate::proxies::PeerAddress;
use crate::telemetry::SessionEvent;
use crate::telemetry::log_lines::{CausedBy, limited};

/// Proof that a request came with the token of a live companion's session. It is an axum extractor
/// for every state from which a [`Gateway`] can be taken; without a valid token it answers 401, 429
/// or 503 ([`BearerRefused`]).
#[derive(Clone, Debug)]
pub struct CompanionBearer {
    info: CompanionInfo,
    right: Delegated,
    expires_at: UnixTime,
}

impl CompanionBearer {
    /// Returns the session, its profile and its device.
    #[must_use]
    pub const fn info(&self) -> &CompanionInfo {
        &self.info
    }

    /// Returns the end of the session, unless it is refreshed or revoked before.
    #[must_use]
    pub const fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// Returns the scopes of the session's profile, bounded by the session that made it, if one
    /// did.
    #[must_use]
    pub const fn scopes(&self) -> &ScopesBuf {
        &self.right.scopes
    }

    /// Returns `true` if the scopes allow this action at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.right.scopes.scopes().allows(action, address)
    }

    /// Returns the session's authority, for the methods of [`Gateway`] that take a maker's rights.
    #[must_use]
    pub fn authority(&self) -> Authority {
        Authority::Delegated(self.right.clone())
    }

    /// Authenticates a request by its bearer.
    pub(crate) async fn of(gateway: &Gateway, parts: &Parts) -> Result<Self, BearerRefused> {
        Self::by(gateway, bearer(&parts.headers)?, peer(gateway, parts)).await
    }

    /// Returns the companion of a token, by one look-up of the token's hash. A text that has not
    /// the form of a token is not looked up.
    pub(super) async fn by(
        gateway: &Gateway,
        text: &str,
        peer: Option<PeerAddress>,
    ) -> Result<Self, BearerRefused> {
        let inner = &gateway.inner;
        let source = peer.map(PeerAddress::source);
        let found = match Token::parse(text) {
            Some(token) => gateway.session_of(&token).await,
            None => Ok(Err(None)),
        };
        match found {
            Ok(Ok(session)) => match gateway.right_of(&session).await {
                Ok(Some(right)) => Ok(Self {
                    info: CompanionInfo::of(&session),
                    right,
                    expires_at: session.expires_at,
                }),
                // The session that made this one has ended, and this one ends with it.
                Ok(None) => Err(BearerRefused::Unknown),
                Err(error) => {
                    limited!(error, CausedBy::Any, { %error, } "the session that made a session could not be looked up");
                    Err(BearerRefused::Store)
                }
            },
            Ok(Err(Some(Ended::ClockInDoubt))) => Err(BearerRefused::ClockInDoubt),
            Ok(Err(Some(Ended::Revoked | Ended::Expired) | None)) => {
                inner.telemetry.sessions(SessionEvent::Refused, 1);
                // Only failures are limited, so other peers of the same source do not keep a known
                // companion out.
                match source.is_none_or(|source| {
                    inner.budgets.bearers.permit(source, inner.clock.now()).is_some()
                }) {
                    true => Err(BearerRefused::Unknown),
                    false => Err(BearerRefused::Throttled),
                }
            }
            Err(error) => {
                limited!(error, CausedBy::Any, { %error, } "a session could not be looked up");
                Err(BearerRefused::Store)
            }
        }
    }
}

impl<S> FromRequestParts<S> for CompanionBearer
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
