//! A node as the operator's API shows it.

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::identity::seen::SeenHash;
use handfast_core::registry::record::{AskMethod, Credential, Mode, Record, Standing};
use handfast_store::{LinkedFrom, StoredCounter};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::caller::made_by;
use super::time::Time;
use crate::gateway::operator_types::Device;

/// A node of the registry.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// Id of the node.
    pub node_id: String,
    /// The node's name for people.
    pub friendly_name: String,
    /// The room where the node stands.
    pub room: String,
    /// The address that the request came from.
    pub ip_address: String,
    /// The flow that paired the node: `provisioning`, or else `native` if it has keys and `missy` if
    /// it has none.
    #[serde(default)]
    pub flow: String,
    /// The name by which a provisioned node registered; only where one node is shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub registered_as: Option<String>,
    /// Fingerprint of the static key, for comparison; only for a node with keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// What the node asked for when it was decided about, and how.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asks: Option<AsksView>,
    /// Scopes that a paired node has asked for beyond what it may have, until the operator decides
    /// about its permissions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub asks_more: Vec<String>,
    /// Hash of what an approval decides about; an approval that names it is refused if the node asks
    /// for something else by then. Only while the node waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seen: Option<String>,
    /// The two links that put the node into quarantine; only while it is in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quarantine: Option<QuarantineView>,
    /// The nodes that had this one's place before it, the latest first; only where one node is shown.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub replaces: Vec<ReplacementView>,
    /// The node that took this one's place; only where one node is shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replaced_by: Option<ReplacementView>,
    /// `pending` (until `expires_at`), `unapproved`, `paired`, `muted` or `revoked`.
    pub standing: String,
    /// `full`, `safe-chat` or `muted`; absent before pairing and after revocation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_mode: Option<String>,
    /// The mode that unmuting restores; only while muted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restores: Option<String>,
    /// `rejected`, `barred` or `unpaired`; only after revocation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// End of the time in which the newest token must be confirmed or used; only while it is being
    /// delivered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undelivered_until: Option<Time>,
    /// Number of recent rejections of the key; only for a rejected request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rejected_times: Option<u8>,
    /// Earliest time of a new request; only for a request that was rejected, but not barred.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub may_ask_at: Option<Time>,
    /// Number of requests, each over a connection of its own; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_times: Option<u32>,
    /// Number of changes to the record; an approval may name the version that was shown.
    #[serde(default)]
    pub version: u64,
    /// `online` while its link is open, else `offline`.
    pub status: String,
    /// Name of the gateway that has its link; only if several gateways share the registry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub linked_at: Option<String>,
    /// The approver, if the node is paired with a token: `operator`, or `session ID`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approved_by: Option<String>,
    /// Time of the request.
    pub asked_at: Time,
    /// End of the request's life; only while pending.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Time>,
    /// Time of the record's last change.
    pub changed_at: Time,
    /// Time of the last contact; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_seen: Option<Time>,
    /// Latest readings of the node.
    pub sensor_data: Sensors,
    /// Hardware profile of the node: any JSON.
    #[schema(value_type = serde_json::Value)]
    pub hardware_profile: Box<RawValue>,
}

/// The other node of a replacement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplacementView {
    /// Id of the node.
    pub node_id: String,
    /// Fingerprint of its static key; absent if it has none, or if its record was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// Time of the replacement.
    pub at: Time,
}

/// What a node asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsksView {
    /// `token`, `approval`, `pin`, `code` or `setup`.
    pub method: String,
    /// Scopes as `read:/lights/**`; empty if the node leaves them to the operator.
    pub permissions: Vec<String>,
    /// SHA-256 of the public key of its certificate request; absent if it sent none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate_key: Option<String>,
}

/// The links of two machines that have shown one node's state. Each may be unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineView {
    /// The last link before the alarm.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<LinkedView>,
    /// The link that raised the alarm.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alarm: Option<LinkedView>,
}

/// A link of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkedView {
    /// The address that it came from.
    pub ip_address: String,
    /// Its time.
    pub at: Time,
}

