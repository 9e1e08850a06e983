//! Options of `provision`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::FalseyValueParser;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::wire::provisioning::Country;
use handfast_node::native::read_public;
#[cfg(feature = "wifi")]
use handfast_node::provisioning::{
    HostapdRadio, HostapdSettings, NetworkManagerRadio, NetworkManagerSettings,
};
use handfast_node::provisioning::{NoRadio, NodeInfo, ProvisionerConfig, Radio, SimulatedRadio};

use super::{Ca, StateArgs};
use crate::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Provision {
    /// Serve the plain API, too, which is unprotected: whoever reaches its port within the setup
    /// window reads the Wi-Fi password and can change the settings
    ///
    /// Without it, only a phone whose owner holds the node's label is served, over an access point
    /// with the label's password. With it, the access point is open, and the node's keys and its
    /// gateway are as safe as the network at that moment, and the command center's URL: use https.
    #[arg(long)]
    plain: bool,
    /// Keep the port open outside the setup window, for phones that have K2: they read and push this
    /// node's settings, and nothing else is served
    #[arg(long)]
    share_settings: bool,
    /// Never offer an access point without the label's password, also where the radio starts none
    /// with it; the node is then reached by cable alone
    #[arg(long, conflicts_with = "plain")]
    no_open_access_point: bool,
    /// The radio
    #[arg(long, value_name = "RADIO", env = "JARVIS_WIFI_BACKEND", value_enum)]
    wifi: Option<Wifi>,
    /// Interface of the radio; wlan0 or, with NetworkManager, the first one unless given
    #[arg(long, value_name = "NAME", value_parser = interface)]
    wifi_interface: Option<String>,
    /// Country whose rules hold for the radio, as two letters; unless given, the one that a phone
    /// has sent, or the system's
    #[arg(long, value_name = "CC", value_parser = country)]
    wifi_country: Option<Country>,
    /// Directory from which NetworkManager's dnsmasq reads
    #[arg(long, value_name = "DIR", hide = true)]
    dnsmasq_directory: Option<PathBuf>,
    /// Use the simulated radio, whatever --wifi says
    #[arg(long, env = "JARVIS_SIMULATE_PROVISIONING", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    simulate: bool,
    /// A passphrase that is wrong for every network of the simulated radio
    #[arg(long, value_name = "TEXT", hide = true)]
    simulated_wrong_password: Option<String>,
    /// The simulated radio is blocked until its country is set
    #[arg(long, hide = true)]
    simulated_blocked: bool,
    /// The simulated radio starts no access point with a passphrase
    #[arg(long, hide = true)]
    simulated_open_only: bool,
    /// Go over to normal operation at once, with what is kept
    #[arg(long, env = "JARVIS_SKIP_PROVISIONING_CHECK", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub(crate) skip_check: bool,
    /// Port of the API; 0 lets the system choose one
    #[arg(long, value_name = "PORT", env = "JARVIS_PROVISIONING_PORT", default_value_t = 8080)]
    port: u16,
    /// Port where phones look for a page by themselves, served as well where it can be used; 0 for
    /// none
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    captive_port: u16,
    /// Address at which the API listens
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    listen: IpAddr,
    /// Beginning of the node's id and of its access point's name, before eight digits of its address
    #[arg(long, value_name = "TEXT", default_value = "jarvis-", value_parser = prefix)]
    prefix: String,
    /// Seconds after a start, or after SIGUSR1, in which new settings are taken
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    setup_window: u64,
    /// The key that the command center's gateway must have; any unless given
    #[arg(long, value_name = "KEY", value_parser = public_key, allow_hyphen_values = true)]
    gateway_key: Option<PublicKey>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) ca: Ca,
}

