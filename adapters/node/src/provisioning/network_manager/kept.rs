//! The profiles of this node that NetworkManager keeps.

use std::collections::HashMap;

use zbus::Error;
use zbus::wire::{OwnedObjectPath, Variant};

use super::bus::{Bus, Interface, Properties, SETTINGS};
use super::profile::{NETWORK_PREFIX, Profile};

/// `NM_SETTINGS_UPDATE2_FLAG_TO_DISK`.
const TO_DISK: u32 = 0x1;

/// A profile that NetworkManager keeps.
pub(super) struct KeptProfile {
    pub(super) path: OwnedObjectPath,
    pub(super) uuid: String,
    pub(super) ssid: String,
}

/// Lists the profiles of networks that this node has made.
pub(super) async fn list(bus: &Bus) -> Result<Vec<KeptProfile>, Error> {
    let (paths,): (Vec<OwnedObjectPath>,) =
        bus.call(SETTINGS, Interface::Settings, "ListConnections", &()).await?;
    let mut kept = Vec::new();
    for path in paths {
        // A profile can vanish meanwhile.
        if let Ok((id, uuid)) = name(bus, &path).await
            && let Some(ssid) = id.strip_prefix(NETWORK_PREFIX)
        {
            kept.push(KeptProfile { path, uuid, ssid: ssid.to_owned() });
        }
    }
    Ok(kept)
}

/// Reads the name and the unique id of a profile.
async fn name(bus: &Bus, profile: &OwnedObjectPath) -> Result<(String, String), Error> {
    let (mut settings,): (HashMap<String, Properties>,) =
        bus.call(profile.as_str(), Interface::Profile, "GetSettings", &()).await?;
    let mut connection = settings.remove("connection").unwrap_or_default();
    let mut text = |name| match connection.remove(name) {
        Some(value) => String::try_from(value),
        None => Err(Error::MissingParameter("connection")),
    };
    Ok((text("id")?, text("uuid")?))
}

/// Reads the unique id of a profile.
pub(super) async fn uuid(bus: &Bus, profile: &OwnedObjectPath) -> Result<String, Error> {
    name(bus, profile).await.map(|(_, uuid)| uuid)
}

/// Writes a profile to the disk.
pub(super) async fn save(
    bus: &Bus,
    path: &OwnedObjectPath,
    profile: &Profile<'_>,
) -> Result<(), Error> {
    let options = HashMap::<&str, Variant<'_>>::new();
    let body = (profile, TO_DISK, options);
    let _: (Properties,) = bus.call(path.as_str(), Interface::Profile, "Update2", &body).await?;
    Ok(())
}

/// Removes a profile; one that is gone already is no error.
pub(super) async fn remove(bus: &Bus, path: &OwnedObjectPath) {
    let removed = bus.call::<()>(path.as_str(), Interface::Profile, "Delete", &()).await;
    if let Err(why) = removed {
        tracing::debug!("the profile had gone: {why}");
    }
}

/// Removes the profiles of all networks but one.
pub(super) async fn remove_all_but(
    bus: &Bus,
    stays: Option<&OwnedObjectPath>,
) -> Result<(), Error> {
    for profile in list(bus).await? {
        if Some(&profile.path) != stays {
            remove(bus, &profile.path).await;
        }
    }
    Ok(())
}
