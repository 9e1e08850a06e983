//! A node as the operator's API shows it.

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::registry::record::{Credential, Mode, Standing};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::caller::made_by;
use crate::gateway::Device;

/// A node. Times are Unix seconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its id.
    pub node_id: String,
    /// What people call it.
    pub friendly_name: String,
    /// Where it stands.
    pub room: String,
    /// From where it asked.
    pub ip_address: String,
    /// Through which door it came: `native` if it has keys, else `missy`.
    #[serde(default)]
    pub door: String,
    /// The fingerprint of its static key, for the operator to compare; only of a node with keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// `pending` (until `expires_at`), `unapproved`, `paired`, `muted` or `revoked`.
    pub standing: String,
    /// `full`, `safe-chat` or `muted`; absent before it is paired and after it is revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_mode: Option<String>,
    /// The mode that unmuting restores; only while muted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restores: Option<String>,
    /// `rejected`, `barred` or `unpaired`; only once revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// Until when its newest token may be confirmed or used, before it counts for good; only while
    /// one is on its way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undelivered_until: Option<u64>,
    /// How often its key was turned down lately; only of a request that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rejected_times: Option<u8>,
    /// When it may ask anew; only of a request that was turned down, and not for good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub may_ask_at: Option<u64>,
    /// How often it was asked for, each time over a connection of its own; absent if it never was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_times: Option<u32>,
    /// Counts the changes of its record; an approval may name the one that was shown.
    #[serde(default)]
    pub version: u64,
    /// `online` while its link is open, else `offline`.
    pub status: String,
    /// Who approved it, if it is paired with a token: `operator`, or `session ID`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approved_by: Option<String>,
    /// When it asked.
    pub asked_at: u64,
    /// When its request expires; only while pending.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<u64>,
    /// When its record last changed.
    pub changed_at: u64,
    /// When it was last there; absent if never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_seen: Option<u64>,
    /// What it told last.
    pub sensor_data: Sensors,
    /// What it is made of.
    pub hardware_profile: Box<RawValue>,
}

/// What a node told last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sensors {
    /// Whether somebody is there.
    pub occupancy: Option<bool>,
    /// How loud it is.
    pub noise_level: Option<f64>,
    /// Whether the wake word fired by mistake.
    pub wake_word_fp: Option<bool>,
}

impl From<&Device> for DeviceView {
    fn from(device: &Device) -> Self {
        let Device { entry, online } = device;
        let record = &entry.record;
        let mode = |mode: &Mode| Some(mode.as_str().to_owned());
        let (standing, policy_mode, restores, cause, expires_at) = match &record.standing {
            Standing::Pending { expires } => ("pending", None, None, None, Some(expires.as_secs())),
            Standing::Unapproved { .. } => ("unapproved", None, None, None, None),
            Standing::Paired { mode: now, .. } => ("paired", mode(now), None, None, None),
            Standing::Muted { restore, .. } => {
                ("muted", Some("muted".to_owned()), mode(restore), None, None)
            }
            Standing::Revoked { cause } => {
                ("revoked", None, None, Some(cause.as_str().to_owned()), None)
            }
        };
        Self {
            node_id: record.node_id.to_string(),
            friendly_name: record.name.to_string(),
            room: record.room.to_string(),
            ip_address: record.address.to_string(),
            door: if record.keys.is_some() { "native" } else { "missy" }.to_owned(),
            fingerprint: record
                .keys
                .as_ref()
                .map(|keys| Fingerprint::of(&keys.channel).to_string()),
            standing: standing.to_owned(),
            policy_mode,
            restores,
            cause,
            undelivered_until: record
                .standing
                .undelivered()
                .map(|undelivered| undelivered.ticket.until.as_secs()),
            rejected_times: entry.rejection.map(|rejection| rejection.times),
            may_ask_at: entry
                .rejection
                .and_then(|rejection| rejection.until)
                .map(handfast_core::time::UnixTime::as_secs),
            asked_times: entry.asked.map(|asked| asked.times),
            version: entry.version.0,
            status: if *online { "online" } else { "offline" }.to_owned(),
            approved_by: match record.standing {
                Standing::Paired { credential: Credential::Keys, .. }
                | Standing::Muted { credential: Credential::Keys, .. } => None,
                Standing::Paired { .. } | Standing::Muted { .. } => Some(made_by(entry.maker)),
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Revoked { .. } => None,
            },
            asked_at: record.asked_at.as_secs(),
            expires_at,
            changed_at: entry.changed_at.as_secs(),
            last_seen: entry.observed.map(|o| o.last_seen.as_secs()),
            sensor_data: entry.observed.map_or_else(Sensors::default, |o| Sensors {
                occupancy: o.occupancy,
                noise_level: o.noise_level,
                wake_word_fp: o.wake_word_fp,
            }),
            // It was parsed as an object before it was stored; what is not JSON any more is shown
            // as text, not dropped.
            hardware_profile: RawValue::from_string(entry.profile.clone())
                .or_else(|_| serde_json::value::to_raw_value(&entry.profile))
                .unwrap_or_default(),
        }
    }
}
