//! The memory, inputs and effects of the machine.

use super::radio::RadioReport;
use super::retry::RegisterFailure;
use crate::crypto::x25519::PublicKey;
use crate::entropy::Entropy;
use crate::limits::SETUP_WINDOW;
use crate::secret::Secret;
use crate::time::{Span, UnixTime};
use crate::wire::provisioning::{
    Country, K2Request, NetworkRequest, NoK2, ProvisionRequest, RegisterAnswer, Ssid,
};

/// What a node finds in its storage at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProvisioningMemory {
    /// The network of a provisioned node; `None` if the node is not provisioned.
    pub known: Option<Ssid>,
    /// The country whose rules hold for the radio; `None` leaves it to the system.
    pub country: Option<Country>,
    /// What an interrupted run left.
    pub unfinished: Unfinished,
}

/// What an interrupted run left. The settings in force are untouched by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Unfinished {
    /// Nothing.
    Nothing,
    /// The request, for this network.
    Request(Ssid),
    /// The request and the command center's answer.
    Registered(Ssid),
    /// The request for this other network.
    Network(Ssid),
}

/// What the node's owner may set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProvisioningSettings {
    /// Time after a start, or after the button, in which new settings are taken.
    pub window: Span,
    /// The only gateway that a command center may name; `None` for any.
    pub gateway_key: Option<PublicKey>,
    /// The access points that may be offered.
    pub access_points: AccessPointPolicy,
}

/// The access points that a node may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AccessPointPolicy {
    /// An open one, which the plain mode's clients expect.
    Open,
    /// One with the label's passphrase, and no other.
    Protected,
    /// One with the label's passphrase, and an open one where the radio does not start that.
    ProtectedOrOpen,
}

/// How an access point is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AccessPoint {
    /// By the passphrase on the label (WPA2).
    Protected,
    /// Not at all.
    Open,
}

impl Default for ProvisioningSettings {
    fn default() -> Self {
        Self {
            window: SETUP_WINDOW,
            gateway_key: None,
            access_points: AccessPointPolicy::ProtectedOrOpen,
        }
    }
}

/// An event for a node.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// The deadline has come.
    Tick,
    /// A phone sent new settings.
    Provision(ProvisionRequest<'b>),
    /// A phone sent another network for a node that is provisioned.
    ChangeNetwork(NetworkRequest<'b>),
    /// A phone sent K2.
    K2(K2Request<'b>),
    /// A phone or the owner wants the node to forget everything but K1.
    FactoryReset,
    /// A phone read the status.
    StatusRead,
    /// The owner pressed the button that opens the setup window.
    Button,
    /// The answer to [`Effect::StartAccessPoint`].
    AccessPoint(Result<(), NoAccessPoint>),
    /// A report of the radio.
    Radio(RadioReport),
    /// The answer to [`Effect::CheckNetwork`]: `true` if the network shows a login page.
    Checked {
        /// The network shows a login page instead of the internet.
        captive: bool,
    },
    /// The answer to [`Effect::Register`]. It carries entropy for the wait before the next attempt.
    Registered(Result<RegisterAnswer<'b>, RegisterFailure<'b>>, Entropy<2>),
    /// The answer to an effect that stores.
    Stored(Result<(), NotStored>),
}

/// The reason for which there is no access point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoAccessPoint {
    /// The radio refused: there is none, or it is used otherwise.
    Refused,
    /// The radio is free, and did not start this access point.
    NotStarted,
    /// Software blocks the radio, as it does on some boards until their country is set.
    Blocked,
}

/// The storage took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotStored;

/// A request of a node to the adapter.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Start this access point, unless it runs. The answer is [`Input::AccessPoint`].
    StartAccessPoint(AccessPoint),
    /// Let the radio send by the rules of this country, and end what blocks it for want of one.
    SetCountry(Country),
    /// Stop the access point.
    StopAccessPoint,
    /// Join this network. The radio's reports come as [`Input::Radio`], and begin with
    /// [`RadioReport::Scanned`].
    Join(Network),
    /// Give up what is under way with the radio and the command center; none of their answers
    /// comes any more. The requested network's profile is removed.
    Abandon,
    /// Find out whether the network shows a login page. The answer is [`Input::Checked`].
    CheckNetwork,
    /// Keep the profile of the joined network, and remove those of networks that were kept before:
    /// the network has worked and is in force.
    KeepNetwork,
    /// Remove the profiles of all networks that were kept.
    ForgetNetworks,
    /// Ask the command center of the stored request once. The answer is [`Input::Registered`].
    Register,
    /// Store this, durably, then answer with [`Input::Stored`]. The adapter takes no request of a
    /// phone until then.
    Store(Change<'b>),
    /// Use the node's static key as the storage has it now for sealed exchanges. Those that were
    /// opened with another one end.
    RenewKey,
    /// Answer the phone's request.
    Answer(Answer),
    /// Begin, or go on with, normal operation: the link to the gateway.
    Operate,
    /// End normal operation.
    Rest,
}

/// A network to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Network {
    /// The one of the stored request, of either kind, with a profile that is gone if the node restarts.
    Requested,
    /// The one in force.
    Known,
}

/// A change of the storage. Each is durable as a whole or not at all.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Change<'b> {
    /// Store the request beside the settings in force. The country that it names holds at once: it
    /// depends on where the node stands, and not on whether the settings work.
    Request(ProvisionRequest<'b>),
    /// Store the command center's answer beside the request.
    Registration(RegisterAnswer<'b>),
    /// Put the request and the answer into force, and remove them from beside. What was in force
    /// before is gone. K2 stays only if it was sent for the request's node id.
    Commit,
    /// Store the request for another network beside the settings in force; its country as above.
    Network(NetworkRequest<'b>),
    /// Put the requested network into force, and remove its request from beside. All other settings
    /// stay.
    CommitNetwork,
    /// Remove the request and the answer; what is in force stays.
    Discard,
    /// Store K2, for this node id.
    K2 {
        /// The node for which the key is meant.
        node_id: &'b str,
        /// The key's own id.
        kid: &'b str,
        /// The key.
        k2: Secret<32>,
        /// The time at which it was made.
        created_at: UnixTime,
    },
    /// Remove everything but K1.
    Erase,
}

/// The answer to a phone's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Answer {
    /// The settings are stored, and the node tries them.
    Accepted,
    /// K2 is stored.
    K2Stored,
    /// Everything but K1 is removed.
    Erased,
    /// K2 is refused, because it is none.
    NoK2(NoK2),
    /// K2 is refused, because the node is provisioned.
    AlreadyProvisioned,
    /// Another network is refused, because the node is not provisioned.
    NotProvisioned,
    /// A run is under way.
    Busy,
    /// The setup window is closed.
    WindowClosed,
    /// The storage took nothing.
    NotStored,
}
