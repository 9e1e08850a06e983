//! The node of a request with `X-API-Key: NODE_ID:NODE_KEY`.

use axum::Json;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handfast_core::grant::keyed_secret::{KeyedSecret, SecretUse};
use handfast_core::registry::record::{Mode, Record};
use handfast_core::{Name, NodeId};
use serde_json::{Value, json};

use super::detail;
use crate::gateway::Gateway;
use crate::pairing::provisioning::NodeOfKey;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The header of the dialect.
const HEADER: &str = "x-api-key";

/// Proof that a request came with the key of a node that registered and is neither muted nor
/// revoked. It is an axum extractor for every state from which a [`Gateway`] can be taken; it
/// answers 401, 403, 429 or 503 otherwise ([`NodeKeyRefused`]).
#[derive(Clone, Debug)]
pub struct NodeKeyCaller {
    external: Name,
    record: Record,
    mode: Mode,
}

/// Reasons to refuse a node's request. The response is JSON, `{"detail"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeKeyRefused {
    /// 401: no `X-API-Key` header, or more than one.
    #[error("This needs a node's key: send the header X-API-Key with NODE_ID:NODE_KEY")]
    Missing,
    /// 401: the key is unknown, of another node, or of a node that was revoked.
    #[error("Invalid API key")]
    Unknown,
    /// 403: the node is muted or in quarantine.
    #[error("This node is muted")]
    Muted,
    /// 429: this source has sent too many wrong keys.
    #[error("Too many attempts; try again in a minute")]
    Throttled,
    /// 503: the registry could not be read, so no key is accepted.
    #[error("The registry cannot be read; try again")]
    Store,
}

impl NodeKeyCaller {
    /// Returns the node's id in the registry.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        self.record.node_id
    }

    /// Returns the name by which the node registered.
    #[must_use]
    pub const fn external(&self) -> &Name {
        &self.external
    }

    /// Returns the node's room.
    #[must_use]
    pub const fn room(&self) -> &Name {
        &self.record.room
    }

    /// Returns the node's permissions for the application.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    async fn of(gateway: &Gateway, parts: &Parts) -> Result<Self, NodeKeyRefused> {
        let inner = &gateway.inner;
        let mut headers = parts.headers.get_all(HEADER).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else {
            return Err(NodeKeyRefused::Missing);
        };
        let source = inner.proxies.address_of(&parts.extensions, &parts.headers);
        let source = source.map(|address| address.source());
        let spent =
            source.map(|source| inner.budgets.provisioning.permit(source, inner.clock.now()));
        let permit = match spent {
            Some(None) => return Err(NodeKeyRefused::Throttled),
            Some(Some(permit)) => Some(permit),
            None => None,
        };
        // The key has no colon, and a name may have some.
        let shown = header.to_str().ok().and_then(|text| text.rsplit_once(':'));
        let shown = shown.and_then(|(external, key)| {
            Some((external, KeyedSecret::parse(SecretUse::NodeKey, key)?))
        });
        let Some((external, key)) = shown else { return Err(NodeKeyRefused::Unknown) };
        let found = gateway.node_of_key(external, &key).await;
        // Only a wrong key is a guess.
        if !matches!(found, Ok(NodeOfKey::Unknown)) {
            permit.into_iter().for_each(|permit| permit.give_back(inner.clock.now()));
        }
        match found {
            Ok(NodeOfKey::Admitted(admitted)) => {
                let (node, record, mode) = *admitted;
                Ok(Self { external: node.external, record, mode })
            }
            Ok(NodeOfKey::Silenced) => Err(NodeKeyRefused::Muted),
            Ok(NodeOfKey::Unknown) => Err(NodeKeyRefused::Unknown),
            Err(error) => {
                limited!(error, CausedBy::Any, { %error, } "a node's key could not be looked up");
                Err(NodeKeyRefused::Store)
            }
        }
    }
}

impl<S> FromRequestParts<S> for NodeKeyCaller
where
    Gateway: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = NodeKeyRefused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, NodeKeyRefused> {
        Self::of(&Gateway::from_ref(state), parts).await
    }
}

impl IntoResponse for NodeKeyRefused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Missing | Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::Muted => StatusCode::FORBIDDEN,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::Store => StatusCode::SERVICE_UNAVAILABLE,
        };
        detail(status, self.to_string())
    }
}

/// `GET /api/v0/nodes/self`: the node, as it is registered.
pub(super) async fn show(caller: NodeKeyCaller) -> Json<Value> {
    Json(json!({
        "node_id": caller.external().as_str(),
        "room": caller.room().as_str(),
        "user": null,
        "voice_mode": null,
    }))
}
