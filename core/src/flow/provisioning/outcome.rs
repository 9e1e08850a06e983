//! Why provisioning failed, inferred from what the radio reported. A radio names no cause: a wrong
//! passphrase of WPA3 looks like a network that is not there.

#[cfg(test)]
mod tests;

use super::radio::{DeviceState, RadioReport, Reason, Seen};

/// Signal below which a network that cannot be joined is too far away, in dBm.
pub const WEAK: i16 = -82;

/// The reason for which a node could not be provisioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// The passphrase is wrong.
    WrongPassword {
        /// `false` if the radio reported something else, from which this follows with probability.
        certain: bool,
    },
    /// No network of this name is in reach.
    NetworkNotFound,
    /// The network is in reach, but its signal is too weak.
    TooWeak,
    /// The network gave no address.
    NoAddress,
    /// The network asks for a login on a web page first.
    CaptiveNetwork,
    /// The command center did not answer.
    GatewayUnreachable,
    /// The command center refused the node.
    GatewayRefused,
    /// The command center named a gateway with another key than the expected one.
    GatewayKeyMismatch,
    /// The radio could not be used.
    RadioBusy,
    /// The radio is blocked until its country is set.
    CountryMissing,
    /// The node's storage took no settings.
    CannotStore,
}

impl Outcome {
    /// Returns the stable code for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::WrongPassword { .. } => "wrong_password",
            Self::NetworkNotFound => "network_not_found",
            Self::TooWeak => "too_weak",
            Self::NoAddress => "no_address",
            Self::CaptiveNetwork => "captive_network",
            Self::GatewayUnreachable => "gateway_unreachable",
            Self::GatewayRefused => "gateway_refused",
            Self::GatewayKeyMismatch => "gateway_key_mismatch",
            Self::RadioBusy => "radio_busy",
            Self::CountryMissing => "country_missing",
            Self::CannotStore => "cannot_store",
        }
    }

    /// Returns what is wrong and what mends it, as a sentence for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongPassword { certain: true } => "The Wi-Fi password is wrong; type it again",
            Self::WrongPassword { certain: false } => {
                "The Wi-Fi password is probably wrong; type it again"
            }
            Self::NetworkNotFound => {
                "The Wi-Fi network was not found; check its name, and that the node is in reach"
            }
            Self::TooWeak => "The Wi-Fi signal is too weak; move the node closer to the router",
            Self::NoAddress => {
                "The Wi-Fi network gave the node no address; check the router's DHCP, or restart it"
            }
            Self::CaptiveNetwork => {
                "The Wi-Fi network asks for a login page, which a node cannot fill in; choose \
                 another network"
            }
            Self::GatewayUnreachable => {
                "The command center did not answer; check its address, and that it runs"
            }
            Self::GatewayRefused => "The command center refused the node; make a new token there",
            Self::GatewayKeyMismatch => {
                "The command center's gateway has another key than this node expects; check its \
                 address"
            }
            Self::RadioBusy => "The radio could not be used; restart the node and try again",
            Self::CountryMissing => {
                "The radio is blocked until its country is set; send the country, or set it on the \
                 node"
            }
            Self::CannotStore => "The node could not store its settings; free space on its disk",
        }
    }

    /// Returns `true` if the same request may succeed later without a change.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::TooWeak
            | Self::NoAddress
            | Self::GatewayUnreachable
            | Self::RadioBusy
            | Self::NetworkNotFound => true,
            Self::WrongPassword { .. }
            | Self::CaptiveNetwork
            | Self::GatewayRefused
            | Self::GatewayKeyMismatch
            | Self::CountryMissing
            | Self::CannotStore => false,
        }
    }
}

/// What one attempt to join has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Progress {
    /// It goes on.
    Going,
    /// The network is joined and has given an address.
    Joined,
    /// It has failed.
    Failed(Outcome),
}

/// The reports of one attempt to join a network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JoinWatch {
    seen: Option<Seen>,
    /// The state in which the attempt is.
    at: DeviceState,
}

impl JoinWatch {
    /// Begins an attempt.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: None, at: DeviceState::Disconnected }
    }

    /// Takes in a report.
    pub fn report(&mut self, report: RadioReport) -> Progress {
        match report {
            RadioReport::Scanned(seen) => {
                self.seen = seen;
                Progress::Going
            }
            RadioReport::Changed { state: DeviceState::Activated, .. } => Progress::Joined,
            RadioReport::Changed { state: DeviceState::Failed, reason } => {
                Progress::Failed(self.judge(reason))
            }
            // States 40, 50 and 60 come several times in every attempt, also in one that succeeds.
            RadioReport::Changed {
                state:
                    state @ (DeviceState::Disconnected
                    | DeviceState::Prepare
                    | DeviceState::Config
                    | DeviceState::NeedAuth
                    | DeviceState::IpConfig
                    | DeviceState::IpCheck
                    | DeviceState::Secondaries
                    | DeviceState::Deactivating),
                ..
            } => {
                self.at = state;
                Progress::Going
            }
            RadioReport::Blocked => Progress::Failed(Outcome::CountryMissing),
            RadioReport::Refused => Progress::Failed(Outcome::RadioBusy),
        }
    }

    /// Returns the outcome of an attempt that has taken too long.
    #[must_use]
    pub fn overdue(&self) -> Outcome {
        match self.at {
            DeviceState::IpConfig | DeviceState::IpCheck | DeviceState::Secondaries => {
                Outcome::NoAddress
            }
            DeviceState::Disconnected
            | DeviceState::Prepare
            | DeviceState::Config
            | DeviceState::NeedAuth
            | DeviceState::Activated
            | DeviceState::Deactivating
            | DeviceState::Failed => match self.seen {
                None => Outcome::NetworkNotFound,
                Some(seen) if seen.signal < WEAK => Outcome::TooWeak,
                Some(_) => Outcome::RadioBusy,
            },
        }
    }

    fn judge(&self, reason: Reason) -> Outcome {
        let weak = self.seen.is_some_and(|seen| seen.signal < WEAK);
        match reason {
            Reason::NoSecrets => Outcome::WrongPassword { certain: true },
            // SAE proves the passphrase before the association, so its failure looks like this.
            Reason::SsidNotFound => match self.seen {
                Some(seen) if seen.security.has_sae() => Outcome::WrongPassword { certain: false },
                Some(_) if weak => Outcome::TooWeak,
                Some(_) | None => Outcome::NetworkNotFound,
            },
            Reason::NoAddress => Outcome::NoAddress,
            Reason::SupplicantDisconnect
            | Reason::SupplicantFailed
            | Reason::SupplicantTimeout
            | Reason::SupplicantConfig
            | Reason::Other(_) => match self.at {
                DeviceState::IpConfig | DeviceState::IpCheck | DeviceState::Secondaries => {
                    Outcome::NoAddress
                }
                DeviceState::Disconnected
                | DeviceState::Prepare
                | DeviceState::Config
                | DeviceState::NeedAuth
                | DeviceState::Activated
                | DeviceState::Deactivating
                | DeviceState::Failed => {
                    if weak {
                        Outcome::TooWeak
                    } else {
                        Outcome::RadioBusy
                    }
                }
            },
        }
    }
}

impl Default for JoinWatch {
    fn default() -> Self {
        Self::new()
    }
}
