//! The node's files, in a directory of its own below the state directory.
//!
//! | file | content |
//! |---|---|
//! | `secrets.key` | K1, made at the first start; nothing removes it |
//! | `k2.enc`, `k2_metadata.json` | K2 under K1; its id, its time, and the node id it was sent for |
//! | `wifi_credentials.enc` | the network's name and passphrase under K1 |
//! | `config.json` | the command center, the node's id and key there, the room |
//! | `.provisioned` | empty: the node is provisioned |
//! | `request.enc`, `answer.enc` | a request that has not worked yet, and the answer to it, under K1 |
//! | `network.enc` | another network that has not worked yet, under K1 |
//! | `settings.enc` | the settings that are shared under K2, under K1 |
//! | `country` | the country whose rules hold for the radio, as two letters |
//! | `label.json` | what is printed on the node's label; nothing removes it |
//! | `.erasing` | empty: an erasure has begun and is finished at the next start |
//!
//! A change of several files is repeated at the next start if it was interrupted: a request with its
//! answer is put into force again, and an erasure goes on.

mod commit;
mod stored;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use handfast_core::UnixTime;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::provisioning::contract::{Change, ProvisioningMemory, Unfinished};
use handfast_core::rfc3339;
use handfast_core::secret::Secret;
use handfast_core::wire::provisioning::{Country, RegisterAnswer, Ssid, Target};
use handfast_private_file::{self as private_file, Options, Others};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::fernet::FernetKey;
use super::label::NodeLabel;
use super::radio::WifiCredentials;
use crate::clock::unix_now;
use crate::native::{NativeStorageError, write_public};
use crate::state::{HeldState, StateDir, StateError};

use commit::{forget_pairing, gateway_at};
use stored::{K2Metadata, StoredAnswer, StoredWifi};
pub(super) use stored::{StoredConfig, StoredRequest};

const K1: &str = "secrets.key";
pub(super) const K2: &str = "k2.enc";
const K2_METADATA: &str = "k2_metadata.json";
const WIFI: &str = "wifi_credentials.enc";
const CONFIG: &str = "config.json";
const MARKER: &str = ".provisioned";
const REQUEST: &str = "request.enc";
const ANSWER: &str = "answer.enc";
const NETWORK: &str = "network.enc";
const COUNTRY: &str = "country";
/// The settings that are shared under K2.
pub(super) const SETTINGS: &str = "settings.enc";
/// The folder in which the node pairs by an invitation.
const PAIRING: &str = "pairing";
const ERASING: &str = ".erasing";
/// All files that an erasure removes: the marker first, and the shared settings after K2.
const ERASED: [&str; 10] =
    [MARKER, REQUEST, ANSWER, NETWORK, WIFI, K2, K2_METADATA, CONFIG, COUNTRY, SETTINGS];
const MOST_BYTES: u64 = 64 * 1024;
const OPTIONS: Options = Options::PRIVATE.for_directory_owner().as_only_writer();

