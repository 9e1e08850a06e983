//! Attempts to join a network, and the network that one has joined.

use std::collections::HashMap;

use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport, Reason, Seen};
use zbus::Error;
use zbus::message::Sequence;
use zbus::wire::{OwnedObjectPath, Variant};

use super::bus::{Interface, MANAGER, NONE, Properties, States};
use super::device::{Device, Unusable};
use super::kept::{self, KeptProfile};
use super::profile;
use crate::provisioning::radio::{RadioReports, WifiCredentials};

/// A network that NetworkManager was told to join.
pub(super) struct NetworkAttempt {
    device: Device,
    network: WifiCredentials,
    seen: Option<Seen>,
    known: bool,
    profile: OwnedObjectPath,
    active: OwnedObjectPath,
    /// `None` until the network is joined.
    joined: Option<States>,
}

impl NetworkAttempt {
    /// Returns the known network if the device is in it already, as after a restart of the node.
    pub(super) async fn standing(
        device: &Device,
        network: &WifiCredentials,
    ) -> Result<Option<Self>, Error> {
        // The subscription comes first, so that no loss falls between.
        let states = device.states().await?;
        let active = device.active().await?;
        if active.as_str() == NONE || device.state().await? != DeviceState::Activated {
            return Ok(None);
        }
        let profile: OwnedObjectPath =
            device.bus.get(active.as_str(), Interface::Active, "Connection").await?;
        let ours = kept_profile(device, &network.ssid).await?;
        if ours.is_none_or(|ours| ours.path != profile) {
            return Ok(None);
        }
        Ok(Some(Self {
            device: device.clone(),
            network: network.clone(),
            seen: None,
            known: true,
            profile,
            active,
            joined: Some(states),
        }))
    }

    /// Tells NetworkManager to join, with a profile that is gone when the network is left, unless
    /// the network is known. Returns the states from then on.
    pub(super) async fn begin(
        device: &Device,
        network: &WifiCredentials,
        seen: Option<Seen>,
        known: bool,
    ) -> Result<(Self, Begun), Error> {
        let states = device.states().await?;
        let kept = if known { kept_profile(device, &network.ssid).await? } else { None };
        let ((profile, active), from) = match kept {
            Some(kept) => activate(device, network, seen, kept).await?,
            None => add(device, network, seen, known).await?,
        };
        let attempt = Self {
            device: device.clone(),
            network: network.clone(),
            seen,
            known,
            profile,
            active,
            joined: None,
        };
        Ok((attempt, Begun { states, from }))
    }

    /// Keeps the states that come after the network was joined.
    pub(super) fn joined(&mut self, states: States) {
        self.joined = Some(states);
    }

    /// Waits until the joined network is lost.
    pub(super) async fn lost(&mut self) -> RadioReport {
        let Some(states) = &mut self.joined else { return std::future::pending().await };
        while let Some(change) = states.next().await {
            if change.state != DeviceState::Activated {
                self.joined = None;
                return RadioReport::Changed { state: change.state, reason: change.reason };
            }
        }
        self.joined = None;
        RadioReport::Refused
    }

    /// Writes the profile to the disk, and removes those of other networks.
    pub(super) async fn keep(&self) -> Result<(), Error> {
        let bus = &self.device.bus;
        let uuid = kept::uuid(bus, &self.profile).await?;
        let interface = &self.device.interface;
        let profile = profile::network(&self.network, self.seen, interface, Some(&uuid), true);
        kept::save(bus, &self.profile, &profile).await?;
        kept::remove_all_but(bus, Some(&self.profile)).await
    }

    /// Leaves the network, and removes its profile unless the network is known.
    pub(super) async fn end(self) {
        self.device.deactivate(&self.active).await;
        if !self.known {
            kept::remove(&self.device.bus, &self.profile).await;
        }
    }
}

/// The states of an attempt that has begun.
pub(super) struct Begun {
    states: States,
    /// Where the stream of messages was when it began. What came before concerns another connection.
    from: Sequence,
}

impl Begun {
    pub(super) const fn new(states: States, from: Sequence) -> Self {
        Self { states, from }
    }

