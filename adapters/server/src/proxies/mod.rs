//! Proxies in front of the gateway: which ones are believed when they say for whom they ask, and
//! the address that counts.
//!
//! A [`PeerAddress`] is made once for each connection, and again for each request of a listed
//! proxy's connection, and goes from there to whoever serves it. All that is counted by address,
//! kept or told of it takes [`PeerAddress::ip`] or [`PeerAddress::source`].
//!
//! Listing a proxy gives it nothing else: which web pages are the gateway's own follows from the
//! configured addresses, whatever a proxy says of scheme and host.

mod protocol;

use std::net::{IpAddr, SocketAddr};

use axum::extract::connect_info::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use handfast_core::id::Source;
use handfast_core::wire::forwarded;
pub use handfast_core::wire::forwarded::ForwardedHeader;

use crate::pairing::Net;

pub(crate) use protocol::read_header;

/// Which proxies are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where the proxies are. Without any, every connection counts for the address that it comes
    /// from.
    pub trusted: Vec<Net>,
    /// The header in which they say for whom they ask; the other one is ignored.
    pub header: ForwardedHeader,
}

impl ProxySettings {
    /// Whether a listed proxy has this address.
    #[must_use]
    pub fn lists(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(ip))
    }

    /// The address for which a request with these headers counts, over a connection from `peer`.
    #[must_use]
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> PeerAddress {
        let lines = headers.get_all(self.header.as_str());
        // Collected, because its iterator does not know its length; a head has at most a hundred
        // headers.
        let lines: Vec<&[u8]> = lines.iter().map(axum::http::HeaderValue::as_bytes).collect();
        PeerAddress {
            ip: forwarded::source(peer, self.header, lines.into_iter(), |ip| self.lists(ip)),
        }
    }

    /// The same for a request as it comes to the router. What a middleware of the embedder's has
    /// put there, as an extension, is taken as it is. `None` if the server does not say where its
    /// connections come from.
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

/// The address for which a connection or a request counts: budgets are its, records name it, and
/// the log and events tell it. It is that of the connection, unless a listed proxy has said for
/// whom it asks.
///
/// Whoever embeds [`Gateway::router`](crate::Gateway::router) and finds out by other means for whom
/// a request is, inserts one into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    ip: IpAddr,
}

impl PeerAddress {
    /// An address that counts, however it was found out.
    #[must_use]
    pub const fn new(ip: IpAddr) -> Self {
        Self { ip: ip.to_canonical() }
    }

    /// The address, for records, events and the log.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.ip
    }

    /// Whose budgets it uses up.
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
