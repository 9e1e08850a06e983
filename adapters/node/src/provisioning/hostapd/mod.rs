//! A radio without NetworkManager: hostapd and dnsmasq for the access point, wpa_supplicant for the
//! network. They are started as they are needed, and end with the node.

mod config;
mod control;
mod events;
mod hotspot;
#[cfg(test)]
mod real_tests;
mod supplicant;

use std::path::{Path, PathBuf};

use handfast_core::flow::provisioning::contract::NoAccessPoint;
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason};
use handfast_core::wire::provisioning::Country;
use handfast_private_file as private_file;

use super::passphrase::is_passphrase;
use super::radio::{Radio, RadioReports, WifiCredentials, WifiNetwork, seen_in, strongest_first};
use hotspot::HostapdAccessPoint;
use supplicant::{JoinEnd, Supplicant};

/// Where the kernel tells which radios are blocked.
const RFKILL: &str = "/sys/class/rfkill";
/// Longest path of a socket. Longer ones are refused with the reason, not by the kernel.
const LONGEST_SOCKET: usize = 107;

/// Settings of a [`HostapdRadio`].
#[derive(Clone, Debug)]
pub struct HostapdSettings {
    /// The interface, such as `wlan0`.
    pub interface: String,
    /// The directory of the configuration files; it is made with mode 0700.
    pub directory: PathBuf,
    /// The country whose rules hold for the radio, as two letters; `None` leaves it to the system.
    pub country: Option<Country>,
    /// The driver of hostapd, such as `nl80211`.
    pub hostapd_driver: String,
    /// The drivers of wpa_supplicant, such as `nl80211,wext`.
    pub supplicant_driver: String,
}

impl HostapdSettings {
    /// Makes the settings for an interface with a driver of the kernel.
    #[must_use]
    pub fn new(interface: String, directory: PathBuf) -> Self {
        let (hostapd_driver, supplicant_driver) = ("nl80211".into(), "nl80211,wext".into());
        Self { interface, directory, country: None, hostapd_driver, supplicant_driver }
    }
}