    /// Reports until the network is joined, and then returns the states that follow; `None` if the
    /// attempt has failed.
    pub(super) async fn follow(mut self, reports: &RadioReports) -> Option<States> {
        while let Some(change) = self.states.next().await {
            if !change.is_after(self.from) {
                continue;
            }
            let (state, reason) = (change.state, change.reason);
            let _ = reports.send(RadioReport::Changed { state, reason });
            match state {
                DeviceState::Activated => return Some(self.states),
                DeviceState::Failed => return None,
                DeviceState::Disconnected
                | DeviceState::Prepare
                | DeviceState::Config
                | DeviceState::NeedAuth
                | DeviceState::IpConfig
                | DeviceState::IpCheck
                | DeviceState::Secondaries
                | DeviceState::Deactivating => {}
            }
        }
        let _ = reports.send(RadioReport::Refused);
        None
    }

    /// Waits until the device is active.
    ///
    /// # Errors
    /// [`Unusable::NotStarted`] with the reason if it has failed.
    pub(super) async fn activated(mut self) -> Result<(), Unusable> {
        while let Some(change) = self.states.next().await {
            match change.state {
                DeviceState::Activated if change.is_after(self.from) => return Ok(()),
                DeviceState::Failed if change.is_after(self.from) => {
                    return Err(Unusable::NotStarted(reason(change.reason)));
                }
                DeviceState::Activated
                | DeviceState::Failed
                | DeviceState::Disconnected
                | DeviceState::Prepare
                | DeviceState::Config
                | DeviceState::NeedAuth
                | DeviceState::IpConfig
                | DeviceState::IpCheck
                | DeviceState::Secondaries
                | DeviceState::Deactivating => {}
            }
        }
        Err(Unusable::NotStarted("the bus is gone".to_owned()))
    }
}

fn reason(reason: Reason) -> String {
    match reason {
        Reason::Other(number) => format!("reason {number}"),
        Reason::NoAddress
        | Reason::NoSecrets
        | Reason::SupplicantDisconnect
        | Reason::SupplicantConfig
        | Reason::SupplicantFailed
        | Reason::SupplicantTimeout
        | Reason::SsidNotFound => format!("{reason:?}"),
    }
}

async fn kept_profile(device: &Device, ssid: &str) -> Result<Option<KeptProfile>, Error> {
    Ok(kept::list(&device.bus).await?.into_iter().find(|kept| kept.ssid == ssid))
}

type Activated = ((OwnedObjectPath, OwnedObjectPath), Sequence);

/// Activates a kept profile, which gets the passphrase that is in force.
async fn activate(
    device: &Device,
    network: &WifiCredentials,
    seen: Option<Seen>,
    kept: KeptProfile,
) -> Result<Activated, Error> {
    let profile = profile::network(network, seen, &device.interface, Some(&kept.uuid), true);
    kept::save(&device.bus, &kept.path, &profile).await?;
    let body = (&kept.path, &device.path, none());
    let ((active,), from): ((OwnedObjectPath,), _) =
        device.bus.call_in_order(MANAGER, Interface::Manager, "ActivateConnection", &body).await?;
    Ok(((kept.path, active), from))
}

async fn add(
    device: &Device,
    network: &WifiCredentials,
    seen: Option<Seen>,
    known: bool,
) -> Result<Activated, Error> {
    let profile = profile::network(network, seen, &device.interface, None, known);
    let persist = if known { "disk" } else { "volatile" };
    let options = HashMap::from([("persist", Variant::from(persist))]);
    add_and_activate(device, &profile, options).await
}

/// Adds a profile and activates it on the device. Returns the profile and the active connection.
pub(super) async fn add_and_activate(
    device: &Device,
    profile: &profile::Profile<'_>,
    options: HashMap<&str, Variant<'_>>,
) -> Result<Activated, Error> {
    let body = (profile, &device.path, none(), options);
    let ((profile, active, _), from): ((OwnedObjectPath, OwnedObjectPath, Properties), _) = device
        .bus
        .call_in_order(MANAGER, Interface::Manager, "AddAndActivateConnection2", &body)
        .await?;
    Ok(((profile, active), from))
}

/// Returns the path that stands for no object.
fn none() -> zbus::wire::ObjectPath<'static> {
    zbus::wire::ObjectPath::from_static_str_unchecked(NONE)
}
