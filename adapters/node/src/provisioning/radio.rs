//! What the node needs of a radio. Backends report in the terms of NetworkManager, from which core
//! infers what a person is told.

#[cfg(feature = "wifi")]
use std::net::Ipv4Addr;

use handfast_core::flow::provisioning::contract::NoAccessPoint;
#[cfg(feature = "wifi")]
use handfast_core::flow::provisioning::radio::Seen;
use handfast_core::flow::provisioning::radio::{RadioReport, Security};
use handfast_core::wire::provisioning::Country;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// The node's address in the network of its access point.
#[cfg(feature = "wifi")]
pub(super) const ACCESS_POINT_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);

/// A network in reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WifiNetwork {
    /// The name.
    pub ssid: String,
    /// The strength of the signal, in dBm.
    pub signal: i16,
    /// How the network is secured.
    pub security: Security,
}

/// A network to join, or an access point to offer.
#[derive(Clone)]
pub struct WifiCredentials {
    /// The name.
    pub ssid: String,
    /// The passphrase; empty for an open network.
    pub passphrase: Zeroizing<String>,
}

impl std::fmt::Debug for WifiCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WifiCredentials").field("ssid", &self.ssid).finish_non_exhaustive()
    }
}

/// The reports of one join.
pub type RadioReports = mpsc::UnboundedSender<RadioReport>;

/// A radio that joins networks and offers an access point, one at a time.
#[async_trait::async_trait]
pub trait Radio: Send {
    /// Returns the networks in reach, each once, the strongest first.
    async fn scan(&mut self) -> Vec<WifiNetwork>;

    /// Lets the radio send by the rules of this country, and ends what blocks it for want of one. A
    /// radio that cannot be told is as it was.
    async fn set_country(&mut self, _country: Country) {}

    /// Starts this access point, unless it runs.
    ///
    /// # Errors
    /// [`NoAccessPoint`] if the radio does not offer one now.
    async fn start_access_point(&mut self, network: &WifiCredentials) -> Result<(), NoAccessPoint>;

    /// Stops the access point, if it runs.
    async fn stop_access_point(&mut self);

    /// Joins a network, and reports from [`RadioReport::Scanned`] on until it has joined or failed.
    /// Dropping the future leaves the attempt to [`leave`](Self::leave). The profile of a network
    /// that is not `known` is gone after a restart, unless [`keep`](Self::keep) follows.
    async fn join(&mut self, network: &WifiCredentials, known: bool, reports: &RadioReports);

    /// Waits until the joined network is lost, and reports how; forever if none is joined, or if
    /// the radio cannot tell. Dropping the future loses nothing.
    async fn lost(&mut self) -> RadioReport {
        std::future::pending().await
    }

    /// Leaves the network that was joined last, and removes its profile unless it is known.
    async fn leave(&mut self);

    /// Keeps the profile of the joined network, and removes those that were kept before.
    async fn keep(&mut self) {}

    /// Removes the profiles of all networks that were kept.
    async fn forget(&mut self) {}

    /// Returns `true` if the joined network shows a login page instead of the internet.
    async fn is_captive(&mut self) -> bool;
}

/// Sorts networks by strength, and keeps the strongest of each name.
#[must_use]
pub fn strongest_first(mut networks: Vec<WifiNetwork>) -> Vec<WifiNetwork> {
    networks.sort_by_key(|network| std::cmp::Reverse(network.signal));
    let mut seen = std::collections::HashSet::new();
    // A hidden network has no name to choose it by.
    networks.retain(|network| !network.ssid.is_empty() && seen.insert(network.ssid.clone()));
    networks
}

/// Returns what is known of the network of this name. With a passphrase, an open twin of a secured
/// network does not count.
#[cfg(feature = "wifi")]
pub(super) fn seen_in(networks: &[WifiNetwork], ssid: &str, passphrase: bool) -> Option<Seen> {
    networks
        .iter()
        .filter(|network| network.ssid == ssid)
        .max_by_key(|network| (passphrase == (network.security != Security::Open), network.signal))
        .map(|network| Seen { security: network.security, signal: network.signal })
}

#[cfg(test)]
#[cfg(feature = "wifi")]
mod tests {
    use super::*;

    #[test]
    fn an_open_twin_does_not_hide_the_secured_network_of_its_name() {
        let network = |security, signal| WifiNetwork { ssid: "Home".to_owned(), signal, security };
        let networks = [
            network(Security::Open, -46),
            network(Security::Wpa2, -76),
            network(Security::Wpa2, -64),
        ];
        let with = seen_in(&networks, "Home", true);
        assert_eq!(with, Some(Seen { security: Security::Wpa2, signal: -64 }));
        let without = seen_in(&networks, "Home", false);
        assert_eq!(without, Some(Seen { security: Security::Open, signal: -46 }));
        assert_eq!(seen_in(&networks, "Other", true), None);
    }
}
