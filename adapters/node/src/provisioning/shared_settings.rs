//! The settings that a node shares with the phone that has sent K2: kept under K1, read and pushed
//! under K2.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use getrandom::SysRng;
use handfast_core::Entropy;
use handfast_core::flow::provisioning::settings::{NONCE_BYTES, SettingsLog};
use handfast_private_file::{self as private_file, Options};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::fernet::FernetKey;
use super::files::{self, K2, SETTINGS, random};
use super::snapshot::{
    SETTINGS_BYTES, SealedSettings, SettingsError, SettingsKey, SettingsPurpose,
};
use super::{ProvisioningFileError, files::now};

/// Longest file: JSON in base64, with the nonces.
const MOST_BYTES: u64 = 2 * SETTINGS_BYTES as u64 + 8 * 1024;
const OPTIONS: Options = Options::PRIVATE.for_directory_owner().as_only_writer();
const LOCK: &str = "settings.lock";

/// Sealed settings with their revision, as they travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisedSettings {
    /// The revision: of a snapshot the one in force, of a push the one after it.
    pub revision: u64,
    /// The settings.
    #[serde(flatten)]
    pub sealed: SealedSettings,
}

/// The settings that a node shares. While this value lives, no other program changes them.
pub struct SharedSettings {
    dir: PathBuf,
    k1: FernetKey,
    key: SettingsKey,
    _lock: std::fs::File,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    revision: u64,
    /// In base64url.
    nonces: Vec<String>,
    settings: Value,
}

impl SharedSettings {
    /// Opens the settings of the node with this state directory, also while the node runs.
    ///
    /// # Errors
    /// [`SettingsError::NoKey`] if it has no K2, [`SettingsError::Busy`] while another program
    /// changes them, [`SettingsError::Files`] if a file is damaged.
    pub fn open(state: &Path) -> Result<Self, SettingsError> {
        let dir = files::directory(state)?;
        let lock = private_file::lock(&dir.join(LOCK)).map_err(file)?.ok_or(SettingsError::Busy)?;
        let key = SettingsKey::of(state)?;
        let k1 = files::k1(&dir)?.ok_or(SettingsError::NoKey)?;
        Ok(Self { dir, k1, key, _lock: lock })
    }

    /// Answers a phone's request, which is sealed under K2, with the settings.
    ///
    /// # Errors
    /// [`SettingsError::NotOurs`] if the request is not sealed by K2 for this node.
    pub fn snapshot(&self, request: &SealedSettings) -> Result<RevisedSettings, SettingsError> {
        self.key.open_for(SettingsPurpose::Request, request)?;
        let (log, settings) = self.load()?;
        Ok(RevisedSettings { revision: log.revision(), sealed: self.key.seal(&settings)? })
    }

    /// Takes a phone's settings. Returns their revision once they are durable.
    ///
    /// # Errors
    /// [`SettingsError`]; the settings in force stay.
    pub fn push(&self, pushed: &RevisedSettings) -> Result<u64, SettingsError> {
        let purpose = SettingsPurpose::Push { revision: pushed.revision };
        // Whoever has not K2 learns nothing of the revision.
        let (settings, nonce) = self.key.open_for(purpose, &pushed.sealed)?;
        let (mut log, _) = self.load()?;
        let refused = |why| SettingsError::refused(why, log.revision());
        let mut next = log.clone();
        next.push(pushed.revision, nonce).map_err(refused)?;
        log = next;
        self.store(&log, &settings)?;
        Ok(log.revision())
    }

    /// Returns the settings.
    ///
    /// # Errors
    /// [`SettingsError::Files`] if their file is damaged.
    pub fn read(&self) -> Result<Value, SettingsError> {
        self.load().map(|(_, settings)| settings)
    }

    /// Puts other settings in their place, as the node's own application does.
    ///
    /// # Errors
    /// [`SettingsError::TooLong`], [`SettingsError::Files`].
    pub fn replace(&self, settings: &Value) -> Result<(), SettingsError> {
        if settings.to_string().len() > SETTINGS_BYTES {
            return Err(SettingsError::TooLong);
        }
        let (mut log, _) = self.load()?;
        log.changed();
        self.store(&log, settings)
    }

    fn load(&self) -> Result<(SettingsLog, Value), SettingsError> {
        let path = self.dir.join(SETTINGS);
        let Some(token) = OPTIONS.read(&path, MOST_BYTES).map_err(file)?.map(Zeroizing::new) else {
            let log = SettingsLog::new(&Entropy::try_draw(&mut SysRng)?);
            // Stored, since a phone is told the revision.
            self.store(&log, &json!({}))?;
            return Ok((log, json!({})));
        };
        let damaged = || ProvisioningFileError::Damaged { path: path.clone() };
        let opened = std::str::from_utf8(&token).ok().and_then(|token| self.k1.open(token));
        let stored: Option<Stored> = opened.and_then(|text| serde_json::from_slice(&text).ok());
        let Stored { revision, nonces, settings } = stored.ok_or_else(damaged)?;
        let nonces: Option<Vec<[u8; NONCE_BYTES]>> = nonces
            .iter()
            .map(|nonce| URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok())
            .collect();
        Ok((SettingsLog::stored(revision, nonces.ok_or_else(damaged)?), settings))
    }

    fn store(&self, log: &SettingsLog, settings: &Value) -> Result<(), SettingsError> {
        let nonces: Vec<_> = log.nonces().map(|nonce| URL_SAFE_NO_PAD.encode(nonce)).collect();
        let stored = json!({ "revision": log.revision(), "nonces": nonces, "settings": settings });
        let text = Zeroizing::new(stored.to_string());
        let token = self.k1.seal(text.as_bytes(), now(), random()?);
        let path = self.dir.join(SETTINGS);
        OPTIONS.replace(&path, token.as_bytes()).map_err(file)?;
        // A factory reset removes K2 first, and the settings after it: whichever comes last, nothing
        // is left.
        if !OPTIONS.inspect(&self.dir.join(K2)).map_err(file)? {
            private_file::remove(&path).map_err(file)?;
            return Err(SettingsError::NoKey);
        }
        Ok(())
    }
}

fn file(error: private_file::Error) -> SettingsError {
    ProvisioningFileError::from(error).into()
}
