//! The proxy settings in force, which may be replaced while the gateway runs.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{Extensions, HeaderMap};

use super::{PeerAddress, ProxySettings};

/// The [`ProxySettings`] in force.
#[derive(Debug, Default)]
pub(crate) struct LiveProxies(RwLock<Arc<ProxySettings>>);

impl LiveProxies {
    pub(crate) fn new(settings: ProxySettings) -> Self {
        Self(RwLock::new(Arc::new(settings)))
    }

    /// Replaces the settings, for connections and requests from now on.
    pub(crate) fn replace(&self, settings: ProxySettings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn current(&self) -> Arc<ProxySettings> {
        // The settings are replaced as a whole, so a poisoned lock still holds good ones.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// As [`ProxySettings::lists`].
    pub(crate) fn lists(&self, ip: IpAddr) -> bool {
        self.current().lists(ip)
    }

    /// As [`ProxySettings::address`].
    pub(crate) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> PeerAddress {
        self.current().address(peer, headers)
    }

    /// As [`ProxySettings::address_of`].
    pub(crate) fn address_of(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Option<PeerAddress> {
        self.current().address_of(extensions, headers)
    }
}