/// The reason for which the radio cannot be used now.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    File(#[from] private_file::Error),
    #[error("{0:?} is too long for a socket; give a shorter --state")]
    Path(PathBuf),
    #[error("{0} does not start: {1}; install it")]
    NotStarted(&'static str, std::io::Error),
    #[error("{0} does not run ({2}); start it by hand with {1:?} to see why")]
    Ended(&'static str, PathBuf, std::io::Error),
    #[error("hostapd offers no access point ({1}); start it by hand with {0:?} to see why")]
    NotOffered(PathBuf, std::io::Error),
    #[error("the interface {0} takes no address; check --wifi-interface")]
    Interface(String),
    #[error("wpa_supplicant does not do it: {0}")]
    Control(#[from] std::io::Error),
    #[error("the access point's passphrase must be 8 to 63 plain characters")]
    Passphrase,
    #[error("the radio is blocked; set its country, or unblock it with rfkill")]
    Blocked,
}

/// A radio that hostapd and wpa_supplicant drive in turns.
pub struct HostapdRadio {
    settings: HostapdSettings,
    /// The networks of the last scan that found some: the access point does not scan.
    scanned: Vec<WifiNetwork>,
    hotspot: Option<HostapdAccessPoint>,
    supplicant: Option<Supplicant>,
    joined: bool,
}

impl HostapdRadio {
    /// Makes a radio. Programs are started only when they are needed.
    #[must_use]
    pub const fn new(settings: HostapdSettings) -> Self {
        Self { settings, scanned: Vec::new(), hotspot: None, supplicant: None, joined: false }
    }

    async fn start(&mut self, network: &WifiCredentials) -> Result<(), Unusable> {
        if let Some(hotspot) = &mut self.hotspot
            && hotspot.runs(network)
        {
            return Ok(());
        }
        self.stop_access_point().await;
        self.prepare()?;
        // The list that phones are shown.
        if let Err(why) = self.look().await {
            tracing::warn!("the radio does not scan: {why}");
        }
        self.leave().await;
        self.hotspot = Some(HostapdAccessPoint::start(&self.settings, network).await?);
        tracing::info!("the access point {} runs", network.ssid);
        Ok(())
    }

    /// Checks that the radio may send, and makes the directory.
    fn prepare(&self) -> Result<(), Unusable> {
        if is_blocked(Path::new(RFKILL)) {
            return Err(Unusable::Blocked);
        }
        let directory = &self.settings.directory;
        private_file::create_directory(directory)?;
        let longest = directory.join("supplicant.answers").join(&self.settings.interface);
        if longest.as_os_str().len() > LONGEST_SOCKET {
            return Err(Unusable::Path(directory.clone()));
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Unusable> {
        let mut supplicant = self.supplicant().await?;
        let found = supplicant.scan().await;
        self.supplicant = Some(supplicant);
        let found = found?;
        if !found.is_empty() {
            self.scanned = found;
        }
        Ok(())
    }

    /// Takes the running supplicant, or starts one.
    async fn supplicant(&mut self) -> Result<Supplicant, Unusable> {
        let running = self.supplicant.take_if(|supplicant| !supplicant.has_ended());
        match running {
            Some(supplicant) => Ok(supplicant),
            None => Supplicant::start(&self.settings).await,
        }
    }

    async fn try_to_join(
        &mut self,
        network: &WifiCredentials,
        reports: &RadioReports,
    ) -> Result<(), Unusable> {
        self.stop_access_point().await;
        self.leave().await;
        self.prepare()?;
        self.look().await?;
        let seen = seen_in(&self.scanned, &network.ssid, !network.passphrase.is_empty());
        let _ = reports.send(RadioReport::Scanned(seen));
        if !is_passphrase(&network.passphrase, seen) {
            let (state, reason) = (DeviceState::Failed, Reason::NoSecrets);
            let _ = reports.send(RadioReport::Changed { state, reason });
            return Ok(());
        }
        let supplicant = self.supplicant().await?;
        let supplicant = self.supplicant.insert(supplicant);
        match supplicant.join(network, seen, reports).await? {
            JoinEnd::Joined => self.joined = true,
            JoinEnd::Failed => {}
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Radio for HostapdRadio {
    async fn scan(&mut self) -> Vec<WifiNetwork> {
        if self.hotspot.is_none()
            && let Err(why) = match self.prepare() {
                Ok(()) => self.look().await,
                Err(why) => Err(why),
            }
        {
            tracing::warn!("the radio does not scan: {why}");
        }
        strongest_first(self.scanned.clone())
    }

    async fn start_access_point(&mut self, network: &WifiCredentials) -> Result<(), NoAccessPoint> {
        self.start(network).await.map_err(|why| {
            tracing::warn!("no access point: {why}");
            match why {
                Unusable::Blocked => NoAccessPoint::Blocked,
                Unusable::NotOffered(..) => NoAccessPoint::NotStarted,
                Unusable::File(_)
                | Unusable::Path(_)
                | Unusable::NotStarted(..)
                | Unusable::Ended(..)
                | Unusable::Interface(_)
                | Unusable::Control(_)
                | Unusable::Passphrase => NoAccessPoint::Refused,
            }
        })
    }

    async fn set_country(&mut self, country: Country) {
        self.settings.country = Some(country);
        // hostapd and wpa_supplicant are told when they start; a supplicant that runs is replaced.
        self.leave().await;
        for (radio, ended) in unblock(Path::new(RFKILL)) {
            match ended {
                Ok(()) => tracing::info!("{} is unblocked, for {country}", radio.display()),
                Err(why) => tracing::warn!(
                    "{} stays blocked: {why}; unblock it: rfkill unblock wifi",
                    radio.display()
                ),
            }
        }
    }

    async fn stop_access_point(&mut self) {
        if let Some(hotspot) = self.hotspot.take() {
            hotspot.stop().await;
        }
    }

    async fn join(&mut self, network: &WifiCredentials, _known: bool, reports: &RadioReports) {
        if let Err(why) = self.try_to_join(network, reports).await {
            tracing::warn!("the network cannot be joined: {why}");
            let _ = reports.send(match why {
                Unusable::Blocked => RadioReport::Blocked,
                Unusable::NotOffered(..)
                | Unusable::File(_)
                | Unusable::Path(_)
                | Unusable::NotStarted(..)
                | Unusable::Ended(..)
                | Unusable::Interface(_)
                | Unusable::Control(_)
                | Unusable::Passphrase => RadioReport::Refused,
            });
        }
    }

    async fn lost(&mut self) -> RadioReport {
        match &mut self.supplicant {
            Some(supplicant) if self.joined => {
                let report = supplicant.lost().await;
                self.joined = false;
                report
            }
            Some(_) | None => std::future::pending().await,
        }
    }

    async fn leave(&mut self) {
        self.joined = false;
        if let Some(supplicant) = self.supplicant.take() {
            supplicant.stop().await;
        }
    }

    /// Nothing tells: an access point's login page is met by what is asked for next.
    async fn is_captive(&mut self) -> bool {
        false
    }
}

/// Returns `true` if software blocks a Wi-Fi radio: so it is on boards whose country is not set.
fn is_blocked(rfkill: &Path) -> bool {
    blocked(rfkill).next().is_some()
}

/// Lists the Wi-Fi radios that software blocks.
fn blocked(rfkill: &Path) -> impl Iterator<Item = PathBuf> {
    let radios = std::fs::read_dir(rfkill).ok().into_iter().flatten().flatten();
    radios.map(|radio| radio.path()).filter(|radio| {
        let is = |name: &str, wanted: &str| {
            let text = std::fs::read_to_string(radio.join(name));
            text.is_ok_and(|text| text.trim() == wanted)
        };
        is("type", "wlan") && is("soft", "1")
    })
}

/// Ends the blocks of Wi-Fi radios by software, each with how that went.
fn unblock(rfkill: &Path) -> Vec<(PathBuf, std::io::Result<()>)> {
    let end = |radio: PathBuf| {
        let ended = std::fs::write(radio.join("soft"), "0");
        (radio, ended)
    };
    blocked(rfkill).map(end).collect()
}