/// The reason for which a file of the node cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisioningFileError {
    /// The system refused, or others can use the file.
    #[error(transparent)]
    File(#[from] private_file::Error),
    /// The node's other state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The node's keys or tokens failed.
    #[error(transparent)]
    Native(#[from] NativeStorageError),
    /// The file's content is none of this node's. It is left as it is.
    #[error(
        "{path} is damaged, or K1 in secrets.key is not the key it was sealed with; remove it and provision the node again"
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
    },
    /// Another process holds the directory.
    #[error("another handfast-node provisions with {path}; stop it first")]
    Busy {
        /// Path of the directory.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The command center named an address of a gateway that is none.
    #[error("the command center names a gateway at {address:?}, which is no address")]
    Address {
        /// The address.
        address: String,
    },
}

/// The node's files. The lock makes this process their only writer.
pub(super) struct ProvisioningFiles {
    dir: PathBuf,
    /// The state directory, which holds the keys and the pairing of the native link.
    state: PathBuf,
    key: FernetKey,
    _lock: std::fs::File,
}

impl ProvisioningFiles {
    /// Opens the files below a state directory, makes K1 at the first start, and ends what an
    /// interrupted erasure left.
    pub(super) fn open(state: &Path) -> Result<Self, ProvisioningFileError> {
        let dir = directory(state)?;
        let busy = || ProvisioningFileError::Busy { path: dir.clone() };
        let lock = private_file::lock(&dir.join("lock"))?.ok_or_else(busy)?;
        let key = match k1(&dir)? {
            Some(key) => key,
            None => {
                let key = FernetKey::new(random()?);
                OPTIONS.replace(&dir.join(K1), key.write().as_bytes())?;
                key
            }
        };
        let files = Self { dir, state: state.to_owned(), key, _lock: lock };
        files.remove_pairing()?;
        if files.exists(ERASING)? {
            files.erase()?;
        }
        Ok(files)
    }

    /// Reads K2 and the node's id, without the lock: what is replaced is replaced as a whole.
    /// Returns `None` if one of them is missing.
    pub(super) fn k2(state: &Path) -> Result<Option<(Secret<32>, String)>, ProvisioningFileError> {
        let dir = directory(state)?;
        let read = |name: &str| -> Result<Option<Zeroizing<Vec<u8>>>, ProvisioningFileError> {
            Ok(OPTIONS.read(&dir.join(name), MOST_BYTES)?.map(Zeroizing::new))
        };
        let damaged = |name: &str| ProvisioningFileError::Damaged { path: dir.join(name) };
        let (Some(key), Some(token), Some(config)) = (k1(&dir)?, read(K2)?, read(CONFIG)?) else {
            return Ok(None);
        };
        // Without its metadata a key counts as none.
        if read(K2_METADATA)?.is_none() {
            return Ok(None);
        }
        let config: StoredConfig = serde_json::from_slice(&config).map_err(|_| damaged(CONFIG))?;
        let opened = std::str::from_utf8(&token).ok().and_then(|token| key.open(token));
        let bytes: Option<[u8; 32]> = opened.and_then(|bytes| bytes[..].try_into().ok());
        let k2 = Secret::new(bytes.ok_or_else(|| damaged(K2))?);
        Ok(Some((k2, config.node_id.clone())))
    }

    /// Returns what core needs to know at the start.
    pub(super) fn memory(&self) -> Result<ProvisioningMemory, ProvisioningFileError> {
        let provisioned =
            self.exists(MARKER)? && self.config()?.is_some_and(|config| config.has_gateway());
        let known = match self.wifi()?.filter(|_| provisioned) {
            Some(wifi) => Some(self.ssid(&wifi.ssid, WIFI)?),
            None => None,
        };
        let unfinished = match (self.request()?, self.read_wifi(NETWORK)?) {
            (None, None) => Unfinished::Nothing,
            (None, Some(network)) => Unfinished::Network(self.ssid(&network.ssid, NETWORK)?),
            (Some(request), _) => {
                let ssid = self.ssid(&request.ssid, REQUEST)?;
                match self.read_sealed::<StoredAnswer>(ANSWER)? {
                    Some(_) => Unfinished::Registered(ssid),
                    None => Unfinished::Request(ssid),
                }
            }
        };
        Ok(ProvisioningMemory { known, country: self.country()?, unfinished })
    }

    fn country(&self) -> Result<Option<Country>, ProvisioningFileError> {
        let Some(text) = self.read(COUNTRY)? else { return Ok(None) };
        let country = std::str::from_utf8(&text).ok().and_then(Country::parse);
        country.map(Some).ok_or_else(|| self.damaged(COUNTRY))
    }

    fn store_country(&self, country: Option<Country>) -> Result<(), ProvisioningFileError> {
        match country {
            Some(country) => self.write(COUNTRY, country.as_str().as_bytes()),
            None => Ok(()),
        }
    }

    fn ssid(&self, text: &str, file: &str) -> Result<Ssid, ProvisioningFileError> {
        Ssid::parse(text).ok_or_else(|| self.damaged(file))
    }

    /// Returns the network in force.
    pub(super) fn wifi(&self) -> Result<Option<WifiCredentials>, ProvisioningFileError> {
        self.read_wifi(WIFI)
    }

    /// Returns the network that is requested, alone or with other settings.
    pub(super) fn requested_wifi(&self) -> Result<Option<WifiCredentials>, ProvisioningFileError> {
        match self.request()? {
            Some(request) => Ok(Some(WifiCredentials {
                ssid: request.ssid.clone(),
                passphrase: Zeroizing::new(request.password.clone()),
            })),
            None => self.read_wifi(NETWORK),
        }
    }

    fn read_wifi(&self, name: &str) -> Result<Option<WifiCredentials>, ProvisioningFileError> {
        Ok(self.read_sealed::<StoredWifi>(name)?.map(|mut wifi| WifiCredentials {
            ssid: std::mem::take(&mut wifi.ssid),
            passphrase: Zeroizing::new(std::mem::take(&mut wifi.password)),
        }))
    }

    /// Returns what is in force, besides the network.
    pub(super) fn config(&self) -> Result<Option<StoredConfig>, ProvisioningFileError> {
        match self.read(CONFIG)? {
            Some(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|_| self.damaged(CONFIG))
            }
            None => Ok(None),
        }
    }

    /// Returns the request that has not worked yet.
    pub(super) fn request(&self) -> Result<Option<StoredRequest>, ProvisioningFileError> {
        self.read_sealed(REQUEST)
    }

    /// Returns the node's public key for the native link, which it makes if there is none.
    pub(super) fn native_key(&self) -> Result<String, ProvisioningFileError> {
        Ok(write_public(self.keys()?.channel.public().as_bytes()))
    }

    /// Returns the node's keys, which it makes if there are none.
    pub(super) fn keys(&self) -> Result<OwnKeys, ProvisioningFileError> {
        Ok(self.hold()?.keys()?)
    }

    /// Returns the state directory, and the folder in which the node pairs by an invitation.
    pub(super) fn folders(&self) -> (PathBuf, PathBuf) {
        (self.state.clone(), self.dir.join(PAIRING))
    }

    /// Removes the folder of a pairing that was given up: it holds a copy of the node's keys.
    fn remove_pairing(&self) -> Result<(), ProvisioningFileError> {
        let folder = self.dir.join(PAIRING);
        match std::fs::remove_dir_all(&folder) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                Err(private_file::Error::io(&folder, "cannot be removed", &why).into())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Reads what stands on the node's label.
    pub(super) fn label(&self) -> Result<NodeLabel, ProvisioningFileError> {
        NodeLabel::load(&self.dir)
    }

    fn hold(&self) -> Result<HeldState, ProvisioningFileError> {
        Ok(StateDir::at(&self.state).hold()?)
    }

    /// Carries out a change of core.
    pub(super) fn store(&self, change: &Change<'_>) -> Result<(), ProvisioningFileError> {
        match change {
            Change::Request(request) => {
                let (url, household_id, token, invitation) = match request.target {
                    Target::CommandCenter { url, household_id, token } => {
                        (url, household_id, token.expose(), None)
                    }
                    Target::Gateway(invitation) => ("", "", "", Some(invitation.expose())),
                };
                self.store_country(request.country)?;
                // Nothing of an earlier request may stand beside this one.
                self.remove(ANSWER)?;
                self.remove(NETWORK)?;
                self.write_sealed(
                    REQUEST,
                    &StoredRequest {
                        ssid: request.ssid.as_str().to_owned(),
                        password: request.passphrase.expose().to_owned(),
                        room: request.room.as_str().to_owned(),
                        command_center_url: url.to_owned(),
                        household_id: household_id.to_owned(),
                        node_id: request.node_id.to_owned(),
                        token: token.to_owned(),
                        invitation: invitation.map(str::to_owned),
                        config_service_url: request.config_service.map(str::to_owned),
                    },
                )
            }
            Change::Registration(answer) => self.store_answer(answer),
            Change::Commit => self.commit(),
            Change::Network(request) => {
                self.store_country(request.country)?;
                self.remove(REQUEST)?;
                self.remove(ANSWER)?;
                let (ssid, password) = (request.ssid.as_str(), request.passphrase.expose());
                let (ssid, password) = (ssid.to_owned(), password.to_owned());
                self.write_sealed(NETWORK, &StoredWifi { ssid, password })
            }
            Change::CommitNetwork => self.commit_network(),
            Change::Discard => {
                self.remove_pairing()?;
                self.remove(REQUEST)?;
                self.remove(ANSWER)?;
                self.remove(NETWORK)
            }
            Change::K2 { node_id, kid, k2, created_at } => {
                self.store_k2(node_id, kid, k2, *created_at)
            }
            Change::Erase => {
                self.write(ERASING, b"")?;
                self.erase()
            }
        }
    }

    fn store_answer(&self, answer: &RegisterAnswer<'_>) -> Result<(), ProvisioningFileError> {
        // Refused here, while the old settings are still in force.
        if let Some(gateway) = &answer.gateway {
            gateway_at(gateway.address)?;
        }
        self.write_sealed(
            ANSWER,
            &StoredAnswer {
                node_id: answer.node_id.to_owned(),
                node_key: answer.node_key.expose().to_owned(),
                gateway_key: answer.gateway.map(|gateway| write_public(gateway.key.as_bytes())),
                gateway_address: answer.gateway.map(|gateway| gateway.address.to_owned()),
            },
        )
    }

    fn store_k2(
        &self,
        node_id: &str,
        kid: &str,
        k2: &Secret<32>,
        created_at: UnixTime,
    ) -> Result<(), ProvisioningFileError> {
        let metadata = K2Metadata {
            kid: kid.to_owned(),
            created_at: rfc3339::write(created_at).to_string(),
            node_id: Some(node_id.to_owned()),
        };
        // Without its metadata a key counts as none, so an interruption between the two leaves none.
        self.remove(K2_METADATA)?;
        // Settings are for who has the key under which they came.
        self.remove(SETTINGS)?;
        self.write(K2, self.key.seal(k2.expose(), now(), random()?).as_bytes())?;
        self.write(K2_METADATA, &json(&metadata))
    }

    /// Removes everything but K1. The marker goes first, so an interruption leaves no node that
    /// counts as provisioned.
    fn erase(&self) -> Result<(), ProvisioningFileError> {
        for name in ERASED {
            self.remove(name)?;
        }
        self.remove_pairing()?;
        let held = self.hold()?;
        forget_pairing(&held)?;
        held.erase()?;
        self.remove(ERASING)
    }

    fn damaged(&self, name: &str) -> ProvisioningFileError {
        ProvisioningFileError::Damaged { path: self.dir.join(name) }
    }

    fn exists(&self, name: &str) -> Result<bool, ProvisioningFileError> {
        Ok(OPTIONS.inspect(&self.dir.join(name))?)
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, ProvisioningFileError> {
        Ok(OPTIONS.read(&self.dir.join(name), MOST_BYTES)?.map(Zeroizing::new))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ProvisioningFileError> {
        Ok(OPTIONS.replace(&self.dir.join(name), bytes)?)
    }

    fn remove(&self, name: &str) -> Result<(), ProvisioningFileError> {
        Ok(private_file::remove(&self.dir.join(name)).map(|_| ())?)
    }

    fn read_sealed<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ProvisioningFileError> {
        let Some(bytes) = self.read(name)? else { return Ok(None) };
        let opened = std::str::from_utf8(&bytes).ok().and_then(|token| self.key.open(token));
        let read = opened.and_then(|text| serde_json::from_slice(&text).ok());
        read.map(Some).ok_or_else(|| self.damaged(name))
    }

    fn write_sealed(
        &self,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), ProvisioningFileError> {
        let token = self.key.seal(&json(value), now(), random()?);
        self.write(name, token.as_bytes())
    }
}

/// Returns the directory of these files below a state directory, and makes it if there is none.
pub(super) fn directory(state: &Path) -> Result<PathBuf, ProvisioningFileError> {
    let dir = state.join("provisioning");
    for each in [state, &dir] {
        if !private_file::check_directory(each, Others::Nothing)? {
            private_file::create_directory(each)?;
        }
    }
    Ok(dir)
}

/// Reads K1 in this directory; `None` before the first start.
pub(super) fn k1(dir: &Path) -> Result<Option<FernetKey>, ProvisioningFileError> {
    let path = dir.join(K1);
    let Some(text) = OPTIONS.read(&path, MOST_BYTES)?.map(Zeroizing::new) else { return Ok(None) };
    let key = std::str::from_utf8(&text).ok().and_then(FernetKey::read);
    key.map(Some).ok_or(ProvisioningFileError::Damaged { path })
}

/// Writes JSON into a buffer that does not grow, so that no copy of a secret stays behind.
pub(super) fn json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let written = serde_json::to_writer(&mut *bytes, value);
    debug_assert!(written.is_ok(), "strings are always written");
    bytes
}

pub(super) fn now() -> u64 {
    unix_now().as_secs()
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
