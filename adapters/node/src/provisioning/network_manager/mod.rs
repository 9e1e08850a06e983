//! A radio that NetworkManager drives, over D-Bus.
//!
//! NetworkManager undoes a failed attempt: a checkpoint is made before a network is joined, and is
//! destroyed only when the network is in force. Passphrases travel over the system's bus, never in
//! an argument list.

mod access_points;
mod attempt;
mod bus;
mod checkpoint;
mod device;
mod hotspot;
mod kept;
mod profile;
#[cfg(test)]
mod real_tests;
mod scan;

use std::path::PathBuf;

use handfast_core::flow::provisioning::contract::NoAccessPoint;
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Seen};
use handfast_core::wire::provisioning::Country;

use super::passphrase::is_passphrase;
use super::program::{is_installed, run};
use super::radio::{Radio, RadioReports, WifiCredentials, WifiNetwork, seen_in, strongest_first};
use attempt::NetworkAttempt;
use bus::{Bus, Interface, MANAGER};
use checkpoint::Checkpoint;
use device::{Device, Unusable};
use hotspot::NodeAccessPoint;

/// Where NetworkManager reads the configuration of the dnsmasq that it runs.
const DNSMASQ_DIRECTORY: &str = "/etc/NetworkManager/dnsmasq-shared.d";
/// Places of the program dnsmasq.
const DNSMASQ: [&str; 3] = ["/usr/sbin/dnsmasq", "/sbin/dnsmasq", "/usr/local/sbin/dnsmasq"];
/// `NM_CONNECTIVITY_PORTAL`.
const PORTAL: u32 = 2;

/// Settings of a [`NetworkManagerRadio`].
#[derive(Clone, Debug)]
pub struct NetworkManagerSettings {
    /// The interface, such as `wlan0`; `None` for the first Wi-Fi device.
    pub interface: Option<String>,
    /// The address of the bus; `None` for the system's.
    pub bus: Option<String>,
    /// The directory of the configuration that NetworkManager gives dnsmasq; `None` where dnsmasq
    /// is not installed.
    pub dnsmasq: Option<PathBuf>,
}

impl NetworkManagerSettings {
    /// Returns the settings for this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let installed = DNSMASQ.iter().any(|path| PathBuf::from(path).exists());
        let dnsmasq = installed.then(|| DNSMASQ_DIRECTORY.into());
        Self { interface: None, bus: None, dnsmasq }
    }
}

/// A radio that NetworkManager drives.
pub struct NetworkManagerRadio {
    settings: NetworkManagerSettings,
    bus: Option<Bus>,
    /// The networks of the last scan that found some: while the access point runs, few radios scan.
    scanned: Vec<WifiNetwork>,
    hotspot: Option<NodeAccessPoint>,
    checkpoint: Option<Checkpoint>,
    attempt: Option<NetworkAttempt>,
}

impl NetworkManagerRadio {
    /// Makes a radio. NetworkManager is asked only when it is needed.
    #[must_use]
    pub const fn new(settings: NetworkManagerSettings) -> Self {
        let (bus, hotspot, checkpoint, attempt) = (None, None, None, None);
        Self { settings, bus, scanned: Vec::new(), hotspot, checkpoint, attempt }
    }

    async fn device(&mut self) -> Result<Device, Unusable> {
        let bus = match self.bus.take().filter(|bus| !bus.is_closed()) {
            Some(bus) => bus,
            None => Bus::connect(self.settings.bus.as_deref()).await?,
        };
        self.bus = Some(bus.clone());
        Device::find(bus, self.settings.interface.as_deref()).await
    }

    /// Scans, and returns what is in reach; while that is nothing, what was before.
    async fn look(&mut self, device: &Device, hidden: Option<&str>) -> Vec<WifiNetwork> {
        match scan::scan(device, hidden).await {
            Ok(found) if found.is_empty() => {}
            Ok(found) => self.scanned = found,
            Err(why) => tracing::warn!("the radio does not scan: {why}"),
        }
        self.scanned.clone()
    }

    async fn start(&mut self, network: &WifiCredentials) -> Result<(), Unusable> {
        if let Some(hotspot) = self.hotspot.take_if(|hotspot| hotspot.ssid() != network.ssid) {
            hotspot.stop().await;
        }
        if let Some(hotspot) = &self.hotspot
            && hotspot.runs().await
        {
            return Ok(());
        }
        self.hotspot = None;
        let device = self.device().await?;
        device.check().await?;
        // The list that phones are shown: many radios do not scan while they are an access point.
        self.look(&device, None).await;
        let dnsmasq = self.settings.dnsmasq.as_deref();
        self.hotspot = Some(NodeAccessPoint::start(&device, network, dnsmasq).await?);
        tracing::info!("the access point {} runs", network.ssid);
        Ok(())
    }

