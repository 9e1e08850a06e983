//! Import of a registry of nodes from `devices.json`: an array of records.
//!
//! Each record is read by itself, so that a damaged one affects no other. A node becomes paired
//! only if it was paired there, with the hash of its token.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::{Limits, PROFILE_BYTES};
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::{Label, Name, NodeId, Source, UnixTime};
use handfast_store::Observation;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::loose_json::{decoded, without_mark, without_numbers_that_are_none, without_space};
use super::report::{FileReport, Named, TableReport};
use super::target::{ImportTarget, each};
use super::{END_OF_TIME, clipped};
use crate::End;
use crate::print::quoted;

/// Maximum size of a file in bytes.
const FILE_BYTES: u64 = 64 << 20;
/// Number of nodes that are written at once.
const AT_ONCE: usize = 256;

/// Maximum number of records.
const RECORDS: usize = 1_000_000;

/// The records of a file, as raw JSON.
struct Records<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Records<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Self::Value, A::Error> {
                let mut read = Vec::new();
                while let Some(record) = records.next_element()? {
                    if read.len() == RECORDS {
                        return Err(A::Error::custom(format_args!(
                            "it has more than {RECORDS} records"
                        )));
                    }
                    read.push(record);
                }
                Ok(read)
            }
        }

        deserializer.deserialize_seq(Each).map(Self)
    }
}

/// A record that is ready for the registry.
#[derive(Debug)]
struct ImportedNode {
    record: Record,
    profile: String,
    told: Option<Observation>,
}

/// Imports a file of records. A problem of the file goes into the report.
///
/// # Errors
/// [`End`] if the registry cannot be written.
pub(super) async fn import(
    path: &Path,
    target: &ImportTarget,
    report: &mut FileReport,
) -> Result<(), End> {
    let text = match read(path) {
        Ok(text) => text,
        Err(problem) => {
            report.problem = Some(problem);
            return Ok(());
        }
    };
    let text = without_numbers_that_are_none(&text);
    let Records(records) = match serde_json::from_str(&text) {
        Ok(records) => records,
        Err(error) => {
            report.problem =
                Some(format!("it begins as an array of records does, but cannot be read: {error}"));
            return Ok(());
        }
    };
    report.kind = Some("a registry of nodes");
    let mut part = TableReport::new("nodes", "records");
    let done = write(&records, target, &mut part).await;
    report.parts.push(part);
    done
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES {
        return Err(format!("it is larger than {} MiB", FILE_BYTES >> 20));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes[..] {
        return Ok(decoded(&bytes));
    }
    let text = std::str::from_utf8(without_mark(&bytes));
    text.map(str::to_owned)
        .map_err(|error| format!("it is no UTF-8 from byte {}", error.valid_up_to()))
}

async fn write(
    records: &[&RawValue],
    target: &ImportTarget,
    part: &mut TableReport,
) -> Result<(), End> {
    // Counted first, because every record of a repeated id is refused.
    let mut times: HashMap<NodeId, u32> = HashMap::new();
    for node_id in records.iter().filter_map(|raw| NodeId::parse(&node_id_of(raw.get())?)) {
        *times.entry(node_id).or_default() += 1;
    }
    let mut batch: Vec<(Named, ImportedNode)> = Vec::new();
    for (raw, number) in records.iter().zip(1_u64..) {
        let (about, node) = node(raw.get(), number, target.now);
        let node = match node {
            Ok(node) => node,
            Err(why) => {
                part.refuse(&about.row, why);
                continue;
            }
        };
        if times.get(&node.record.node_id).is_some_and(|times| *times > 1) {
            // The correct one of them cannot be determined.
            part.refuse(
                &about.row,
                "several records have this node_id; leave the right one in the file",
            );
            continue;
        }
        match node.record.standing {
            Standing::Pending { .. } => {
                let (asking, profile) = asking(node);
                let came = target.waiting_node(asking, profile, Limits::DEFAULT).await?;
                part.count(&about, came);
            }
            Standing::Unapproved { .. }
            | Standing::Paired { .. }
            | Standing::Muted { .. }
            | Standing::Revoked { .. } => {
                batch.push((about, node));
            }
        }
        if batch.len() >= AT_ONCE {
            flush(&mut batch, target, part).await?;
        }
    }
    flush(&mut batch, target, part).await
}

async fn flush(
    batch: &mut Vec<(Named, ImportedNode)>,
    target: &ImportTarget,
    part: &mut TableReport,
) -> Result<(), End> {
    let (about, nodes): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
    let came = each(nodes, |ImportedNode { record, profile, told }| {
        target.clone().node(record, profile, told)
    })
    .await?;
    about.iter().zip(came).for_each(|(about, came)| part.count(about, came));
    Ok(())
}

/// Converts a pending record into the request that it once was.
fn asking(ImportedNode { record, profile, .. }: ImportedNode) -> (PendingRequest, String) {
    let source = Source::of(record.address);
    let made_of = Profile::parse(&profile).unwrap_or(Profile::EMPTY);
    let key = RequestKey::of(
        source,
        &PairRequest { name: record.name.label(), room: record.room.label(), profile: made_of },
    );
    // Derived from the id, so that repeated imports count one request once.
    let request =
        record.node_id.as_bytes().iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (PendingRequest { key, source, record, request }, profile)
}

/// Returns the id of a record, even if other fields cannot be read.
fn node_id_of(raw: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct OnlyId {
        node_id: Option<String>,
    }
    serde_json::from_str::<OnlyId>(raw).ok()?.node_id
}

fn node(raw: &str, number: u64, now: UnixTime) -> (Named, Result<ImportedNode, String>) {
    let found = node_id_of(raw);
    let node_id = found.as_deref().and_then(NodeId::parse);
    let mut about = Named::of(
        node_id.map_or_else(|| format!("record {number}"), |node_id| node_id.to_string()),
    );
    let mut read = || {
        let fields: Map<String, Value> = match serde_json::from_str(raw) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("it is no object".to_owned()),
            Err(error) => return Err(format!("it cannot be read: {error}")),
        };
        let node_id = node_id.ok_or_else(|| match &found {
            Some(text) => {
                format!("its node_id {} is no UUID in lower case", quoted(&clipped(text)))
            }
            None => "it has no node_id that is a text".to_owned(),
        })?;
        MissyFields { fields: &fields, raw, now }.node(node_id, &mut about)
    };
    let node = read();
    (about, node)
}

