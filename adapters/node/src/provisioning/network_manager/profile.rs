//! The profiles that NetworkManager is given: of a network to join, and of the access point.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use handfast_core::flow::provisioning::radio::{Security, Seen};
use zbus::wire::Variant;

use crate::provisioning::radio::WifiCredentials;

/// The sections of a profile, each with its properties.
pub(super) type Profile<'a> = HashMap<&'static str, HashMap<&'static str, Variant<'a>>>;

/// Beginning of the names of the networks' profiles, by which a node finds its own.
pub(super) const NETWORK_PREFIX: &str = "handfast-node: ";
/// The name of the access point's profile.
const ACCESS_POINT: &str = "handfast-node setup";
/// The channel of the access point. Without a fixed one the supplicant takes too long.
const CHANNEL: u32 = 6;
/// Protected management frames (`NMSettingWirelessSecurityPmf`): off, because several radios refuse
/// an access point with them.
const PMF_OFF: i32 = 1;

/// How the access point gives its phones an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// NetworkManager runs dnsmasq.
    Shared,
    /// The node answers DHCP and DNS.
    Own,
}

/// Makes the profile of a network.
///
/// A network with a passphrase is never joined open, whatever was seen of it. `kept` is the unique
/// id of a profile that stays and is used by itself from then on.
pub(super) fn network<'a>(
    network: &'a WifiCredentials,
    seen: Option<Seen>,
    interface: &'a str,
    kept: Option<&'a str>,
    autoconnect: bool,
) -> Profile<'a> {
    let mut profile = base(
        format!("{NETWORK_PREFIX}{}", network.ssid),
        interface,
        network.ssid.as_bytes(),
        autoconnect,
    );
    if let Some(uuid) = kept {
        set(&mut profile, "connection", "uuid", uuid.into());
    }
    set(&mut profile, WIRELESS, "mode", "infrastructure".into());
    // A network that no scan shows is asked for by its name.
    set(&mut profile, WIRELESS, "hidden", seen.is_none().into());
    if !network.passphrase.is_empty() {
        let management = match seen.map(|seen| seen.security) {
            Some(Security::Wpa3) => "sae",
            // This takes WPA3 as well.
            Some(
                Security::Wpa2
                | Security::Wpa2Wpa3
                | Security::Open
                | Security::Wep
                | Security::Enterprise,
            )
            | None => "wpa-psk",
        };
        set(&mut profile, SECURITY, "key-mgmt", management.into());
        set(&mut profile, SECURITY, "psk", network.passphrase.as_str().into());
    }
    set(&mut profile, "ipv4", "method", "auto".into());
    set(&mut profile, "ipv6", "method", "auto".into());
    profile
}

/// Makes the profile of the access point.
pub(super) fn access_point<'a>(
    network: &'a WifiCredentials,
    interface: &'a str,
    address: Ipv4Addr,
    addresses: Addresses,
) -> Profile<'a> {
    let mut profile = base(ACCESS_POINT.to_owned(), interface, network.ssid.as_bytes(), false);
    set(&mut profile, WIRELESS, "mode", "ap".into());
    set(&mut profile, WIRELESS, "band", "bg".into());
    set(&mut profile, WIRELESS, "channel", CHANNEL.into());
    if !network.passphrase.is_empty() {
        set(&mut profile, SECURITY, "key-mgmt", "wpa-psk".into());
        set(&mut profile, SECURITY, "psk", network.passphrase.as_str().into());
        for (property, value) in [("proto", "rsn"), ("pairwise", "ccmp"), ("group", "ccmp")] {
            set(&mut profile, SECURITY, property, vec![value].into());
        }
        set(&mut profile, SECURITY, "pmf", PMF_OFF.into());
    }
    let method = match addresses {
        Addresses::Shared => "shared",
        Addresses::Own => "manual",
    };
    set(&mut profile, "ipv4", "method", method.into());
    let address = HashMap::from([
        ("address", Variant::from(address.to_string())),
        ("prefix", Variant::from(24_u32)),
    ]);
    set(&mut profile, "ipv4", "address-data", vec![address].into());
    set(&mut profile, "ipv4", "never-default", true.into());
    set(&mut profile, "ipv6", "method", "ignore".into());
    profile
}

const WIRELESS: &str = "802-11-wireless";
const SECURITY: &str = "802-11-wireless-security";

fn base<'a>(id: String, interface: &'a str, ssid: &'a [u8], autoconnect: bool) -> Profile<'a> {
    let mut profile = Profile::new();
    set(&mut profile, "connection", "id", id.into());
    set(&mut profile, "connection", "type", WIRELESS.into());
    set(&mut profile, "connection", "interface-name", interface.into());
    set(&mut profile, "connection", "autoconnect", autoconnect.into());
    set(&mut profile, WIRELESS, "ssid", ssid.into());
    profile
}

fn set<'a>(
    profile: &mut Profile<'a>,
    section: &'static str,
    property: &'static str,
    value: Variant<'a>,
) {
    profile.entry(section).or_default().insert(property, value);
}
