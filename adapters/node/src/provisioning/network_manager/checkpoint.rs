//! NetworkManager's checkpoint: unless it is destroyed, everything that was changed after it is
//! undone, also if this process dies.

use std::time::Duration;

use tokio::task::JoinHandle;
use zbus::Error;
use zbus::wire::OwnedObjectPath;

use super::bus::{Bus, Interface, MANAGER};
use super::device::Device;

/// Seconds after which NetworkManager rolls back by itself.
const TIMEOUT: u32 = 120;
/// Time between two extensions while an attempt goes on.
const EXTEND_EVERY: Duration = Duration::from_secs(40);
/// `NM_CHECKPOINT_CREATE_FLAG_DELETE_NEW_CONNECTIONS`. Disconnecting new devices is refused for a
/// checkpoint of one device.
const FLAGS: u32 = 0x2;

/// A checkpoint, which is extended until it is dropped.
pub(super) struct Checkpoint {
    bus: Bus,
    path: OwnedObjectPath,
    extending: JoinHandle<()>,
}

impl Checkpoint {
    /// Creates a checkpoint of this device. One that a process before this one has left is rolled
    /// back first, as it would be a little later.
    pub(super) async fn create(device: &Device) -> Result<Self, Error> {
        let bus = device.bus.clone();
        let created = match create(device).await {
            Err(why) => {
                if !roll_back_leftovers(device).await? {
                    return Err(why);
                }
                create(device).await
            }
            created => created,
        };
        let path = created?;
        let extending = tokio::spawn(extend(bus.clone(), path.clone()));
        Ok(Self { bus, path, extending })
    }

    /// Destroys the checkpoint: what was changed stays.
    pub(super) async fn destroy(self) -> Result<(), Error> {
        self.bus.call(MANAGER, Interface::Manager, "CheckpointDestroy", &self.path).await
    }

    /// Undoes what was changed.
    pub(super) async fn roll_back(self) -> Result<(), Error> {
        roll_back(&self.bus, &self.path).await
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        self.extending.abort();
    }
}

async fn create(device: &Device) -> Result<OwnedObjectPath, Error> {
    let body = (vec![&device.path], TIMEOUT, FLAGS);
    let created: (OwnedObjectPath,) =
        device.bus.call(MANAGER, Interface::Manager, "CheckpointCreate", &body).await?;
    Ok(created.0)
}

async fn roll_back(bus: &Bus, path: &OwnedObjectPath) -> Result<(), Error> {
    let (devices,): (std::collections::HashMap<String, u32>,) =
        bus.call(MANAGER, Interface::Manager, "CheckpointRollback", path).await?;
    for (device, result) in devices.into_iter().filter(|(_, result)| *result != 0) {
        tracing::warn!("NetworkManager could not roll back {device} (result {result})");
    }
    Ok(())
}

/// Rolls back the checkpoints of this device alone; `false` if there is none.
async fn roll_back_leftovers(device: &Device) -> Result<bool, Error> {
    let all: Vec<OwnedObjectPath> =
        device.bus.get(MANAGER, Interface::Manager, "Checkpoints").await?;
    let mut found = false;
    for path in all {
        let devices: Vec<OwnedObjectPath> =
            device.bus.get(path.as_str(), Interface::Checkpoint, "Devices").await?;
        if devices == [device.path.clone()] {
            tracing::warn!("rolling back an attempt that was cut off");
            roll_back(&device.bus, &path).await?;
            found = true;
        }
    }
    Ok(found)
}

async fn extend(bus: Bus, path: OwnedObjectPath) {
    loop {
        tokio::time::sleep(EXTEND_EVERY).await;
        let body = (&path, TIMEOUT);
        let extended = bus
            .call::<()>(MANAGER, Interface::Manager, "CheckpointAdjustRollbackTimeout", &body)
            .await;
        if let Err(why) = extended {
            tracing::warn!("NetworkManager does not extend its checkpoint: {why}");
            return;
        }
    }
}