impl From<&StoredCounter> for QuarantineView {
    fn from(counter: &StoredCounter) -> Self {
        let view = |from: LinkedFrom| LinkedView {
            ip_address: from.address.to_string(),
            at: from.at.into(),
        };
        Self { before: counter.linked.map(view), alarm: counter.alarmed.map(view) }
    }
}

/// Latest readings of a node.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Sensors {
    /// Presence of people.
    pub occupancy: Option<bool>,
    /// Noise level in the node's own unit.
    pub noise_level: Option<f64>,
    /// A false activation of the wake word.
    pub wake_word_fp: Option<bool>,
}

/// Returns the word of the flow that paired a node, or would pair it.
const fn flow(record: &Record) -> &'static str {
    match (record.asked.method, &record.keys) {
        (AskMethod::Provisioning, _) => "provisioning",
        (
            AskMethod::Token
            | AskMethod::Approval
            | AskMethod::Pin
            | AskMethod::Code
            | AskMethod::Setup,
            Some(_),
        ) => "native",
        (
            AskMethod::Token
            | AskMethod::Approval
            | AskMethod::Pin
            | AskMethod::Code
            | AskMethod::Setup,
            None,
        ) => "missy",
    }
}

impl From<&Device> for DeviceView {
    fn from(device: &Device) -> Self {
        let Device { entry, online, linked_at } = device;
        let record = &entry.record;
        let mode = |mode: &Mode| Some(mode.as_str().to_owned());
        let (standing, policy_mode, restores, cause, expires_at) = match &record.standing {
            Standing::Pending { expires } => ("pending", None, None, None, Some((*expires).into())),
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
            flow: flow(record).to_owned(),
            registered_as: None,
            fingerprint: record
                .keys
                .as_ref()
                .map(|keys| Fingerprint::of(&keys.channel).to_string()),
            asks: (record.keys.is_some()).then(|| AsksView {
                method: record.asked.method.as_str().to_owned(),
                permissions: record.asked.permissions.as_str().lines().map(str::to_owned).collect(),
                certificate_key: record.asked.csr_key.map(|key| key.to_string()),
            }),
            asks_more: match record.standing {
                Standing::Paired { .. } | Standing::Muted { .. } => {
                    entry.asks_more.as_str().lines().map(str::to_owned).collect()
                }
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Revoked { .. } => Vec::new(),
            },
            seen: matches!(record.standing, Standing::Pending { .. })
                .then(|| SeenHash::of(record).to_string()),
            quarantine: None,
            replaces: Vec::new(),
            replaced_by: None,
            standing: standing.to_owned(),
            policy_mode,
            restores,
            cause,
            undelivered_until: record
                .standing
                .undelivered()
                .map(|undelivered| undelivered.ticket.until.into()),
            rejected_times: entry.rejection.map(|rejection| rejection.times),
            may_ask_at: entry.rejection.and_then(|rejection| rejection.until).map(Time::from),
            asked_times: entry.asked.map(|asked| asked.times),
            version: entry.version.0,
            status: if *online { "online" } else { "offline" }.to_owned(),
            linked_at: linked_at.clone(),
            approved_by: match record.standing {
                Standing::Paired { credential: Credential::Keys, .. }
                | Standing::Muted { credential: Credential::Keys, .. } => None,
                Standing::Paired { .. } | Standing::Muted { .. } => Some(made_by(entry.maker)),
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Revoked { .. } => None,
            },
            asked_at: record.asked_at.into(),
            expires_at,
            changed_at: entry.changed_at.into(),
            last_seen: entry.observed.map(|o| o.last_seen.into()),
            sensor_data: entry.observed.map_or_else(Sensors::default, |o| Sensors {
                occupancy: o.occupancy,
                noise_level: o.noise_level,
                wake_word_fp: o.wake_word_fp,
            }),
            // The profile was parsed as an object before it was stored; one that is no longer JSON
            // is shown as text instead of being dropped.
            hardware_profile: RawValue::from_string(entry.profile.clone())
                .or_else(|_| serde_json::value::to_raw_value(&entry.profile))
                .unwrap_or_default(),
        }
    }
}
