//! A listener with nothing but the metrics.

use axum::Router;
use axum::extract::State;
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use handfast_core::limits::Limits;
use std::future::Future;
use std::net::IpAddr;

use crate::connection::slots::Seats;
use crate::gateway::Gateway;
use crate::http::session_api::metrics;
use crate::listen::accept::{Arrived, Listening, accept_with};
use crate::listen::serve::one;

/// Maximum number of connections to a metrics listener, in total and per source.
const MOST_READERS: (u32, u32) = (64, 16);
const NOT_HERE: &str = "This listener is on loopback: ask for localhost or a loopback address.\n";

/// Serves `GET /metrics`, and nothing else, to every client of a listener until `until` ends. Its
/// connections have connection slots of their own. On loopback a request has to name this machine
/// as its host, which protects the metrics from DNS rebinding by web pages.
///
/// Available with the feature `metrics`.
pub async fn serve_metrics(
    gateway: Gateway,
    listener: impl Into<Listening>,
    until: impl Future<Output = ()>,
) {
    let listening = listener.into();
    let here = listening
        .listener
        .local_addr()
        .is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let (waiting_total, waiting_per_source) = MOST_READERS;
    let seats = Seats::new(
        Limits { waiting_total, waiting_per_source, ..gateway.inner.limits },
        gateway.inner.clock.clone(),
    );
    let read = async move |State(gateway): State<Gateway>, headers: HeaderMap| match here
        && !names_this_machine(&headers)
    {
        true => (StatusCode::FORBIDDEN, NOT_HERE).into_response(),
        false => metrics::answer(&gateway, &headers).await,
    };
    let router = Router::new()
        .route("/metrics", get(read))
        .fallback(async || (StatusCode::NOT_FOUND, "Here are metrics alone: GET /metrics.\n"))
        .with_state(gateway.clone());
    let served = gateway.clone();
    let each = move |arrived: Arrived| one(router.clone(), arrived, None, served.clone());
    // A scrape is short, so those in progress are not waited for.
    drop(accept_with(&gateway, &seats, listening, until, each).await);
}

/// Returns `true` if the request's `Host` names this machine.
fn names_this_machine(headers: &HeaderMap) -> bool {
    // A request with several hosts names none for sure.
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
