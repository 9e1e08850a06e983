//! Joining a network: wpa_supplicant, and a program that asks for an address.

use std::io::Error;
use std::time::Duration;

use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Security, Seen};
use handfast_private_file as private_file;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::control::Control;
use super::events::{self, JoinEvents, Meaning};
use super::{HostapdSettings, Unusable, config};
use crate::provisioning::program::{Program, is_installed, run};
use crate::provisioning::radio::{RadioReports, WifiCredentials, WifiNetwork};

/// Limit for a scan of all channels.
const SCAN_WITHIN: Duration = Duration::from_secs(10);
/// Time between two looks for an address.
const STEP: Duration = Duration::from_millis(500);
/// The programs that ask for an address, with their options, the preferred one first. Each stays in
/// the foreground and renews.
const DHCP: [(&str, &[&str]); 3] = [
    ("udhcpc", &["-f", "-t", "5", "-A", "3", "-i"]),
    ("dhclient", &["-d", "-4"]),
    ("dhcpcd", &["--nobackground", "--ipv4only"]),
];

/// The end of an attempt to join.
pub(super) enum JoinEnd {
    Joined,
    Failed,
}

/// A running wpa_supplicant.
pub(super) struct Supplicant {
    interface: String,
    program: Program,
    control: Control,
    dhcp: Option<Program>,
    /// The loss of the network, if a scan came across it.
    lost: Option<RadioReport>,
}

impl Supplicant {
    pub(super) async fn start(settings: &HostapdSettings) -> Result<Self, Unusable> {
        let directory = &settings.directory;
        let control = directory.join("supplicant");
        let file = directory.join("wpa_supplicant.conf");
        private_file::replace(&file, config::supplicant(settings, &control).as_bytes())?;
        let arguments = ["-i", &settings.interface, "-D", &settings.supplicant_driver, "-c"]
            .map(ToOwned::to_owned);
        let path = file.to_string_lossy();
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.push(&path);
        let mut program = Program::start("wpa_supplicant", &arguments)
            .map_err(|why| Unusable::NotStarted("wpa_supplicant", why))?;
        let server = control.join(&settings.interface);
        let own = directory.join("supplicant.answers");
        let control = Control::open(&mut program, &server, own)
            .await
            .map_err(|why| Unusable::Ended("wpa_supplicant", file.clone(), why))?;
        Ok(Self { interface: settings.interface.clone(), program, control, dhcp: None, lost: None })
    }

