//! The gateway's metrics and the access to them: on the operator's socket for every client, on the
//! main listener for permitted sessions, and on a separate listener for every client.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, VARY, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::limits::Limits;
use handfast_store::StoreError;

use super::accept::wants_text;
use crate::connection::slots::Seats;
use crate::gateway::Gateway;
use crate::http::bearer::{BearerRefused, Permit};
use crate::listen::accept::{Arrived, Listening, accept_with};
use crate::listen::serve::one;
use crate::telemetry::log_lines::{CausedBy, limited};
use crate::telemetry::{self, Live, text};

/// The address that a session needs to be permitted to read.
const ADDRESS: &str = "/gateway/metrics";
/// Maximum number of connections to a metrics listener, in total and per source.
const MOST_READERS: (u32, u32) = (64, 16);

/// Answers `GET /metrics` on the main listener.
pub(crate) async fn show(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Err(refused) = may_read(&gateway, &parts).await {
        return refused;
    }
    answer(&gateway, &parts.headers).await
}

/// Serves `GET /metrics`, and nothing else, to every client of a listener until `until` ends. Its
/// connections have connection slots of their own. On loopback a request has to name this machine
/// as its host, which protects the metrics from DNS rebinding by web pages.
pub async fn serve_metrics(
    gateway: Gateway,
    listener: impl Into<Listening>,
    until: impl Future<Output = ()>,
) {
    let listening = listener.into();
    let here = listening
        .listener
        .local_addr()
        // On a loopback address, a page in a local browser could rebind its name to this listener.
        .is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let (waiting_total, waiting_per_source) = MOST_READERS;
    // Readers have slots of their own, so that a scrape gets through when nodes fill theirs.
    let seats = Seats::new(
        Limits { waiting_total, waiting_per_source, ..gateway.inner.limits },
        gateway.inner.clock.clone(),
    );
    let read = async move |State(gateway): State<Gateway>, headers: HeaderMap| match here
        && !names_this_machine(&headers)
    {
        true => (StatusCode::FORBIDDEN, NOT_HERE).into_response(),
        false => answer(&gateway, &headers).await,
    };
    let router = Router::new()
        .route("/metrics", get(read))
        .fallback(async || (StatusCode::NOT_FOUND, "Here are metrics alone: GET /metrics.\n"))
        .with_state(gateway.clone());
    let served = gateway.clone();
    let each = move |arrived: Arrived| one(router.clone(), arrived, None, served.clone());
    drop(accept_with(&gateway, &seats, listening, until, each).await);
}

/// Returns the metrics in the requested format. The caller has checked the access.
pub(crate) async fn answer(gateway: &Gateway, headers: &HeaderMap) -> Response {
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
        senders_pending: inner.gate.waiting().await?,
    };
    // The gateway's own metrics are complete by then, so a failing extension costs only its part.
    let extensions = inner.extensions.scrape(SCRAPE_WITHIN).await;
    Ok(inner.telemetry.encode_with(&live, &extensions))
}

/// Limit for the metrics of all extensions together.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

async fn may_read(gateway: &Gateway, parts: &Parts) -> Result<(), Response> {
    let permit = match Permit::of(gateway, parts).await {
        Ok(permit) => permit,
        Err(BearerRefused::Missing) => {
            return Err(
                (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], WHO_MAY).into_response()
            );
        }
        Err(refused) => return Err(refused.into_response()),
    };
    match Address::parse(ADDRESS) {
        Ok(address) if permit.allows_of_gateway(Action::Read, &address) => Ok(()),
        Ok(_) | Err(_) => Err(BearerRefused::NotAllowed(Action::Read).into_response()),
    }
}

const WHO_MAY: &str = "Here the metrics are for bearers that may read at /gateway/metrics: send the header `Authorization: Bearer TOKEN`. Without one they \
                       are read on the operator's socket (curl --unix-socket DATA/handfast.sock http://localhost/metrics) and on a listener of their own \
                       (handfast serve --listen-metrics 127.0.0.1:9464).\n";
const NOT_HERE: &str = "This listener is on loopback: ask for localhost or a loopback address.\n";

/// Returns `true` if the request's `Host` names this machine.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    matches!((hosts.next().map(|host| host.to_str()), hosts.next()), (Some(Ok(host)), None) if is_this_machine(host))
}

fn is_this_machine(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    let ip = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name)
        .parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_taken_for_it() {
        for own in [
            "localhost",
            "localhost:8765",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.8.8:1",
            "[::1]:8765",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_this_machine(own), "{own}");
        }
        for other in [
            "",
            "evil.example:8765",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil",
            "10.0.0.1",
            "[::2]",
        ] {
            assert!(!is_this_machine(other), "{other}");
        }
    }
}
