//! Format of `keys.json` and `native.json`.

use std::path::PathBuf;

use handfast_core::crypto::base64url;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::node::{NativeMemory, Paired};
use handfast_core::registry::grants::GrantId;
use handfast_core::secret::Secret;
use handfast_core::wire::native::link::{CLONE_MARK_BYTES, CloneMark};
use handfast_core::{Label, Name, NodeId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::address::GatewayAt;

/// Format version of both files. A program that finds a higher one leaves the file alone.
const VERSION: u32 = 1;
/// Length of 64 bytes as base64url.
const KEY_CHARS: usize = 86;
/// Length of a mark as base64url.
const MARK_CHARS: usize = CLONE_MARK_BYTES / 3 * 4;

/// The identity of a node of the native wire: its self-description, its gateway, and its token
/// store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeIdentity {
    /// Addresses of the gateway, in the order in which they are tried. The first one names the
    /// entry in the token store.
    pub gateways: Vec<GatewayAt>,
    /// The node's name for people.
    pub name: Name,
    /// The room where the node stands.
    pub room: Name,
    /// Path of the token store.
    pub tokens: PathBuf,
    /// Stores tokens unencrypted.
    pub plain_tokens: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysRecord {
    version: u32,
    keys: String,
}

impl Drop for KeysRecord {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NativeRecord {
    version: u32,
    gateways: Vec<String>,
    name: String,
    room: String,
    tokens: PathBuf,
    plain_tokens: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    gateway_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    grant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    mark: Option<String>,
}

#[derive(Deserialize)]
struct OnlyVersion {
    version: u32,
}

pub(crate) fn write_keys(keys: &OwnKeys) -> Zeroizing<Vec<u8>> {
    let stored = keys.to_stored();
    let mut room = Zeroizing::new([0; KEY_CHARS]);
    // The buffer has the length of the text, so encoding never fails.
    let text = base64url::encode(stored.expose(), &mut room[..]).unwrap_or_default();
    written(&KeysRecord { version: VERSION, keys: text.to_owned() })
}

/// Parses `keys.json`. The error never contains any part of the file.
pub(crate) fn read_keys(bytes: &[u8]) -> Result<OwnKeys, String> {
    // The version is read by itself first, because a later one may have other fields.
    check_version(bytes)?;
    let record: KeysRecord = serde_json::from_slice(bytes).map_err(crate::state::place)?;
    let mut stored = Zeroizing::new([0; 64]);
    let length = base64url::decode(&record.keys, &mut stored[..]).map_or(0, <[u8]>::len);
    if length != stored.len() {
        return Err("the keys in it are none".to_owned());
    }
    Ok(OwnKeys::from_stored(&Secret::new(*stored)))
}

pub(crate) fn write_native(identity: &NativeIdentity, memory: &NativeMemory) -> Zeroizing<Vec<u8>> {
    let (gateway, paired) = match memory {
        NativeMemory::Blank => (None, None),
        NativeMemory::Asked { gateway } => (Some(gateway), None),
        NativeMemory::Paired(paired) => (Some(&paired.gateway), Some(paired)),
    };
    written(&NativeRecord {
        version: VERSION,
        gateways: identity.gateways.iter().map(ToString::to_string).collect(),
        name: identity.name.as_str().to_owned(),
        room: identity.room.as_str().to_owned(),
        tokens: identity.tokens.clone(),
        plain_tokens: identity.plain_tokens,
        gateway_key: gateway.map(|key| write_public(key.as_bytes())),
        node_id: paired.map(|paired| paired.node_id.to_string()),
        grant: paired
            .map(|paired| format!("{:032x}", u128::from_be_bytes(*paired.grant.as_bytes()))),
        mark: paired.and_then(|paired| paired.mark).map(|mark| write_mark(&mark)),
    })
}

/// Parses `native.json`. The error never contains any part of the file.
pub(crate) fn read_native(bytes: &[u8]) -> Result<(NativeIdentity, NativeMemory), String> {
    check_version(bytes)?;
    let record: NativeRecord = serde_json::from_slice(bytes).map_err(crate::state::place)?;
    let label = |text: &str, field| {
        Label::parse(text).map(Name::from).ok_or(format!("the {field} in it is none"))
    };
    let gateways: Result<Vec<_>, _> = record.gateways.iter().map(|text| text.parse()).collect();
    let identity = NativeIdentity {
        gateways: gateways
            .ok()
            .filter(|all: &Vec<_>| !all.is_empty())
            .ok_or("a gateway in it is none")?,
        name: label(&record.name, "name")?,
        room: label(&record.room, "room")?,
        tokens: record.tokens,
        plain_tokens: record.plain_tokens,
    };
    let key = |text: &str| {
        read_public(text)
            .and_then(|bytes| PublicKey::parse(&bytes).ok())
            .ok_or("the gateway's key in it is none")
    };
    let memory = match (&record.gateway_key, &record.node_id, &record.grant) {
        (None, None, None) => NativeMemory::Blank,
        (Some(gateway), None, None) => NativeMemory::Asked { gateway: key(gateway)? },
        (Some(gateway), Some(node_id), Some(grant)) => NativeMemory::Paired(Paired {
            gateway: key(gateway)?,
            node_id: NodeId::parse(node_id).ok_or("the node id in it is none")?,
            grant: read_grant(grant).ok_or("the grant in it is none")?,
            mark: record
                .mark
                .as_deref()
                .map(|mark| read_mark(mark).ok_or("the gateway's mark in it is none"))
                .transpose()?,
        }),
        // This program never writes a part of a pairing.
        _ => return Err("it holds only a part of a pairing".to_owned()),
    };
    Ok((identity, memory))
}

/// Encodes a mark of the gateway as 32 characters of base64url.
fn write_mark(mark: &CloneMark) -> String {
    let mut room = [0; MARK_CHARS];
    base64url::encode(mark.as_bytes(), &mut room).unwrap_or_default().to_owned()
}

fn read_mark(text: &str) -> Option<CloneMark> {
    let mut bytes = [0; CLONE_MARK_BYTES];
    let length = base64url::decode(text, &mut bytes)?.len();
    (length == bytes.len()).then_some(CloneMark::from_bytes(bytes))
}

/// Encodes a public key as 43 characters of base64url.
#[must_use]
pub fn write_public(key: &[u8; 32]) -> String {
    base64url::encode_32(key).into_iter().map(char::from).collect()
}

/// Parses the text of a public key.
#[must_use]
pub fn read_public(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let length = base64url::decode(text, &mut bytes)?.len();
    (length == bytes.len()).then_some(bytes)
}

fn read_grant(text: &str) -> Option<GrantId> {
    // The parser would take capital letters and a sign as well, which no program writes.
    let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let number = u128::from_str_radix(text, 16).ok().filter(|_| hex)?;
    Some(GrantId::from_bytes(number.to_be_bytes()))
}

fn check_version(bytes: &[u8]) -> Result<(), String> {
    let OnlyVersion { version } = serde_json::from_slice(bytes).map_err(crate::state::place)?;
    if version == VERSION {
        Ok(())
    } else {
        Err(format!("it has version {version}, and this program reads version {VERSION}"))
    }
}

pub(super) fn written(record: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // The capacity suffices from the start, so that growth leaves no copies of keys behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    // Only a path that is not UTF-8 could fail here, and such a path is refused where it is given.
    let done = serde_json::to_writer_pretty(&mut *bytes, record);
    debug_assert!(done.is_ok(), "a record is always written");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_core::Entropy;

    fn identity() -> NativeIdentity {
        NativeIdentity {
            gateways: vec![
                "ws://gateway.local".parse().unwrap(),
                "serial:/dev/ttyUSB0".parse().unwrap(),
            ],
            name: Label::parse("Kitchen Pi").unwrap().into(),
            room: Label::parse("Küche").unwrap().into(),
            tokens: "/home/ada/tokens.json".into(),
            plain_tokens: false,
        }
    }

    fn key() -> PublicKey {
        *OwnKeys::generate(&Entropy::from_recorded([7; 64])).channel.public()
    }

    #[test]
    fn what_is_kept_reads_back_in_every_stage_of_pairing() {
        let paired = Paired {
            gateway: key(),
            node_id: NodeId::from_bytes([3; 16]),
            grant: GrantId::from_bytes([0xab; 16]),
            mark: None,
        };
        let marked = Paired { mark: Some(CloneMark::from_bytes([0xfe; 24])), ..paired };
        for memory in [
            NativeMemory::Paired(marked),
            NativeMemory::Blank,
            NativeMemory::Asked { gateway: key() },
            NativeMemory::Paired(paired),
        ] {
            assert_eq!(read_native(&write_native(&identity(), &memory)), Ok((identity(), memory)));
        }
    }

    #[test]
    fn keys_read_back_and_damaged_ones_are_never_shown() {
        let keys = OwnKeys::generate(&Entropy::from_recorded(core::array::from_fn(|at| at as u8)));
        let bytes = write_keys(&keys);
        assert_eq!(read_keys(&bytes).unwrap().channel.public(), keys.channel.public());
        let text = std::str::from_utf8(&bytes).unwrap();
        let secret = text.split('"').nth(5).unwrap().to_owned();
        for wrong in [
            text.replace(&secret, &secret[1..]),
            text.replace("\"version\": 1", "\"version\": 2"),
            text[..40].to_owned(),
        ] {
            let error = read_keys(wrong.as_bytes()).unwrap_err();
            assert!(!error.contains(&secret[1..9]), "{error}");
        }
    }

    #[test]
    fn half_a_pairing_is_damage() {
        let text = String::from_utf8(
            write_native(&identity(), &NativeMemory::Asked { gateway: key() }).to_vec(),
        )
        .unwrap();
        let half = text.replace("\"gateway_key\"", "\"node_id\"");
        assert!(read_native(half.as_bytes()).unwrap_err().contains("only a part"));
    }
}
