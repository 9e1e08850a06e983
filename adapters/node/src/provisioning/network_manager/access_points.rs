//! The access points in reach, as NetworkManager lists them.

use handfast_core::flow::provisioning::radio::Security;

use super::bus::Properties;
use crate::provisioning::radio::WifiNetwork;

/// `NM_802_11_AP_FLAGS_PRIVACY`: some encryption.
const PRIVACY: u32 = 0x1;
/// `NM_802_11_AP_SEC_KEY_MGMT_PSK`.
const PSK: u32 = 0x100;
/// `NM_802_11_AP_SEC_KEY_MGMT_802_1X` and the one of Suite B.
const ENTERPRISE: u32 = 0x200 | 0x2000;
/// `NM_802_11_AP_SEC_KEY_MGMT_SAE`.
const SAE: u32 = 0x400;

/// Reads an access point's properties; `None` if one is missing, or its name is no text.
pub(super) fn read(mut properties: Properties) -> Option<WifiNetwork> {
    let mut flags = |name: &str| properties.remove(name).and_then(|value| value.try_into().ok());
    let (privacy, wpa, rsn): (u32, u32, u32) =
        (flags("Flags")?, flags("WpaFlags")?, flags("RsnFlags")?);
    let strength: u8 = properties.remove("Strength")?.try_into().ok()?;
    let ssid: Vec<u8> = properties.remove("Ssid")?.try_into().ok()?;
    Some(WifiNetwork {
        ssid: String::from_utf8(ssid).ok()?,
        signal: dbm(strength),
        security: security(privacy, wpa | rsn),
    })
}

/// Converts a strength in percent, for which NetworkManager takes -100 dBm as none and -40 dBm as
/// full.
fn dbm(strength: u8) -> i16 {
    i16::from(strength.min(100)) * 6 / 10 - 100
}

const fn security(flags: u32, key_management: u32) -> Security {
    match (key_management & PSK != 0, key_management & SAE != 0) {
        (true, true) => Security::Wpa2Wpa3,
        (true, false) => Security::Wpa2,
        (false, true) => Security::Wpa3,
        (false, false) if key_management & ENTERPRISE != 0 => Security::Enterprise,
        // Opportunistic encryption has key management, but no passphrase.
        (false, false) if flags & PRIVACY != 0 && key_management == 0 => Security::Wep,
        (false, false) => Security::Open,
    }
}

#[cfg(test)]
mod tests {
    use zbus::wire::{OwnedVariant, Variant};

    use super::*;

    fn listed(flags: u32, wpa: u32, rsn: u32, strength: u8) -> WifiNetwork {
        let owned = |value: Variant<'static>| OwnedVariant::try_from(value).expect("no descriptor");
        let properties = Properties::from([
            ("Flags".to_owned(), owned(flags.into())),
            ("WpaFlags".to_owned(), owned(wpa.into())),
            ("RsnFlags".to_owned(), owned(rsn.into())),
            ("Strength".to_owned(), owned(strength.into())),
            ("Ssid".to_owned(), owned(b"Home".to_vec().into())),
        ]);
        read(properties).expect("an access point")
    }

    #[test]
    fn the_security_of_an_access_point_is_read_from_its_flags() {
        for (flags, wpa, rsn, security) in [
            (0, 0, 0, Security::Open),
            (1, 0, 0, Security::Wep),
            (1, 0x144, 0, Security::Wpa2),
            (1, 0, 0x188, Security::Wpa2),
            (1, 0x144, 0x188, Security::Wpa2),
            (1, 0, 0x488, Security::Wpa3),
            (1, 0, 0x588, Security::Wpa2Wpa3),
            (1, 0, 0x288, Security::Enterprise),
            (1, 0, 0x2088, Security::Enterprise),
            (1, 0, 0x888, Security::Open),
        ] {
            assert_eq!(listed(flags, wpa, rsn, 50).security, security, "{flags} {wpa:x} {rsn:x}");
        }
    }

    #[test]
    fn strengths_are_told_in_dbm_on_networkmanagers_own_scale() {
        for (strength, signal) in [(0, -100), (30, -82), (50, -70), (100, -40), (255, -40)] {
            assert_eq!(listed(0, 0, 0, strength).signal, signal);
        }
    }
}
