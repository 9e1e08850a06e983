//! What a node tells a phone about its provisioning.

use core::fmt;

use super::outcome::Outcome;
use crate::text::Name;
use crate::wire::provisioning::Ssid;

/// The state of a node, as its API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PublicState {
    /// The node waits for a phone.
    ApMode,
    /// The node joins the network.
    Connecting,
    /// The node registers at its command center.
    Registering,
    /// The node is provisioned.
    Provisioned,
    /// The last attempt failed.
    Error,
}

impl PublicState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::ApMode, Self::Connecting, Self::Registering, Self::Provisioned, Self::Error];

    /// Returns the text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApMode => "AP_MODE",
            Self::Connecting => "CONNECTING",
            Self::Registering => "REGISTERING",
            Self::Provisioned => "PROVISIONED",
            Self::Error => "ERROR",
        }
    }
}

/// How far a node is. [`Display`](fmt::Display) is its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Step<'s> {
    /// The node waits for a phone.
    Waiting,
    /// The request is being stored.
    Saving,
    /// The request is stored; the access point is about to end.
    Saved(&'s Ssid),
    /// The network is being joined.
    Joining(&'s Ssid),
    /// The network is joined.
    Joined(&'s Ssid),
    /// The command center is asked.
    Registering,
    /// The registration is being stored.
    Finalizing,
    /// All is done.
    Complete,
    /// The last attempt failed at this percentage.
    Failed(u8),
}

impl Step<'_> {
    /// Returns the state to which the step belongs.
    #[must_use]
    pub const fn state(&self) -> PublicState {
        match self {
            Self::Waiting => PublicState::ApMode,
            Self::Saving | Self::Saved(_) | Self::Joining(_) | Self::Joined(_) => {
                PublicState::Connecting
            }
            Self::Registering | Self::Finalizing => PublicState::Registering,
            Self::Complete => PublicState::Provisioned,
            Self::Failed(_) => PublicState::Error,
        }
    }

    /// Returns the progress, in percent.
    #[must_use]
    pub const fn percent(&self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Saving => 10,
            Self::Saved(_) => 20,
            Self::Joining(_) => 35,
            Self::Joined(_) => 50,
            Self::Registering => 70,
            Self::Finalizing => 90,
            Self::Complete => 100,
            Self::Failed(percent) => *percent,
        }
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("Waiting for mobile app connection..."),
            Self::Saving => f.write_str("Saving configuration..."),
            Self::Saved(ssid) => write!(f, "Saving credentials for {}...", ssid.as_str()),
            Self::Joining(ssid) => write!(f, "Connecting to {}...", ssid.as_str()),
            Self::Joined(ssid) => write!(f, "Connected to {}", ssid.as_str()),
            Self::Registering => f.write_str("Registering with command center..."),
            Self::Finalizing => f.write_str("Finalizing..."),
            Self::Complete => {
                f.write_str("Provisioning complete! You can now start the main Jarvis service.")
            }
            Self::Failed(_) => f.write_str(
                "Provisioning failed — reconnect to the node's setup network and try again",
            ),
        }
    }
}

/// A failure, with the command center's own words if it refused. [`Display`](fmt::Display) says
/// what is wrong and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Failure {
    /// What failed.
    pub outcome: Outcome,
    /// The command center's HTTP status, if it answered.
    pub http_status: Option<u16>,
    /// The command center's own words.
    pub detail: Option<Name>,
}

impl From<Outcome> for Failure {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, http_status: None, detail: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = self.http_status else { return f.write_str(self.outcome.as_str()) };
        let detail = self.detail.as_ref().map_or("no reason given", Name::as_str);
        write!(f, "Command center rejected registration (HTTP {status}): {detail}")
    }
}

/// How far the registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Registration {
    /// The node has not asked.
    NotStarted,
    /// The command center is asked, or will be asked again.
    Pending,
    /// The command center has agreed.
    Registered,
    /// The command center refused, or did not answer.
    Failed,
}

impl Registration {
    /// Returns the text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Pending => "pending",
            Self::Registered => "registered",
            Self::Failed => "failed",
        }
    }
}

/// What a person is told while the access point is open although the label has a passphrase for it.
pub const OPEN_INSTEAD: &str = "The node's network is open, because its radio does not start one \
    with the label's password. What this page sends is sealed with the proof, so nobody who \
    listens can read it. But anybody can offer a network of the same name, with a page of their \
    own that asks for the proof: type it only where you trust those in radio range";

/// The answer to a phone that asks how far the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Status<'s> {
    /// How far the node is.
    pub step: Step<'s>,
    /// Why the last attempt failed, or why there is no access point.
    pub failure: Option<&'s Failure>,
    /// How far the registration is.
    pub registration: Registration,
    /// `true` if the access point runs.
    pub hotspot: bool,
    /// `true` if it is open, because the radio does not start one with the label's passphrase.
    pub open_instead: bool,
    /// `true` if the node was provisioned before.
    pub provisioned_before: bool,
}
