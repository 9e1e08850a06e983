//! Radios without hardware: a simulated one, and none at all for a node on a cable.

use std::time::Duration;

use handfast_core::flow::provisioning::contract::NoAccessPoint;
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Security, Seen};
use handfast_core::wire::provisioning::Country;
use tokio::time::sleep;

use super::radio::{Radio, RadioReports, WifiCredentials, WifiNetwork, strongest_first};

/// The networks in reach of the simulated radio.
const NETWORKS: [(&str, i16, Security); 4] = [
    ("HomeNetwork", -45, Security::Wpa2),
    ("Neighbor_5G", -72, Security::Wpa2),
    ("CoffeeShop_Free", -80, Security::Open),
    ("IoT_Network", -55, Security::Wpa3),
];
/// Time between two states.
const STATE: Duration = Duration::from_millis(20);

/// A radio that plays what NetworkManager was measured to report.
#[derive(Debug, Default)]
pub struct SimulatedRadio {
    wrong: Option<String>,
    blocked: bool,
    open_only: bool,
}

impl SimulatedRadio {
    /// Makes a radio on which this passphrase is wrong for every network, and any other is right.
    #[must_use]
    pub const fn new(wrong: Option<String>) -> Self {
        Self { wrong, blocked: false, open_only: false }
    }

    /// Lets the radio start no access point with a passphrase, as some drivers do.
    #[must_use]
    pub const fn open_only(mut self) -> Self {
        self.open_only = true;
        self
    }

    /// Blocks the radio until its country is set, as some boards do.
    #[must_use]
    pub const fn blocked(mut self) -> Self {
        self.blocked = true;
        self
    }
}

#[async_trait::async_trait]
impl Radio for SimulatedRadio {
    async fn scan(&mut self) -> Vec<WifiNetwork> {
        let network = |(ssid, signal, security): (&str, i16, Security)| WifiNetwork {
            ssid: ssid.to_owned(),
            signal,
            security,
        };
        strongest_first(NETWORKS.into_iter().map(network).collect())
    }

    async fn set_country(&mut self, country: Country) {
        tracing::info!("simulated: the radio's country is {country}");
        self.blocked = false;
    }

    async fn start_access_point(&mut self, network: &WifiCredentials) -> Result<(), NoAccessPoint> {
        if self.blocked {
            return Err(NoAccessPoint::Blocked);
        }
        if self.open_only && !network.passphrase.is_empty() {
            return Err(NoAccessPoint::NotStarted);
        }
        tracing::info!("simulated: the access point {} runs", network.ssid);
        Ok(())
    }

    async fn stop_access_point(&mut self) {}

    async fn join(&mut self, network: &WifiCredentials, _known: bool, reports: &RadioReports) {
        if self.blocked {
            let _ = reports.send(RadioReport::Blocked);
            return;
        }
        let found = NETWORKS.into_iter().find(|(ssid, ..)| *ssid == network.ssid);
        let seen = found.map(|(_, signal, security)| Seen { security, signal });
        let wrong = self.wrong.as_ref() == Some(&*network.passphrase);
        let states: &[(u32, u32)] = match seen {
            None => &[(40, 0), (50, 0), (120, 53)],
            Some(_) if !wrong => {
                &[(40, 0), (50, 0), (60, 0), (40, 0), (50, 0), (70, 0), (80, 0), (90, 0), (100, 0)]
            }
            // SAE proves the passphrase before it associates.
            Some(seen) if seen.security.has_sae() => {
                &[(40, 0), (50, 0), (60, 8), (40, 0), (50, 0), (120, 53)]
            }
            Some(_) => &[(40, 0), (50, 0), (60, 8), (40, 0), (50, 0), (60, 8), (120, 7)],
        };
        let _ = reports.send(RadioReport::Scanned(seen));
        for (state, reason) in states {
            sleep(STATE).await;
            let state = DeviceState::from_number(*state);
            let _ =
                reports.send(RadioReport::Changed { state, reason: Reason::from_number(*reason) });
        }
    }

    async fn leave(&mut self) {}

    async fn is_captive(&mut self) -> bool {
        false
    }
}

/// No radio: the node is on a cable, where a phone reaches it within the setup window.
#[derive(Debug, Default)]
pub struct NoRadio;

#[async_trait::async_trait]
impl Radio for NoRadio {
    async fn scan(&mut self) -> Vec<WifiNetwork> {
        Vec::new()
    }

    async fn start_access_point(
        &mut self,
        _network: &WifiCredentials,
    ) -> Result<(), NoAccessPoint> {
        Ok(())
    }

    async fn stop_access_point(&mut self) {}

    async fn join(&mut self, _network: &WifiCredentials, _known: bool, reports: &RadioReports) {
        // The cable is the network already.
        let _ = reports
            .send(RadioReport::Changed { state: DeviceState::Activated, reason: Reason::Other(0) });
    }

    async fn leave(&mut self) {}

    async fn is_captive(&mut self) -> bool {
        false
    }
}
