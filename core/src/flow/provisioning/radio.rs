//! What a radio reports, in the terms of NetworkManager. Other backends translate theirs.

/// How a network is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Security {
    /// No passphrase.
    Open,
    /// WEP, which no current radio joins.
    Wep,
    /// WPA or WPA2 with a passphrase.
    Wpa2,
    /// WPA3 (SAE) alone.
    Wpa3,
    /// WPA2 and WPA3 side by side.
    Wpa2Wpa3,
    /// WPA with accounts (802.1X).
    Enterprise,
}

impl Security {
    /// Returns the text in lists of networks.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Wep => "WEP",
            Self::Wpa2 => "WPA2",
            Self::Wpa3 => "WPA3",
            Self::Wpa2Wpa3 => "WPA2/WPA3",
            Self::Enterprise => "WPA-EAP",
        }
    }

    /// Returns `true` if the network takes SAE, whose refusal of a passphrase looks like a network
    /// that is not there.
    #[must_use]
    pub const fn has_sae(self) -> bool {
        match self {
            Self::Wpa3 | Self::Wpa2Wpa3 => true,
            Self::Open | Self::Wep | Self::Wpa2 | Self::Enterprise => false,
        }
    }
}

/// What the last scan found out about a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Seen {
    /// How the network is secured.
    pub security: Security,
    /// The strength of its signal, in dBm.
    pub signal: i16,
}

/// A state of the device (`NMDeviceState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DeviceState {
    /// Up to 30: nothing is under way.
    Disconnected,
    /// 40: preparing.
    Prepare,
    /// 50: looking for the network and associating with it.
    Config,
    /// 60: authenticating. Every failed join passes through it.
    NeedAuth,
    /// 70: asking for an address.
    IpConfig,
    /// 80: checking the address.
    IpCheck,
    /// 90: waiting for further connections.
    Secondaries,
    /// 100: joined.
    Activated,
    /// 110: leaving.
    Deactivating,
    /// 120: failed.
    Failed,
}

impl DeviceState {
    /// Reads NetworkManager's number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0..40 => Self::Disconnected,
            40..50 => Self::Prepare,
            50..60 => Self::Config,
            60..70 => Self::NeedAuth,
            70..80 => Self::IpConfig,
            80..90 => Self::IpCheck,
            90..100 => Self::Secondaries,
            100..110 => Self::Activated,
            110..120 => Self::Deactivating,
            120.. => Self::Failed,
        }
    }
}

/// The reason for a state (`NMDeviceStateReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reason {
    /// 5, 15, 16, 17: no address came.
    NoAddress,
    /// 7: secrets were required, but not provided.
    NoSecrets,
    /// 8: the supplicant disconnected.
    SupplicantDisconnect,
    /// 9: the supplicant took no configuration.
    SupplicantConfig,
    /// 10: the supplicant failed.
    SupplicantFailed,
    /// 11: the supplicant took too long.
    SupplicantTimeout,
    /// 53: the network could not be found.
    SsidNotFound,
    /// Any other number.
    Other(u32),
}

impl Reason {
    /// Reads NetworkManager's number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            // 15 to 17 are the three ways in which DHCP fails.
            5 | 15..=17 => Self::NoAddress,
            7 => Self::NoSecrets,
            8 => Self::SupplicantDisconnect,
            9 => Self::SupplicantConfig,
            10 => Self::SupplicantFailed,
            11 => Self::SupplicantTimeout,
            53 => Self::SsidNotFound,
            other => Self::Other(other),
        }
    }
}

/// A report of the radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RadioReport {
    /// What the last scan before a join found of its network; `None` if it did not find it. A join
    /// begins with this report.
    Scanned(Option<Seen>),
    /// The device has a new state.
    Changed {
        /// The state.
        state: DeviceState,
        /// Its reason.
        reason: Reason,
    },
    /// Software blocks the radio, as it does on some boards until their country is set.
    Blocked,
    /// The radio refused the request: there is none, or it is used otherwise.
    Refused,
}