    async fn try_to_join(
        &mut self,
        network: &WifiCredentials,
        known: bool,
        reports: &RadioReports,
    ) -> Result<(), Unusable> {
        let device = self.device().await?;
        device.check().await?;
        if known && let Some(standing) = NetworkAttempt::standing(&device, network).await? {
            self.attempt = Some(standing);
            let _ = reports.send(changed(DeviceState::Activated, Reason::Other(0)));
            return Ok(());
        }
        // Before a second try: what the first one has left is in its way.
        if let Some(attempt) = self.attempt.take() {
            attempt.end().await;
        }
        let seen = self.seen(&device, network).await;
        let _ = reports.send(RadioReport::Scanned(seen));
        if !is_passphrase(&network.passphrase, seen) {
            let _ = reports.send(changed(DeviceState::Failed, Reason::NoSecrets));
            return Ok(());
        }
        if !known && self.checkpoint.is_none() {
            self.checkpoint = Some(Checkpoint::create(&device).await?);
        }
        let (attempt, begun) = NetworkAttempt::begin(&device, network, seen, known).await?;
        // Kept before anything is awaited, so that the network can be left at any time.
        let attempt = self.attempt.insert(attempt);
        if let Some(states) = begun.follow(reports).await {
            attempt.joined(states);
            if known && let Err(why) = attempt.keep().await {
                tracing::warn!("NetworkManager does not keep the network: {why}");
            }
        }
        Ok(())
    }

    async fn seen(&mut self, device: &Device, network: &WifiCredentials) -> Option<Seen> {
        let secured = !network.passphrase.is_empty();
        let before = seen_in(&self.scanned, &network.ssid, secured);
        let found = self.look(device, Some(&network.ssid)).await;
        seen_in(&found, &network.ssid, secured).or(before)
    }

    async fn roll_back(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take()
            && let Err(why) = checkpoint.roll_back().await
        {
            tracing::warn!("NetworkManager does not roll back, which it does later: {why}");
        }
    }

    /// Switches the radio on where software has switched it off.
    async fn unblock(&mut self) -> Result<(), Unusable> {
        let device = self.device().await?;
        match device.check().await {
            Err(Unusable::Blocked) => Ok(device.unblock().await?),
            other => other,
        }
    }

    async fn portal(&mut self) -> Result<bool, Unusable> {
        let device = self.device().await?;
        let (connectivity,): (u32,) =
            device.bus.call(MANAGER, Interface::Manager, "CheckConnectivity", &()).await?;
        Ok(connectivity == PORTAL)
    }
}

#[async_trait::async_trait]
impl Radio for NetworkManagerRadio {
    async fn scan(&mut self) -> Vec<WifiNetwork> {
        let own = self.hotspot.as_ref().map(|hotspot| hotspot.ssid().to_owned());
        let mut found = match self.device().await {
            Ok(device) => self.look(&device, None).await,
            Err(why) => {
                tracing::warn!("{why}");
                self.scanned.clone()
            }
        };
        found.retain(|network| Some(&network.ssid) != own.as_ref());
        strongest_first(found)
    }

    async fn start_access_point(&mut self, network: &WifiCredentials) -> Result<(), NoAccessPoint> {
        self.start(network).await.map_err(|why| {
            tracing::warn!("no access point: {why}");
            why.access_point()
        })
    }

    /// NetworkManager has no setting for it, so the kernel is told by `iw`.
    async fn set_country(&mut self, country: Country) {
        if !is_installed("iw") {
            tracing::warn!(
                "the radio's country is not set to {country}, since iw is not installed; install \
                 it, or set the country on the node"
            );
        } else if !run("iw", &["reg", "set", country.as_str()]).await {
            tracing::warn!(
                "iw does not set the radio's country to {country}, which needs CAP_NET_ADMIN; set \
                 the country on the node"
            );
        }
        if let Err(why) = self.unblock().await {
            tracing::warn!("the radio cannot be switched on: {why}");
        }
    }

    async fn stop_access_point(&mut self) {
        if let Some(hotspot) = self.hotspot.take() {
            hotspot.stop().await;
        }
    }

    async fn join(&mut self, network: &WifiCredentials, known: bool, reports: &RadioReports) {
        if let Err(why) = self.try_to_join(network, known, reports).await {
            tracing::warn!("the network cannot be joined: {why}");
            let _ = reports.send(why.report());
        }
    }

    async fn lost(&mut self) -> RadioReport {
        match &mut self.attempt {
            Some(attempt) => attempt.lost().await,
            None => std::future::pending().await,
        }
    }

    async fn leave(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.end().await;
        }
        self.roll_back().await;
    }

    async fn keep(&mut self) {
        if let Some(attempt) = &self.attempt
            && let Err(why) = attempt.keep().await
        {
            tracing::warn!("NetworkManager does not keep the network: {why}");
        }
        if let Some(checkpoint) = self.checkpoint.take()
            && let Err(why) = checkpoint.destroy().await
        {
            tracing::warn!("NetworkManager keeps its checkpoint: {why}");
        }
    }

    async fn forget(&mut self) {
        let removed = match self.device().await {
            Ok(device) => kept::remove_all_but(&device.bus, None).await.map_err(Unusable::from),
            Err(why) => Err(why),
        };
        if let Err(why) = removed {
            tracing::warn!("NetworkManager keeps the network's profile: {why}");
        }
    }

    async fn is_captive(&mut self) -> bool {
        self.portal().await.unwrap_or_else(|why| {
            tracing::debug!("NetworkManager does not tell whether there is a login page: {why}");
            false
        })
    }
}

const fn changed(state: DeviceState, reason: Reason) -> RadioReport {
    RadioReport::Changed { state, reason }
}
