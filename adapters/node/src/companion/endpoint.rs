//! The endpoint of a companion's gateway: its URL, the check of plain connections, and the trusted
//! CAs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use handfast_public_url::{ExtraHost, GatewayUrl};
use rustls::ClientConfig;
use url::Url;

use super::CompanionError;
use crate::event::presentable;
use crate::tls;

/// The endpoint of a gateway. All decisions are based on the parsed URL.
#[derive(Clone)]
pub struct Endpoint {
    url: GatewayUrl,
    /// `Some` if and only if the gateway is reached over TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Returns the endpoint at this address. `plain` are hosts outside the local network that may
    /// be reached without TLS; `ca` is a file of certificates that are trusted besides the
    /// system's.
    ///
    /// # Errors
    /// [`CompanionError::Address`] for an address that may not be used,
    /// [`CompanionError::Tls`] if `ca` cannot be used.
    pub fn new(url: &str, plain: &[ExtraHost], ca: Option<&Path>) -> Result<Self, CompanionError> {
        let url = GatewayUrl::parse(url, plain)?;
        let tls = url.is_secure().then(|| tls::client(ca)).transpose()?;
        Ok(Self { url, tls })
    }

    /// Returns the address of the gateway.
    #[must_use]
    pub const fn url(&self) -> &GatewayUrl {
        &self.url
    }

    /// Returns the URL of its companions' socket.
    pub(super) fn socket(&self) -> Url {
        self.url.pair_url()
    }

    /// Returns the host for lookups and connections, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> String {
        match self.url.host() {
            url::Host::Domain(name) => name.to_owned(),
            url::Host::Ipv4(ip) => ip.to_string(),
            url::Host::Ipv6(ip) => ip.to_string(),
        }
    }

    /// Returns the `Host` header, and the path of a route with the gateway's query. A prefix before
    /// `/pair` also stands before routes.
    pub(super) fn route(&self, path: &str) -> (String, String) {
        let socket = self.socket();
        let base = socket.path().strip_suffix("/pair").unwrap_or_default();
        let query = socket.query().map(|query| format!("?{query}")).unwrap_or_default();
        let port = socket.port().map(|port| format!(":{port}")).unwrap_or_default();
        (format!("{}{port}", socket.host_str().unwrap_or_default()), format!("{base}{path}{query}"))
    }

    pub(super) fn silent(&self) -> CompanionError {
        CompanionError::Silent { url: self.url.as_str().to_owned(), port: self.url.port() }
    }

    pub(super) fn broken(&self, why: &impl fmt::Display) -> CompanionError {
        let url = self.url.as_str().to_owned();
        CompanionError::Broken { url, why: presentable(&why.to_string()) }
    }

    pub(super) fn not_understood(&self) -> CompanionError {
        CompanionError::NotUnderstood { url: self.url.as_str().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, plain: &[&str]) -> Result<Endpoint, CompanionError> {
        let plain: Vec<ExtraHost> = plain.iter().map(|host| host.parse().unwrap()).collect();
        Endpoint::new(url, &plain, None)
    }

    #[test]
    fn a_plain_connection_goes_to_this_network_alone_unless_its_host_is_allowed() {
        for local in
            ["ws://127.0.0.1:8765", "http://192.168.1.10", "ws://[::1]:8080", "ws://pi.local"]
        {
            assert!(endpoint(local, &[]).is_ok_and(|found| found.tls.is_none()), "{local}");
        }
        for far in [
            "ws://gateway.example",
            "ws://127.0.0.1:x@evil.example",
            "ws://evil.example#.local",
            "ws://evil.example\\@x.local",
            "ws://evil.example?x.local",
        ] {
            assert!(matches!(endpoint(far, &[]), Err(CompanionError::Address(_))), "{far}");
        }
        assert!(endpoint("ws://gateway.example", &["gateway.example"]).is_ok());
    }

    #[test]
    fn routes_are_found_where_the_socket_is() {
        for (url, socket, host, route) in [
            (
                "ws://127.0.0.1:8765",
                "ws://127.0.0.1:8765/pair",
                "127.0.0.1:8765",
                "/api/v1/session",
            ),
            (
                "http://[::1]:80/x/pair?t=1",
                "ws://[::1]/x/pair?t=1",
                "[::1]",
                "/x/api/v1/session?t=1",
            ),
            ("ws://pi.local/a/", "ws://pi.local/a/pair", "pi.local", "/a/api/v1/session"),
        ] {
            let way = endpoint(url, &[]).unwrap();
            assert_eq!(way.socket().as_str(), socket);
            assert_eq!(way.route("/api/v1/session"), (host.to_owned(), route.to_owned()));
        }
    }
}
