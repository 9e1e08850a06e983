//! The Wi-Fi device, and whether it can be used.

use handfast_core::flow::provisioning::contract::NoAccessPoint;
use handfast_core::flow::provisioning::radio::{DeviceState, RadioReport};
use zbus::Error;
use zbus::wire::OwnedObjectPath;

use super::bus::{Bus, Interface, MANAGER, States};

/// `NM_DEVICE_TYPE_WIFI`.
const WIFI: u32 = 2;
/// `NM_WIFI_DEVICE_CAP_AP`: the radio can be an access point.
const CAN_BE_ACCESS_POINT: u32 = 0x40;

/// The reason for which the radio cannot be used now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("NetworkManager does not do it: {0}; check that it runs, and what it logs")]
    Failed(#[from] Error),
    #[error("NetworkManager has no Wi-Fi device{0}; check the radio and --wifi-interface")]
    NoDevice(String),
    #[error(
        "NetworkManager does not manage {0}; have it managed (nmcli device set {0} managed on)"
    )]
    Unmanaged(String),
    #[error("the radio {0} cannot be an access point")]
    NoAccessPoint(String),
    #[error("the radio is switched off by a switch of the device")]
    SwitchedOff,
    #[error("the radio is blocked; set its country, or switch Wi-Fi on")]
    Blocked,
    #[error(
        "the node cannot give phones addresses: {0}; install dnsmasq, or let the node use the ports \
         53 and 67 (CAP_NET_BIND_SERVICE)"
    )]
    NoAddresses(std::io::Error),
    #[error("the access point did not start ({0})")]
    NotStarted(String),
}

impl Unusable {
    pub(super) const fn report(&self) -> RadioReport {
        match self.access_point() {
            NoAccessPoint::Blocked => RadioReport::Blocked,
            NoAccessPoint::Refused | NoAccessPoint::NotStarted => RadioReport::Refused,
        }
    }

    pub(super) const fn access_point(&self) -> NoAccessPoint {
        match self {
            Self::Blocked => NoAccessPoint::Blocked,
            Self::NotStarted(_) => NoAccessPoint::NotStarted,
            Self::Failed(_)
            | Self::NoDevice(_)
            | Self::Unmanaged(_)
            | Self::NoAccessPoint(_)
            | Self::SwitchedOff
            | Self::NoAddresses(_) => NoAccessPoint::Refused,
        }
    }
}

/// The Wi-Fi device.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) bus: Bus,
    pub(super) path: OwnedObjectPath,
    /// The name of its interface.
    pub(super) interface: String,
}

impl Device {
    /// Finds the first Wi-Fi device, or the one of this interface.
    pub(super) async fn find(bus: Bus, wanted: Option<&str>) -> Result<Self, Unusable> {
        let (devices,): (Vec<OwnedObjectPath>,) =
            bus.call(MANAGER, Interface::Manager, "GetDevices", &()).await?;
        for path in devices {
            let kind = bus.get::<u32>(path.as_str(), Interface::Device, "DeviceType").await;
            let interface = bus.get::<String>(path.as_str(), Interface::Device, "Interface").await;
            // A device can vanish meanwhile.
            if let (Ok(WIFI), Ok(interface)) = (kind, interface)
                && wanted.is_none_or(|wanted| wanted == interface)
            {
                return Ok(Self { bus, path, interface });
            }
        }
        let named = wanted.map(|wanted| format!(" named {wanted}"));
        Err(Unusable::NoDevice(named.unwrap_or_default()))
    }

    /// Checks that the radio may send.
    ///
    /// # Errors
    /// [`Unusable::Blocked`] if software blocks it: so it is on boards whose country is not set.
    pub(super) async fn check(&self) -> Result<(), Unusable> {
        let get = |name| self.bus.get::<bool>(MANAGER, Interface::Manager, name);
        if !get("WirelessHardwareEnabled").await? {
            return Err(Unusable::SwitchedOff);
        }
        if !get("WirelessEnabled").await? {
            return Err(Unusable::Blocked);
        }
        if !self.get::<bool>(Interface::Device, "Managed").await? {
            return Err(Unusable::Unmanaged(self.interface.clone()));
        }
        Ok(())
    }

    /// Ends a block of the radio by software.
    pub(super) async fn unblock(&self) -> Result<(), Error> {
        self.bus.set(MANAGER, Interface::Manager, "WirelessEnabled", true).await
    }

    /// Checks that the radio can be an access point.
    pub(super) async fn check_access_point(&self) -> Result<(), Unusable> {
        let capabilities: u32 = self.get(Interface::Wireless, "WirelessCapabilities").await?;
        if capabilities & CAN_BE_ACCESS_POINT == 0 {
            return Err(Unusable::NoAccessPoint(self.interface.clone()));
        }
        Ok(())
    }

    pub(super) async fn state(&self) -> Result<DeviceState, Error> {
        self.get(Interface::Device, "State").await.map(DeviceState::from_number)
    }

    /// Returns the connection that is active on the device, or [`NONE`](super::bus::NONE).
    pub(super) async fn active(&self) -> Result<OwnedObjectPath, Error> {
        self.get(Interface::Device, "ActiveConnection").await
    }

    pub(super) async fn get<T>(&self, interface: Interface, property: &str) -> Result<T, Error>
    where
        T: TryFrom<zbus::wire::OwnedVariant, Error = Error>,
    {
        self.bus.get(self.path.as_str(), interface, property).await
    }

    pub(super) async fn states(&self) -> Result<States, Error> {
        self.bus.states(&self.path).await
    }

    /// Ends an active connection; one that has ended by itself is no error.
    pub(super) async fn deactivate(&self, active: &OwnedObjectPath) {
        let ended =
            self.bus.call::<()>(MANAGER, Interface::Manager, "DeactivateConnection", active);
        if let Err(why) = ended.await {
            tracing::debug!("the connection had ended: {why}");
        }
    }
}