    /// Returns `true` if the program has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.program.has_ended()
    }

    /// Lists the networks in reach.
    pub(super) async fn scan(&mut self) -> Result<Vec<WifiNetwork>, Error> {
        self.control.order("SCAN").await?;
        let mut scan = JoinEvents::new(false);
        let ended = async {
            loop {
                let event = self.control.event().await?;
                self.lost = self.lost.take().or(events::loss(&event));
                if scan.read(&event) == Meaning::Scanned {
                    return Ok::<_, Error>(());
                }
            }
        };
        // A scan that takes too long still leaves what was found so far.
        if let Ok(Err(why)) = timeout(SCAN_WITHIN, ended).await {
            return Err(why);
        }
        Ok(events::scan_results(&self.control.ask("SCAN_RESULTS").await?))
    }

    /// Joins a network, and reports until it is joined or the attempt has failed.
    pub(super) async fn join(
        &mut self,
        network: &WifiCredentials,
        seen: Option<Seen>,
        reports: &RadioReports,
    ) -> Result<JoinEnd, Error> {
        self.control.order("REMOVE_NETWORK all").await?;
        self.add(network, seen).await?;
        self.lost = None;
        let mut attempt = JoinEvents::new(seen.is_some_and(|seen| seen.security.has_sae()));
        let mut associated = false;
        let tell = |state, reason| {
            let _ = reports.send(RadioReport::Changed { state, reason });
        };
        loop {
            let Ok(event) = timeout(STEP, self.control.event()).await else {
                if associated && events::has_address(&self.control.ask("STATUS").await?) {
                    tell(DeviceState::Activated, Reason::Other(0));
                    return Ok(JoinEnd::Joined);
                }
                continue;
            };
            match attempt.read(&event?) {
                Meaning::Nothing | Meaning::Scanned => {}
                Meaning::Associated => {
                    tell(DeviceState::IpConfig, Reason::Other(0));
                    associated = true;
                    self.ask_for_address();
                }
                Meaning::Report(report) => {
                    let _ = reports.send(report);
                    match report {
                        RadioReport::Changed { state: DeviceState::Failed, .. }
                        | RadioReport::Blocked
                        | RadioReport::Refused => return Ok(JoinEnd::Failed),
                        RadioReport::Changed { .. } | RadioReport::Scanned(_) => {}
                    }
                }
            }
        }
    }

    /// Adds the network. Its passphrase stands in no argument list and no file.
    pub(super) async fn add(
        &mut self,
        network: &WifiCredentials,
        seen: Option<Seen>,
    ) -> Result<(), Error> {
        let id = self.control.ask("ADD_NETWORK").await?;
        if id.parse::<u32>().is_err() {
            return Err(Error::other("it refuses ADD_NETWORK"));
        }
        let mut settings = vec![
            // As digits, in which no byte means anything else.
            Zeroizing::new(format!("ssid {}", config::hex(network.ssid.as_bytes()))),
            Zeroizing::new(format!("scan_ssid {}", u8::from(seen.is_none()))),
        ];
        if network.passphrase.is_empty() {
            settings.push(Zeroizing::new("key_mgmt NONE".to_owned()));
        } else {
            let passphrase = &network.passphrase;
            let is_key = passphrase.len() == 64;
            let quote = if is_key { "" } else { "\"" };
            let (management, frames, secret) = match seen.map(|seen| seen.security) {
                Some(Security::Wpa3) => ("SAE", 2, "sae_password"),
                Some(
                    Security::Wpa2
                    | Security::Wpa2Wpa3
                    | Security::Open
                    | Security::Wep
                    | Security::Enterprise,
                )
                | None => ("WPA-PSK WPA-PSK-SHA256 SAE", 1, "psk"),
            };
            settings.push(Zeroizing::new(format!("key_mgmt {management}")));
            settings.push(Zeroizing::new(format!("ieee80211w {frames}")));
            settings.push(Zeroizing::new(format!("{secret} {quote}{}{quote}", **passphrase)));
        }
        for setting in settings {
            let command = Zeroizing::new(format!("SET_NETWORK {id} {}", *setting));
            self.control.order(&command).await?;
        }
        self.control.order(&format!("SELECT_NETWORK {id}")).await
    }

    fn ask_for_address(&mut self) {
        let found = DHCP.iter().find(|(name, _)| is_installed(name));
        let Some((name, options)) = found else {
            tracing::warn!(
                "no program asks for an address; install one of udhcpc, dhclient and dhcpcd"
            );
            return;
        };
        let arguments = [options, &[self.interface.as_str()][..]].concat();
        match Program::start(name, &arguments) {
            Ok(program) => self.dhcp = Some(program),
            Err(why) => tracing::warn!("{name} does not start: {why}"),
        }
    }

    /// Waits until the joined network is lost.
    pub(super) async fn lost(&mut self) -> RadioReport {
        loop {
            if let Some(report) = self.lost.take() {
                return report;
            }
            let Ok(event) = self.control.event().await else { return RadioReport::Refused };
            self.lost = events::loss(&event);
        }
    }

    /// Leaves the network.
    pub(super) async fn stop(self) {
        if let Some(dhcp) = self.dhcp {
            dhcp.stop().await;
        }
        drop(self.control);
        self.program.stop().await;
        if !run("ip", &["address", "flush", "dev", &self.interface, "scope", "global"]).await {
            tracing::debug!("{} keeps its addresses", self.interface);
        }
    }
}
