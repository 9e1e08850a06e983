//! The addresses with which phones and computers find out whether a network leads to the internet.
//!
//! In the secure mode they are sent to the page until the node is provisioned, so that a phone opens
//! it by itself, in a window that closes once the answer is the expected one. Clients of the plain
//! mode expect that one from the start.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, HOST, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use handfast_core::flow::provisioning::status::PublicState;

use super::ApiState;

/// The node's own address on a connection.
#[derive(Clone, Copy)]
pub(super) struct LocalAddress(pub(super) SocketAddr);

/// An answer of the internet to a probe.
#[derive(Clone, Copy)]
enum OnlineAnswer {
    Nothing,
    Apple,
    Text(&'static str),
}

const PROBES: [(&str, OnlineAnswer); 5] = [
    ("/generate_204", OnlineAnswer::Nothing),
    ("/hotspot-detect.html", OnlineAnswer::Apple),
    ("/library/test/success.html", OnlineAnswer::Apple),
    ("/success.txt", OnlineAnswer::Text("success\n")),
    ("/connecttest.txt", OnlineAnswer::Text("Microsoft Connect Test")),
];

/// Returns the routes of the probes.
pub(super) fn routes() -> Router<ApiState> {
    PROBES.into_iter().fold(Router::new(), |router, (path, expected)| {
        let answer = move |State(api): State<ApiState>,
                           Extension(local): Extension<LocalAddress>,
                           headers: HeaderMap| async move {
            if api.0.plain || api.snapshot().state == PublicState::Provisioned {
                expected.into_response()
            } else {
                let page = format!("http://{}/", own_address(&headers, local));
                (StatusCode::FOUND, [(LOCATION, page.as_str()), (CACHE_CONTROL, "no-store")])
                    .into_response()
            }
        };
        router.route(path, get(answer))
    })
}

impl IntoResponse for OnlineAnswer {
    fn into_response(self) -> Response {
        match self {
            Self::Nothing => StatusCode::NO_CONTENT.into_response(),
            Self::Apple => {
                Html("<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>")
                    .into_response()
            }
            Self::Text(text) => text.into_response(),
        }
    }
}

/// Returns the address under which the phone reaches the node: the one that it asked for, or, where
/// it asked for a name of the internet, the one at which its connection arrived.
fn own_address(headers: &HeaderMap, LocalAddress(local): LocalAddress) -> String {
    let asked = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(literal);
    match asked.unwrap_or_else(|| SocketAddr::new(local.ip().to_canonical(), local.port())) {
        // The default port of http is left out, as browsers do.
        address if address.port() != 80 => address.to_string(),
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// Reads a host that is an IP address, with its port.
fn literal(host: &str) -> Option<SocketAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let at_default = || bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 80));
    host.parse().ok().or_else(at_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_sent_to_the_address_it_asked_for_or_to_the_one_it_has_reached() {
        let address = |host: Option<&str>, local: &str| {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(HOST, host.parse().unwrap());
            }
            own_address(&headers, LocalAddress(local.parse().unwrap()))
        };
        let local = "192.168.4.1:8080";
        for (host, expected) in [
            (Some("10.0.0.1:80"), "10.0.0.1"),
            (Some("10.0.0.1"), "10.0.0.1"),
            (Some("10.0.0.1:8081"), "10.0.0.1:8081"),
            (Some("[fd00::1]:8081"), "[fd00::1]:8081"),
            (Some("[fd00::1]"), "[fd00::1]"),
            (Some("captive.example"), local),
            (Some("10.0.0.1@evil.example"), local),
            (Some("10.0.0.1:"), local),
            (Some(""), local),
            (None, local),
        ] {
            assert_eq!(address(host, local), expected, "{host:?}");
        }
        assert_eq!(address(None, "[::ffff:192.168.4.1]:80"), "192.168.4.1");
    }
}