struct MissyFields<'a> {
    fields: &'a Map<String, Value>,
    raw: &'a str,
    now: UnixTime,
}

impl MissyFields<'_> {
    /// Returns a field; `None` if it is missing or null.
    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn node(&self, node_id: NodeId, about: &mut Named) -> Result<ImportedNode, String> {
        let (name, room) = (self.label("friendly_name", about)?, self.label("room", about)?);
        let standing = self.standing(about)?;
        let address = self.address(about);
        let profile = self.profile(about);
        let told = self.told(about);
        // No field that is read has the time of the request; the last contact is the closest.
        let asked_at = told.map_or(self.now, |told| told.last_seen);
        Ok(ImportedNode {
            record: Record {
                node_id,
                name,
                room,
                address,
                keys: None,
                asked_at,
                asked: Asked::by(AskMethod::Token),
                standing,
            },
            profile,
            told,
        })
    }

    /// Reads a label. It is only for people, so one beyond the limits is shortened instead of
    /// refusing its node.
    fn label(&self, field: &str, about: &mut Named) -> Result<Name, String> {
        let text = match self.get(field) {
            None => "",
            Some(Value::String(text)) => text,
            Some(_) => return Err(format!("{field} is no text")),
        };
        if let Some(label) = Label::parse(text) {
            return Ok(label.into());
        }
        let wrong = || {
            format!(
                "{field} {} must have at most 64 characters, none of them invisible",
                quoted(&clipped(text))
            )
        };
        let label = Label::beginning(text).ok_or_else(wrong)?;
        about.change(format!(
            "{field} {} has more than 64 characters or an invisible one; {} stands in for it",
            quoted(&clipped(text)),
            quoted(label.as_str())
        ));
        Ok(label.into())
    }

    fn standing(&self, about: &mut Named) -> Result<Standing, String> {
        let paired = self.paired()?;
        let token = self.token()?;
        let mode = match self.get("policy_mode") {
            Some(Value::String(mode)) if mode == "muted" => None,
            Some(Value::String(mode)) => {
                let unknown = || {
                    format!(
                        "policy_mode {} is none of full, safe-chat and muted",
                        quoted(&clipped(mode))
                    )
                };
                Some(Mode::parse(mode).ok_or_else(unknown)?)
            }
            Some(_) => return Err("policy_mode is no text".to_owned()),
            None => return Err("it has no policy_mode".to_owned()),
        };
        if !paired && mode != Some(Mode::Full) {
            about.change(
                "it is not approved, so its policy_mode is not kept: approving it makes it full",
            );
        }
        Ok(match (paired, token, mode) {
            (true, Some(token), Some(mode)) => {
                Standing::Paired { credential: Credential::Token(token), mode }
            }
            (true, Some(token), None) => {
                about.change(
                    "it is muted; nothing says what it was before, so unmuting makes it safe-chat",
                );
                Standing::Muted { credential: Credential::Token(token), restore: Mode::SafeChat }
            }
            (false, Some(token), _) => Standing::Unapproved { token },
            (paired, None, _) => {
                if paired {
                    about.change("it was approved, but never got a token: it waits for approval, which gives it one");
                }
                Standing::Pending { expires: self.now.after(Limits::DEFAULT.pending_for) }
            }
        })
    }

    /// Returns `true` if the node was approved; a missing field counts as not approved.
    fn paired(&self) -> Result<bool, String> {
        match self.get("paired") {
            None => Ok(false),
            Some(Value::Bool(paired)) => Ok(*paired),
            Some(Value::String(text)) => match text.as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" | "" => Ok(false),
                other => Err(format!(
                    "paired is {}, which is neither yes nor no",
                    quoted(&clipped(other))
                )),
            },
            Some(_) => Err("paired is neither yes nor no".to_owned()),
        }
    }

    fn token(&self) -> Result<Option<TokenHash>, String> {
        let wrong =
            || "token_hash is no hash: 64 hexadecimal digits, or nothing, are needed".to_owned();
        let text = match self.get("token_hash") {
            None => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.as_bytes(),
            Some(_) => return Err(wrong()),
        };
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.iter().all(u8::is_ascii_hexdigit) {
            return Err(wrong());
        }
        for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Some(TokenHash::from_bytes(bytes)))
    }

    fn address(&self, about: &mut Named) -> IpAddr {
        const NONE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        match self.get("ip_address") {
            None => NONE,
            Some(Value::String(text)) if text.is_empty() => NONE,
            Some(value) => value.as_str().and_then(|text| text.parse::<IpAddr>().ok()).map_or_else(
                || {
                    about.change("ip_address is none; 0.0.0.0 stands in for it");
                    NONE
                },
                |address| address.to_canonical(),
            ),
        }
    }

    /// Returns the hardware profile as it was written, without white space.
    fn profile(&self, about: &mut Named) -> String {
        #[derive(serde::Deserialize)]
        struct Only<'a> {
            #[serde(borrow, default)]
            hardware_profile: Option<&'a RawValue>,
        }
        if self.get("hardware_profile").is_none() {
            return "{}".to_owned();
        }
        let only: Option<Only<'_>> = serde_json::from_str(self.raw).ok();
        let text = only.and_then(|only| only.hardware_profile).map(|raw| without_space(raw.get()));
        text.filter(|text| Profile::parse(text).is_some()).unwrap_or_else(|| {
            about.change(format!("hardware_profile is no JSON object of at most {PROFILE_BYTES} bytes; {{}} stands in for it"));
            "{}".to_owned()
        })
    }

    /// Returns the node's last readings.
    fn told(&self, about: &mut Named) -> Option<Observation> {
        let seen = match self.get("last_seen").map(Value::as_f64) {
            None => return None,
            Some(Some(0.0)) => return None,
            Some(seen) => seen.filter(|seen| (0.0..=END_OF_TIME as f64).contains(seen)),
        };
        // Fractions of a second are not needed.
        let Some(last_seen) =
            seen.map(|seen| UnixTime::from_secs(seen as u64)).filter(|seen| *seen <= self.now)
        else {
            about.change("last_seen is no time in the past; it counts as never seen");
            return None;
        };
        let sensor = |name| self.get("sensor_data").and_then(|data| data.get(name));
        Some(Observation {
            last_seen,
            occupancy: sensor("occupancy").and_then(Value::as_bool),
            noise_level: sensor("noise_level").and_then(Value::as_f64),
            wake_word_fp: None,
        })
    }
}
