//! The gateway's metrics.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, FORWARDED, HOST, VIA};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use handfast_core::grant::scope::{Action, Address};
use handfast_store::StoreError;

use crate::bearer::{BearerRefused, Companion};
use crate::gateway::Gateway;
use crate::telemetry::{self, Live};

/// What a session has to be allowed to read.
const ADDRESS: &str = "/gateway/metrics";
/// What a proxy adds, so that its own address is not taken for whoever asks.
const OF_PROXIES: [HeaderName; 4] =
    [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// `GET /metrics`.
pub(crate) async fn show(State(gateway): State<Gateway>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Err(refused) = may_read(&gateway, &parts).await {
        return refused;
    }
    answer(&gateway).await
}

/// The metrics, for whoever may read them.
pub(crate) async fn answer(gateway: &Gateway) -> Response {
    match metrics_text(gateway).await {
        Ok(text) => ([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be counted");
            (StatusCode::SERVICE_UNAVAILABLE, "The registry cannot be read, so there are no metrics. Try again.\n")
                .into_response()
        }
    }
}

/// All metrics in the format of OpenMetrics, with those of extensions.
///
/// # Errors
/// [`StoreError`] if what is in the registry cannot be counted.
async fn metrics_text(gateway: &Gateway) -> Result<String, StoreError> {
    let inner = &gateway.inner;
    let now = inner.clock.unix();
    let nodes = inner.store.counts(now).await?;
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let live = Live {
        nodes_pending: nodes.pending,
        nodes_paired: nodes.paired,
        nodes_muted: nodes.muted,
        nodes_revoked: nodes.revoked,
        links: count(inner.hub.count()),
        waiting_connections: count(inner.seats.taken()),
        sessions: inner.store.live_sessions(now).await?,
        senders_pending: inner.gate.waiting().await?,
    };
    let extensions = inner.extensions.scrape(SCRAPE_WITHIN).await;
    Ok(inner.telemetry.encode_with(&live, &extensions))
}

/// How long extensions may take for their metrics, all of them together.
const SCRAPE_WITHIN: Duration = Duration::from_secs(5);

/// Who shows a session is judged by it alone.
async fn may_read(gateway: &Gateway, parts: &Parts) -> Result<(), Response> {
    if !parts.headers.contains_key(AUTHORIZATION) {
        return if is_here(parts) { Ok(()) } else { Err((StatusCode::FORBIDDEN, WHO_MAY).into_response()) };
    }
    let companion = Companion::of(gateway, parts).await.map_err(IntoResponse::into_response)?;
    match Address::parse(ADDRESS) {
        Ok(address) if companion.allows_of_gateway(Action::Read, &address) => Ok(()),
        Ok(_) | Err(_) => Err(BearerRefused::NotAllowed(Action::Read).into_response()),
    }
}

const WHO_MAY: &str = "The metrics are for programs on the gateway's own machine, asking at localhost or a loopback address and through no proxy, and \
                       for sessions that may read at /gateway/metrics: send the header `Authorization: Bearer TOKEN`.\n";

/// Whether somebody on this machine asks, knowing that it does: no proxy, and no web page that gave its own name our address.
fn is_here(parts: &Parts) -> bool {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let local = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    local && host.is_some_and(names_this_machine) && !OF_PROXIES.iter().any(|header| parts.headers.contains_key(header))
}

fn names_this_machine(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
    let ip = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_taken_for_it() {
        for own in
            ["localhost", "localhost:8765", "LOCALHOST", "127.0.0.1", "127.8.8.8:1", "[::1]:8765", "[::1]", "[::ffff:127.0.0.1]"]
        {
            assert!(names_this_machine(own), "{own}");
        }
        for other in
            ["", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", "10.0.0.1", "[::2]"]
        {
            assert!(!names_this_machine(other), "{other}");
        }
    }
}
