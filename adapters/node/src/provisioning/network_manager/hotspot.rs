//! The access point of the node.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::flow::provisioning::radio::DeviceState;
use zbus::wire::{OwnedObjectPath, Variant};

use super::attempt::{Begun, add_and_activate};
use super::bus::Interface;
use super::device::{Device, Unusable};
use super::profile::{self, Addresses};
use crate::provisioning::radio::{ACCESS_POINT_ADDRESS, WifiCredentials};
use crate::provisioning::responder::PhoneResponder;

/// Limit for the start.
const START_WITHIN: Duration = Duration::from_secs(45);
/// Limit for the end, after which the radio scans and joins again.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// `NM_ACTIVE_CONNECTION_STATE_ACTIVATED`.
const ACTIVATED: u32 = 2;

/// An access point that runs.
pub(super) struct NodeAccessPoint {
    device: Device,
    ssid: String,
    active: OwnedObjectPath,
    /// End with the access point.
    _names: Names,
}

impl NodeAccessPoint {
    /// Starts an access point, which ends with this process. `dnsmasq` is the directory of the
    /// configuration that NetworkManager gives dnsmasq, where that is installed.
    pub(super) async fn start(
        device: &Device,
        network: &WifiCredentials,
        dnsmasq: Option<&Path>,
    ) -> Result<Self, Unusable> {
        device.check_access_point().await?;
        let catch_all = dnsmasq.and_then(CatchAll::write);
        // A dnsmasq that does not lead phones to the page is used only where the node may not.
        let addresses = match (dnsmasq, &catch_all) {
            (Some(_), Some(_)) => Addresses::Shared,
            (Some(_), None) if !PhoneResponder::is_allowed().await => Addresses::Shared,
            (Some(_) | None, _) => Addresses::Own,
        };
        tracing::info!(
            "phones get their addresses from {}",
            match addresses {
                Addresses::Shared => "dnsmasq",
                Addresses::Own => "the node itself",
            }
        );
        let profile =
            profile::access_point(network, &device.interface, ACCESS_POINT_ADDRESS, addresses);
        // NetworkManager ends the access point when this process leaves the bus.
        let options = HashMap::from([
            ("persist", Variant::from("volatile")),
            ("bind-activation", Variant::from("dbus-client")),
        ]);
        let states = device.states().await?;
        let ((_, active), from) = add_and_activate(device, &profile, options).await?;
        let begun = Begun::new(states, from);
        let late = Err(Unusable::NotStarted(format!("not within {} s", START_WITHIN.as_secs())));
        let started = tokio::time::timeout(START_WITHIN, begun.activated()).await.unwrap_or(late);
        let hotspot = Self {
            device: device.clone(),
            ssid: network.ssid.clone(),
            active,
            _names: Names::Dnsmasq { _catch_all: catch_all },
        };
        let answers = match (started, addresses) {
            (Ok(()), Addresses::Shared) => return Ok(hotspot),
            (Ok(()), Addresses::Own) => {
                // NetworkManager has given the interface its address.
                PhoneResponder::start(&device.interface, ACCESS_POINT_ADDRESS)
                    .await
                    .map_err(Unusable::NoAddresses)
            }
            (Err(why), Addresses::Shared | Addresses::Own) => Err(why),
        };
        match answers {
            Ok(responder) => Ok(Self { _names: Names::Own { _responder: responder }, ..hotspot }),
            Err(why) => {
                hotspot.device.deactivate(&hotspot.active).await;
                Err(why)
            }
        }
    }

    /// Returns `true` if this access point still runs.
    pub(super) async fn runs(&self) -> bool {
        let state =
            self.device.bus.get::<u32>(self.active.as_str(), Interface::Active, "State").await;
        state.is_ok_and(|state| state == ACTIVATED)
    }

    /// Returns the name of the network.
    pub(super) fn ssid(&self) -> &str {
        &self.ssid
    }

    /// Stops the access point, and waits until the radio is free.
    pub(super) async fn stop(self) {
        let Ok(mut states) = self.device.states().await else { return };
        self.device.deactivate(&self.active).await;
        let free = async {
            if matches!(self.device.state().await, Ok(DeviceState::Disconnected)) {
                return;
            }
            while let Some(change) = states.next().await {
                if change.state == DeviceState::Disconnected {
                    return;
                }
            }
        };
        if tokio::time::timeout(STOP_WITHIN, free).await.is_err() {
            tracing::debug!("the radio is not free after the access point");
        }
    }
}

/// What gives phones addresses and names.
enum Names {
    Dnsmasq { _catch_all: Option<CatchAll> },
    Own { _responder: PhoneResponder },
}

/// The configuration by which dnsmasq answers every name with the node's address, so that a phone
/// opens the node's page by itself.
struct CatchAll(PathBuf);

impl CatchAll {
    fn write(directory: &Path) -> Option<Self> {
        let path = directory.join("handfast-node.conf");
        let text = format!("address=/#/{ACCESS_POINT_ADDRESS}\n");
        let written = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, text));
        match written {
            Ok(()) => Some(Self(path)),
            Err(why) => {
                tracing::warn!(
                    "{} cannot be written: {why}; phones open the node's page by themselves only if \
                     the node may write this file or use the ports 53 and 67 (CAP_NET_BIND_SERVICE)",
                    path.display()
                );
                None
            }
        }
    }
}

impl Drop for CatchAll {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_file(&self.0) {
            tracing::warn!("{} cannot be removed: {why}; remove it", self.0.display());
        }
    }
}
