//! The configuration files of hostapd, dnsmasq and wpa_supplicant.

use std::fmt::Write as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::HostapdSettings;
use crate::provisioning::radio::{ACCESS_POINT_ADDRESS, WifiCredentials};

/// The channel of the access point.
const CHANNEL: u8 = 6;

/// Makes hostapd's configuration; `None` if the passphrase cannot be one of WPA2.
pub(super) fn hostapd(
    settings: &HostapdSettings,
    control: &Path,
    network: &WifiCredentials,
) -> Option<Zeroizing<String>> {
    let HostapdSettings { interface, hostapd_driver, .. } = settings;
    let mut text = Zeroizing::new(format!(
        "interface={interface}\n\
         driver={hostapd_driver}\n\
         ctrl_interface={}\n\
         ssid2={}\n\
         hw_mode=g\n\
         channel={CHANNEL}\n\
         auth_algs=1\n",
        control.display(),
        hex(network.ssid.as_bytes()),
    ));
    if let Some(country) = &settings.country {
        text.push_str("country_code=");
        text.push_str(country.as_str());
        text.push_str("\nieee80211d=1\n");
    }
    let passphrase = &network.passphrase;
    if !passphrase.is_empty() {
        // A line of the file, so nothing else may stand in it.
        let is_plain = passphrase.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !is_plain || !(8..=63).contains(&passphrase.len()) {
            return None;
        }
        text.push_str("wpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\nieee80211w=0\n");
        text.push_str("wpa_passphrase=");
        text.push_str(passphrase);
        text.push('\n');
    }
    Some(text)
}

/// Makes dnsmasq's configuration: addresses for the phones, and every name is the node's, so that a
/// phone opens the node's page by itself.
pub(super) fn dnsmasq(interface: &str, directory: &Path) -> String {
    let prefix = "192.168.4";
    format!(
        "keep-in-foreground\n\
         interface={interface}\n\
         except-interface=lo\n\
         bind-dynamic\n\
         no-resolv\n\
         no-hosts\n\
         address=/#/{ACCESS_POINT_ADDRESS}\n\
         dhcp-range={prefix}.10,{prefix}.50,255.255.255.0,10m\n\
         dhcp-authoritative\n\
         leasefile-ro\n\
         pid-file={}\n",
        directory.join("dnsmasq.pid").display(),
    )
}

/// Makes wpa_supplicant's configuration. Networks are added over its control socket.
pub(super) fn supplicant(settings: &HostapdSettings, control: &Path) -> String {
    let mut text = format!("ctrl_interface={}\nupdate_config=0\n", control.display());
    if let Some(country) = &settings.country {
        text.push_str("country=");
        text.push_str(country.as_str());
        text.push('\n');
    }
    text
}

/// Writes bytes as hexadecimal digits, in which no byte means anything else.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
