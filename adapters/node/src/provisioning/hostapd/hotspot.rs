//! The access point of the node: hostapd and dnsmasq.

use handfast_private_file as private_file;

use super::control::Control;
use super::{HostapdSettings, Unusable, config};
use crate::provisioning::program::{Program, run};
use crate::provisioning::radio::{ACCESS_POINT_ADDRESS, WifiCredentials};

/// Limit for hostapd to begin, from the opening of its control socket on.
const START_WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// Time between two looks for dnsmasq's file.
const STEP: std::time::Duration = std::time::Duration::from_millis(50);

/// An access point that runs.
pub(super) struct HostapdAccessPoint {
    interface: String,
    ssid: String,
    hostapd: Program,
    dnsmasq: Program,
}

impl HostapdAccessPoint {
    pub(super) async fn start(
        settings: &HostapdSettings,
        network: &WifiCredentials,
    ) -> Result<Self, Unusable> {
        let directory = &settings.directory;
        let control = directory.join("hostapd");
        let text = config::hostapd(settings, &control, network).ok_or(Unusable::Passphrase)?;
        let hostapd_file = directory.join("hostapd.conf");
        private_file::replace(&hostapd_file, text.as_bytes())?;
        let dnsmasq_file = directory.join("dnsmasq.conf");
        let text = config::dnsmasq(&settings.interface, directory);
        private_file::replace(&dnsmasq_file, text.as_bytes())?;

        let mut hostapd = Program::start("hostapd", &[&hostapd_file.to_string_lossy()])
            .map_err(|why| Unusable::NotStarted("hostapd", why))?;
        let server = control.join(&settings.interface);
        let mut events = Control::open(&mut hostapd, &server, directory.join("hostapd.answers"))
            .await
            .map_err(|why| Unusable::NotOffered(hostapd_file.clone(), why))?;
        let runs = tokio::time::timeout(START_WITHIN, is_enabled(&mut events)).await;
        if !runs.is_ok_and(|runs| runs) {
            hostapd.stop().await;
            let why = std::io::Error::other("the radio offers no access point");
            return Err(Unusable::NotOffered(hostapd_file, why));
        }
        let address = format!("{ACCESS_POINT_ADDRESS}/24");
        if !run("ip", &["address", "replace", &address, "dev", &settings.interface]).await {
            hostapd.stop().await;
            return Err(Unusable::Interface(settings.interface.clone()));
        }
        let file = format!("--conf-file={}", dnsmasq_file.display());
        let answers = directory.join("dnsmasq.pid");
        private_file::remove(&answers)?;
        let started =
            Program::start("dnsmasq", &[&file]).map_err(|why| Unusable::NotStarted("dnsmasq", why));
        let dnsmasq = match started {
            Ok(mut dnsmasq) => match has_started(&mut dnsmasq, &answers).await {
                Ok(()) => Ok(dnsmasq),
                Err(why) => Err(Unusable::Ended("dnsmasq", dnsmasq_file, why)),
            },
            Err(why) => Err(why),
        };
        match dnsmasq {
            Ok(dnsmasq) => Ok(Self {
                interface: settings.interface.clone(),
                ssid: network.ssid.clone(),
                hostapd,
                dnsmasq,
            }),
            Err(why) => {
                hostapd.stop().await;
                Err(why)
            }
        }
    }

    /// Returns `true` if this access point still runs.
    pub(super) fn runs(&mut self, network: &WifiCredentials) -> bool {
        self.ssid == network.ssid && !self.hostapd.has_ended() && !self.dnsmasq.has_ended()
    }

    /// Stops the access point, and takes its address back.
    pub(super) async fn stop(self) {
        self.dnsmasq.stop().await;
        self.hostapd.stop().await;
        let address = format!("{ACCESS_POINT_ADDRESS}/24");
        if !run("ip", &["address", "delete", &address, "dev", &self.interface]).await {
            tracing::debug!("{} had no address any more", self.interface);
        }
    }
}

/// Waits until dnsmasq has written its number, which it does once it answers.
async fn has_started(dnsmasq: &mut Program, file: &std::path::Path) -> Result<(), std::io::Error> {
    let written = async {
        while !file.exists() {
            if dnsmasq.has_ended() {
                return Err(std::io::Error::other("it has ended"));
            }
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    };
    let late = Err(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(START_WITHIN, written).await.unwrap_or(late)
}

/// Waits until hostapd tells that its access point runs; `false` if it tells otherwise.
async fn is_enabled(events: &mut Control) -> bool {
    let Ok(status) = events.ask("STATUS").await else { return false };
    if status.lines().any(|line| line == "state=ENABLED") {
        return true;
    }
    while let Ok(event) = events.event().await {
        if event.contains("AP-ENABLED") {
            return true;
        }
        if event.contains("AP-DISABLED") || event.contains("CTRL-EVENT-TERMINATING") {
            return false;
        }
    }
    false
}