/// Options of `label`.
#[derive(Debug, clap::Args)]
pub(crate) struct LabelArgs {
    /// Write the QR as an image, whose kind follows from the name: .png or .svg
    #[arg(long, value_name = "FILE")]
    pub(crate) qr: Option<PathBuf>,
    /// Draw the QR for a terminal with dark characters on light ones
    #[arg(long)]
    pub(crate) invert: bool,
    /// Beginning of the access point's name, as `provision` has it
    #[arg(long, value_name = "TEXT", default_value = "jarvis-", value_parser = prefix)]
    pub(crate) prefix: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// Options of `settings`.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingsArgs {
    /// show, put: the settings that this node shares, as JSON. seal: JSON to sealed settings. open:
    /// sealed settings to JSON
    #[arg(value_enum)]
    pub(crate) way: SettingsWay,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// The direction of settings.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum SettingsWay {
    /// Print the settings that phones read and push.
    Show,
    /// Put the settings from standard input in their place.
    Put,
    /// From the node.
    Seal,
    /// To the node.
    Open,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Wifi {
    /// None: the node is on a cable already
    None,
    #[cfg(feature = "wifi")]
    /// The one that NetworkManager drives
    #[value(name = "networkmanager")]
    NetworkManager,
    #[cfg(feature = "wifi")]
    /// One that no other program uses: the node runs hostapd, dnsmasq and wpa_supplicant
    Hostapd,
    /// A simulated radio with four networks, for trials
    Simulated,
}

impl Provision {
    /// Returns the radio.
    pub(crate) fn radio(&self) -> Result<Box<dyn Radio>, Failure> {
        let simulated = || {
            let radio = SimulatedRadio::new(self.simulated_wrong_password.clone());
            let radio = if self.simulated_blocked { radio.blocked() } else { radio };
            Box::new(if self.simulated_open_only { radio.open_only() } else { radio })
        };
        match self.wifi {
            _ if self.simulate => Ok(simulated()),
            Some(Wifi::Simulated) => Ok(simulated()),
            Some(Wifi::None) => Ok(Box::new(NoRadio)),
            #[cfg(feature = "wifi")]
            Some(Wifi::NetworkManager) => {
                let mut settings = NetworkManagerSettings::of_this_machine();
                settings.interface = self.wifi_interface.clone();
                if let Some(directory) = &self.dnsmasq_directory {
                    settings.dnsmasq = Some(directory.clone());
                }
                Ok(Box::new(NetworkManagerRadio::new(settings)))
            }
            #[cfg(feature = "wifi")]
            Some(Wifi::Hostapd) => {
                let interface = self.wifi_interface.as_deref().unwrap_or("wlan0").to_owned();
                let directory = self.state.dir()?.path().join("provisioning").join("wifi");
                Ok(Box::new(HostapdRadio::new(HostapdSettings::new(interface, directory))))
            }
            None => Err(Failure::Usage(
                "name the radio: --wifi networkmanager, --wifi hostapd, --wifi none for a node on a cable, \
                 --simulate for a trial"
                    .into(),
            )),
        }
    }

    /// Returns the settings.
    pub(crate) fn config(&self) -> Result<ProvisionerConfig, Failure> {
        let state: PathBuf = self.state.dir()?.path().to_owned();
        Ok(ProvisionerConfig {
            state,
            info: NodeInfo::of_this_machine(&self.prefix),
            listen: (self.listen, self.port).into(),
            captive_port: Some(self.captive_port).filter(|port| *port != 0),
            plain: self.plain,
            share_settings: self.share_settings,
            protected_only: self.no_open_access_point,
            window: Duration::from_secs(self.setup_window),
            gateway_key: self.gateway_key,
            country: self.wifi_country,
            ca: self.ca.path().map(ToOwned::to_owned),
        })
    }
}

fn prefix(text: &str) -> Result<String, String> {
    // With eight digits it must fit into an SSID.
    let fits = text.len() <= 24 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    fits.then(|| text.to_owned()).ok_or("it must be at most 24 visible characters".into())
}

fn interface(text: &str) -> Result<String, String> {
    // The kernel's limit.
    let fits = (1..=15).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
        && text != "."
        && text != "..";
    fits.then(|| text.to_owned()).ok_or("it must be the name of a network interface".into())
}

fn country(text: &str) -> Result<Country, String> {
    Country::parse(text)
        .ok_or("it must be a country's two letters of ISO 3166-1, such as DE".into())
}

fn public_key(text: &str) -> Result<PublicKey, String> {
    read_public(text)
        .and_then(|bytes| PublicKey::parse(&bytes).ok())
        .ok_or("it must be 43 characters of base64url".into())
}
