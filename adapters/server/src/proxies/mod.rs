//! Trusted proxies in front of the gateway, and the client address that counts.
//!
//! A [`PeerAddress`] is determined once for each connection, and again for each request on a listed
//! proxy's connection, and is passed on from there. Everything that is counted, stored or reported
//! by address uses [`PeerAddress::ip`] or [`PeerAddress::source`].
//!
//! Listing a proxy gives it no other rights: the gateway's own web origins follow from the
//! configured addresses, whatever scheme and host a proxy reports.

mod live;
mod protocol;

use std::net::{IpAddr, SocketAddr};

use axum::extract::connect_info::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use handfast_core::Source;
use handfast_core::wire::forwarded;
pub use handfast_core::wire::forwarded::ForwardedHeader;

use crate::public_url::Net;

pub(crate) use live::LiveProxies;
pub(crate) use protocol::read_header;

/// Settings of trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// Networks of the trusted proxies. Without any, every connection counts for its own address.
    pub trusted: Vec<Net>,
    /// The header in which they report the client's address; the other one is ignored.
    pub header: ForwardedHeader,
}

impl ProxySettings {
    /// Returns `true` if a listed proxy has this address.
    #[must_use]
    pub fn lists(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(ip))
    }

    /// Returns the address that counts for a request with these headers, over a connection from
    /// `peer`.
    #[must_use]
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> PeerAddress {
        let lines = headers.get_all(self.header.as_str());
        // Collected, because the iterator does not know its length; a head has at most a hundred
        // headers.
        let lines: Vec<&[u8]> = lines.iter().map(axum::http::HeaderValue::as_bytes).collect();
        PeerAddress {
            ip: forwarded::source(peer, self.header, lines.into_iter(), |ip| self.lists(ip)),
        }
    }

    /// Returns the address that counts for a request at the router. An embedder's middleware may
    /// insert a [`PeerAddress`] as an extension, which takes precedence. `None` if the server does
    /// not report its connections' addresses.
    #[must_use]
    pub(crate) fn address_of(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Option<PeerAddress> {
        let given = extensions.get::<PeerAddress>().copied();
        given.or_else(|| {
            extensions
                .get::<ConnectInfo<SocketAddr>>()
                .map(|ConnectInfo(peer)| self.address(peer.ip(), headers))
        })
    }
}

/// The address that a connection or a request counts for: its budgets are used, and records, the
/// log and events name it. It is the address of the connection, unless a listed proxy has reported
/// another one.
///
/// An embedder of [`Gateway::router`](crate::Gateway::router) that determines the client by other
/// means inserts one into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    ip: IpAddr,
}

impl PeerAddress {
    /// Creates a peer address from an IP address, in its canonical form.
    #[must_use]
    pub const fn new(ip: IpAddr) -> Self {
        // A socket for both families shows an IPv4 peer by a mapped address.
        Self { ip: ip.to_canonical() }
    }

    /// Returns the address, for records, events and the log.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.ip
    }

    /// Returns the source whose budgets are used.
    #[must_use]
    pub fn source(self) -> Source {
        Source::of(self.ip)
    }
}

impl std::fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.ip.fmt(f)
    }
}

/// The answer if the peer's address is not known.
pub(crate) const NO_PEER: &str = "The Handfast router needs the peer's address: serve it with into_make_service_with_connect_info::<SocketAddr>().\n";

/// The gateway's address that a connection came to.
#[derive(Clone, Copy)]
pub(crate) struct LocalAddress(pub(crate) SocketAddr);

/// Marks a request whose connection is encrypted up to this server. [`crate::serve`] inserts it
/// where it speaks TLS itself; an embedder of [`Gateway::router`](crate::Gateway::router) inserts it
/// into the request's extensions where its own server does.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;
