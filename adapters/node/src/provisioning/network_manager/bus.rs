//! The calls to NetworkManager over D-Bus. They are few, so they are made by name.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use handfast_core::flow::provisioning::radio::{DeviceState, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::connection::Builder;
use zbus::message::Sequence;
use zbus::wire::{DynamicType, OwnedObjectPath, OwnedVariant, Type, Variant};
use zbus::{Connection, Error, MatchRule, Message, MessageStream};

const SERVICE: &str = "org.freedesktop.NetworkManager";
/// The object of the manager itself.
pub(super) const MANAGER: &str = "/org/freedesktop/NetworkManager";
/// The object that holds the profiles.
pub(super) const SETTINGS: &str = "/org/freedesktop/NetworkManager/Settings";
/// The path that stands for no object.
pub(super) const NONE: &str = "/";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Limit for an answer. Adding a profile writes to the disk, and a scan only begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// The properties of an object.
pub(super) type Properties = HashMap<String, OwnedVariant>;

/// An interface of NetworkManager, by the end of its name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interface {
    Manager,
    Settings,
    Profile,
    Device,
    Wireless,
    AccessPoint,
    Active,
    Checkpoint,
}

impl Interface {
    const fn name(self) -> &'static str {
        match self {
            Self::Manager => "org.freedesktop.NetworkManager",
            Self::Settings => "org.freedesktop.NetworkManager.Settings",
            Self::Profile => "org.freedesktop.NetworkManager.Settings.Connection",
            Self::Device => "org.freedesktop.NetworkManager.Device",
            Self::Wireless => "org.freedesktop.NetworkManager.Device.Wireless",
            Self::AccessPoint => "org.freedesktop.NetworkManager.AccessPoint",
            Self::Active => "org.freedesktop.NetworkManager.Connection.Active",
            Self::Checkpoint => "org.freedesktop.NetworkManager.Checkpoint",
        }
    }
}

/// A connection to the bus on which NetworkManager is.
#[derive(Clone, Debug)]
pub(super) struct Bus(Connection);

impl Bus {
    /// Connects to the bus at this address, or to the system's.
    pub(super) async fn connect(address: Option<&str>) -> Result<Self, Error> {
        let builder = address.map_or_else(Builder::system, Builder::address);
        builder.method_timeout(ANSWER_WITHIN).build().await.map(Self)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(super) async fn call<T: DeserializeOwned + Type>(
        &self,
        object: &str,
        interface: Interface,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<T, Error> {
        self.send(object, interface.name(), method, body)
            .await?
            .body()
            .deserialize_ignore_signature()
    }

    /// Makes a call, and tells where in the stream of messages its answer stands.
    pub(super) async fn call_in_order<T: DeserializeOwned + Type>(
        &self,
        object: &str,
        interface: Interface,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<(T, Sequence), Error> {
        let answer = self.send(object, interface.name(), method, body).await?;
        Ok((answer.body().deserialize_ignore_signature()?, answer.recv_position()))
    }

    pub(super) async fn get<T>(
        &self,
        object: &str,
        interface: Interface,
        property: &str,
    ) -> Result<T, Error>
    where
        T: TryFrom<OwnedVariant, Error = Error>,
    {
        let body = (interface.name(), property);
        let answer = self.send(object, PROPERTIES, "Get", &body).await?;
        let (value,): (OwnedVariant,) = answer.body().deserialize_ignore_signature()?;
        T::try_from(value)
    }

    pub(super) async fn set(
        &self,
        object: &str,
        interface: Interface,
        property: &str,
        value: bool,
    ) -> Result<(), Error> {
        let body = (interface.name(), property, Variant::from(value));
        self.send(object, PROPERTIES, "Set", &body).await.map(|_| ())
    }

    pub(super) async fn get_all(
        &self,
        object: &str,
        interface: Interface,
    ) -> Result<Properties, Error> {
        let answer = self.send(object, PROPERTIES, "GetAll", &interface.name()).await?;
        let (properties,) = answer.body().deserialize_ignore_signature()?;
        Ok(properties)
    }

    async fn send(
        &self,
        object: &str,
        interface: &str,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<Message, Error> {
        self.0.call_method(Some(SERVICE), object, Some(interface), method, body).await
    }

    /// Subscribes to the states of a device.
    pub(super) async fn states(&self, device: &OwnedObjectPath) -> Result<States, Error> {
        let stream = self.subscribe(device, Interface::Device.name(), "StateChanged").await?;
        Ok(States(stream))
    }

    /// Subscribes to the ends of a device's scans.
    pub(super) async fn scans(&self, device: &OwnedObjectPath) -> Result<Scans, Error> {
        self.subscribe(device, PROPERTIES, "PropertiesChanged").await.map(Scans)
    }

    async fn subscribe(
        &self,
        object: &OwnedObjectPath,
        interface: &'static str,
        member: &'static str,
    ) -> Result<MessageStream, Error> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(SERVICE)
            .path(object.as_ref())
            .interface(interface)
            .member(member)
            .build()?;
        MessageStream::for_match_rule(rule, &self.0, None).await
    }
}

/// A new state of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateChange {
    pub(super) state: DeviceState,
    pub(super) reason: Reason,
    at: Sequence,
}

impl StateChange {
    /// Returns `true` if this came later than the message there.
    pub(super) fn is_after(&self, position: Sequence) -> bool {
        self.at > position
    }
}

/// The states of a device, from the subscription on.
pub(super) struct States(MessageStream);

impl States {
    /// Waits for the next state; `None` if the bus is gone. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<StateChange> {
        loop {
            let message = self.0.next().await?.ok()?;
            let read = message.body().deserialize_ignore_signature::<(u32, u32, u32)>();
            if let Ok((state, _before, reason)) = read {
                return Some(StateChange {
                    state: DeviceState::from_number(state),
                    reason: Reason::from_number(reason),
                    at: message.recv_position(),
                });
            }
        }
    }
}

/// The ends of a device's scans, from the subscription on.
pub(super) struct Scans(MessageStream);

impl Scans {
    /// Waits for the end of a scan, or of the bus.
    pub(super) async fn ended(&mut self) {
        while let Some(Ok(message)) = self.0.next().await {
            let read = message
                .body()
                .deserialize_ignore_signature::<(String, Properties, Vec<String>)>()
                .is_ok_and(|(_, changed, _)| changed.contains_key("LastScan"));
            if read {
                return;
            }
        }
    }
}
