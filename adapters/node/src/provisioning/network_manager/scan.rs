//! Scans.

use std::collections::HashMap;
use std::time::Duration;

use zbus::Error;
use zbus::wire::{OwnedObjectPath, Variant};

use super::access_points;
use super::bus::Interface;
use super::device::Device;
use crate::provisioning::radio::WifiNetwork;

/// Limit for a scan of all channels.
const SCAN_WITHIN: Duration = Duration::from_secs(12);
/// Access points that are read, so that a crowded place keeps no phone waiting.
const MOST: usize = 128;

/// Scans, and lists the access points in reach. `hidden` is asked for by its name.
pub(super) async fn scan(device: &Device, hidden: Option<&str>) -> Result<Vec<WifiNetwork>, Error> {
    let mut scans = device.bus.scans(&device.path).await?;
    let mut options = HashMap::new();
    if let Some(ssid) = hidden {
        options.insert("ssids", Variant::from(vec![ssid.as_bytes().to_vec()]));
    }
    let path = device.path.as_str();
    match device.bus.call::<()>(path, Interface::Wireless, "RequestScan", &options).await {
        // A scan that takes too long still leaves the list of the one before.
        Ok(()) => drop(tokio::time::timeout(SCAN_WITHIN, scans.ended()).await),
        // So it is right after another scan, and while the access point runs.
        Err(why) => tracing::debug!("no scan now: {why}"),
    }
    let (paths,): (Vec<OwnedObjectPath>,) =
        device.bus.call(path, Interface::Wireless, "GetAllAccessPoints", &()).await?;
    let mut found = Vec::new();
    for path in paths.into_iter().take(MOST) {
        // An access point can vanish meanwhile.
        if let Ok(properties) = device.bus.get_all(path.as_str(), Interface::AccessPoint).await {
            found.extend(access_points::read(properties));
        }
    }
    Ok(found)
}
