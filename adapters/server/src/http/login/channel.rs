//! Connections that may carry an operator's session.

use std::net::SocketAddr;

use axum::extract::connect_info::ConnectInfo;
use axum::http::{Extensions, HeaderMap};

use crate::gateway::Gateway;
use crate::proxies::{LocalAddress, OverTls};

/// Headers that a proxy adds. A program on this machine sends none of them.
const ADDED_BY_PROXIES: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "via"];

/// The connection of a request, as far as it matters to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// The browser's connection is encrypted: by the gateway, or by a proxy before it, as the
    /// configured public URL says.
    Encrypted,
    /// The browser is on this machine. The port is that of the listener, if it is known.
    Local(Option<u16>),
    /// Everybody on the way can read the connection.
    Plain(Option<u16>),
}

impl Channel {
    /// Determines the channel of a request. What a client or a proxy says of the scheme plays no
    /// part.
    pub(super) fn of(gateway: &Gateway, extensions: &Extensions, headers: &HeaderMap) -> Self {
        if extensions.get::<OverTls>().is_some() {
            return Self::Encrypted;
        }
        let port = extensions.get::<LocalAddress>().map(|LocalAddress(local)| local.port());
        let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Self::Plain(port);
        };
        let near = peer.ip().to_canonical().is_loopback();
        let proxied = gateway.inner.proxies.lists(peer.ip())
            || (near && ADDED_BY_PROXIES.iter().any(|name| headers.contains_key(*name)));
        match (proxied, near) {
            (true, _) if gateway.inner.setup.settings.is_public_encrypted() => Self::Encrypted,
            (false, true) => Self::Local(port),
            (true, _) | (false, false) => Self::Plain(port),
        }
    }
}
