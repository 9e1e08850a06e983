//! Format of `node.json`.

use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_core::wire::token::Token;
use handfast_core::{Label, Name, NodeId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::gateway_url::GatewayUrl;
use crate::state::{FILE, HeldState, StateDir, StateError, place};

/// Format version of the file. A program that finds a higher one leaves the file alone.
const VERSION: u32 = 1;

/// The identity of a node: its self-description, and its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Address of the gateway that the node asks and links to.
    pub gateway: GatewayUrl,
    /// The node's name for people.
    pub name: Name,
    /// The room where the node stands.
    pub room: Name,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRecord {
    version: u32,
    gateway: String,
    name: String,
    room: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    token: Option<String>,
}

impl Drop for StoredRecord {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

#[derive(Deserialize)]
struct RecordVersion {
    version: u32,
}

pub(crate) fn write(identity: &Identity, memory: &RegistrationMemory) -> Zeroizing<Vec<u8>> {
    let token = match memory {
        RegistrationMemory::Paired { token, .. } => Some(token.expose().to_owned()),
        RegistrationMemory::Blank | RegistrationMemory::Asked { .. } => None,
    };
    let record = StoredRecord {
        version: VERSION,
        gateway: identity.gateway.to_string(),
        name: identity.name.as_str().to_owned(),
        room: identity.room.as_str().to_owned(),
        node_id: memory.node_id().map(|id| id.to_string()),
        token,
    };
    // The capacity suffices for the largest record, so that growth leaves no copies of the token
    // behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    // Writing plain texts and a number into memory cannot fail.
    let written = serde_json::to_writer_pretty(&mut *bytes, &record);
    debug_assert!(written.is_ok(), "a record is always written");
    bytes.push(b'\n');
    bytes
}

/// Parses `node.json`. The error never contains any part of the file.
pub(crate) fn read(bytes: &[u8]) -> Result<(Identity, RegistrationMemory), String> {
    // The version is read by itself first, because a later one may have other fields.
    let RecordVersion { version } = serde_json::from_slice(bytes).map_err(place)?;
    if version != VERSION {
        return Err(format!("it has version {version}, and this program reads version {VERSION}"));
    }
    let record: StoredRecord = serde_json::from_slice(bytes).map_err(place)?;
    let label = |text: &str, field| {
        Label::parse(text).map(Name::from).ok_or(format!("the {field} in it is none"))
    };
    let identity = Identity {
        gateway: record.gateway.parse().map_err(|_| "the gateway in it is none".to_owned())?,
        name: label(&record.name, "name")?,
        room: label(&record.room, "room")?,
    };
    let node_id = |text: &str| NodeId::parse(text).ok_or("the node id in it is none".to_owned());
    let memory = match (&record.node_id, &record.token) {
        (None, None) => RegistrationMemory::Blank,
        (None, Some(_)) => return Err("it holds a token, but no node id".to_owned()),
        (Some(id), None) => RegistrationMemory::Asked { node_id: node_id(id)? },
        (Some(id), Some(token)) => RegistrationMemory::Paired {
            node_id: node_id(id)?,
            token: Token::parse(token).ok_or("the token in it is none".to_owned())?,
        },
    };
    Ok((identity, memory))
}

impl StateDir {
    /// Loads the stored identity and pairing; `None` if none was ever stored.
    ///
    /// # Errors
    /// [`StateError`] if the file exists but cannot be read, is readable by others, or is damaged.
    pub fn load(&self) -> Result<Option<(Identity, RegistrationMemory)>, StateError> {
        let parsed = |bytes: Zeroizing<Vec<u8>>| {
            read(&bytes).map_err(|why| StateError::Damaged { path: self.path().join(FILE), why })
        };
        self.read_file(FILE)?.map(parsed).transpose()
    }
}

impl HeldState {
    /// Replaces the stored state. It is durable when this returns; after a power failure before
    /// that, the file has its old content or its new one.
    ///
    /// # Errors
    /// [`StateError`] if it could not be written; the old state is still there then.
    pub fn save(&self, identity: &Identity, memory: &RegistrationMemory) -> Result<(), StateError> {
        self.write_file(FILE, &write(identity, memory))
    }
}
