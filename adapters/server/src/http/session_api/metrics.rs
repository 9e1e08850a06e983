//! The gateway's metrics and the access to them: on the operator's socket for every client, on the
//! main listener for permitted sessions, and on a separate listener for every client.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use handfast_core::grant::scope::{Action, Address};
use handfast_store::StoreError;

use super::accept::wants_text;
use crate::gateway::Gateway;
use crate::gateway::sharing::BusState;
use crate::http::bearer::{Bearer, BearerRefused, bearer};
use crate::http::login::OperatorToken;
use crate::telemetry::log_lines::{CausedBy, limited};
use crate::telemetry::{self, Live, LiveSharing, text};

/// The address that a session needs to be permitted to read.
const ADDRESS: &str = "/gateway/metrics";

/// Answers `GET /metrics` on the main listener.
pub(crate) async fn show(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Err(refused) = may_read(&gateway, &parts).await {
        return refused;
    }
    answer(&gateway, &parts.headers).await
}

/// Returns the metrics in the requested format. The caller has checked the access.
pub(crate) async fn answer(gateway: &Gateway, headers: &HeaderMap) -> Response {
    if !telemetry::IS_COUNTED {
        return (StatusCode::NOT_IMPLEMENTED, NOT_COUNTED).into_response();
    }
    match metrics_text(gateway).await {
        Ok(open) => {
            let (kind, text) = match wants_text(headers) {
                true => (text::CONTENT_TYPE, text::from_open_metrics(&open)),
                false => (telemetry::CONTENT_TYPE, open),
            };
            ([(CONTENT_TYPE, kind), (VARY, "accept")], text).into_response()
        }
        Err(error) => {
            limited!(error, CausedBy::Any, { %error, } "the metrics could not be counted");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "The registry cannot be read, so there are no metrics. Try again.\n",
            )
                .into_response()
        }
    }
}

/// Returns all metrics in the OpenMetrics format, with those of extensions.
///
/// # Errors
/// [`StoreError`] if the registry cannot be counted.
async fn metrics_text(gateway: &Gateway) -> Result<String, StoreError> {
    let inner = &gateway.inner;
    let now = inner.clock.unix();
    let nodes = inner.store.counts(now).await?;
    let store = gateway.store_status();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let live = Live {
        nodes_pending: nodes.pending,
        nodes_paired: nodes.paired,
        nodes_muted: nodes.muted,
        nodes_revoked: nodes.revoked,
        links: count(inner.hub.count()),
        waiting_connections: count(inner.seats.taken()),
        sessions: inner.store.live_sessions(now).await?,
        store_write_failures: store.failures,
        store_failing: store.failing,
        decisions_unstored: count(store.unstored.len()),
        sharing: gateway.sharing().map(|sharing| LiveSharing {
            behind_seconds: sharing.behind.as_secs_f64(),
            cut_off: !sharing.contact.admits(),
            present: count(sharing.gateways.iter().filter(|one| one.is_present).count()),
            bus_connected: sharing.bus.map(|bus| bus == BusState::Connected),
        }),
        senders_pending: inner.gate.waiting().await?,
    };
    // The gateway's own metrics are complete by then, so a failing extension costs only its part.
    let extensions = inner.extensions.scrape(SCRAPE_WITHIN).await;
    Ok(inner.telemetry.encode_with(&live, &extensions))
}

/// Limit for the metrics of all extensions together.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

async fn may_read(gateway: &Gateway, parts: &Parts) -> Result<(), Response> {
    let address = Address::parse(ADDRESS).map_err(BearerRefused::BadAddress);
    let address = address.map_err(IntoResponse::into_response)?;
    if let Ok(text) = bearer(&parts.headers)
        && let Some(token) =
            OperatorToken::of(gateway, parts, text).await.map_err(IntoResponse::into_response)?
    {
        return match token.authority().reaches(Action::Read, &address) {
            true => Ok(()),
            false => Err(BearerRefused::NotAllowed(Action::Read).into_response()),
        };
    }
    let permit = match Bearer::of(gateway, parts).await {
        Ok(permit) => permit,
        Err(BearerRefused::Missing) => {
            return Err(
                (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], WHO_MAY).into_response()
            );
        }
        Err(refused) => return Err(refused.into_response()),
    };
    match permit.allows_of_gateway(Action::Read, &address) {
        true => Ok(()),
        false => Err(BearerRefused::NotAllowed(Action::Read).into_response()),
    }
}

const NOT_COUNTED: &str = "This gateway counts nothing: it was built without handfast-server's \
                           feature `metrics`.\n";
const WHO_MAY: &str = "Here the metrics are for bearers that may read at /gateway/metrics: send the header `Authorization: Bearer TOKEN`. Without one they \
                       are read on the operator's socket (curl --unix-socket DATA/handfast.sock http://localhost/metrics) and on a listener of their own \
                       (the gateway's option --listen-metrics).\n";
