//! Settings that node and phone send each other sealed under K2: snapshots of the node's, and those
//! that are pushed to it.
//!
//! AES-256-GCM over compact JSON, in which every character outside ASCII is escaped: the dialect's
//! reader garbles raw UTF-8. The node's id and the purpose are bound to what is sealed.

use std::fmt::Write;
use std::path::Path;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handfast_core::flow::provisioning::settings::{NONCE_BYTES, PushRefusal};
use handfast_core::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::ProvisioningFileError;
use super::files::{ProvisioningFiles, random};

const TAG_BYTES: usize = 16;
/// Maximum length of settings as JSON, in bytes.
pub const SETTINGS_BYTES: usize = 64 * 1024;

/// Sealed settings, as they are sent. All members are base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSettings {
    /// The settings.
    pub ciphertext: String,
    /// The nonce, 12 bytes.
    pub nonce: String,
    /// The tag, 16 bytes.
    pub tag: String,
}

/// What is sealed, so that nothing that is sealed for one purpose serves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsPurpose {
    /// The node's settings, as the dialect has them.
    Snapshot,
    /// A phone's request for a snapshot.
    Request,
    /// A phone's settings for the node.
    Push {
        /// The revision that they make: the one after the node's.
        revision: u64,
    },
}

/// The reason for which settings cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The node's files cannot be used.
    #[error(transparent)]
    Files(#[from] ProvisioningFileError),
    /// The node has no K2, or no id.
    #[error("this node has no K2 yet; provision it, and send K2, first")]
    NoKey,
    /// The sealed settings were not made with this node's K2, or for another node.
    #[error(
        "these settings are not sealed under this node's K2 and for its id; seal them again with the key that the node was sent last"
    )]
    NotOurs,
    /// What was sealed is not JSON.
    #[error("what is sealed is not JSON")]
    NotJson,
    /// The settings are longer than any.
    #[error("the settings have more than {SETTINGS_BYTES} bytes")]
    TooLong,
    /// Pushed settings do not follow on those in force.
    #[error(
        "these settings do not follow on revision {revision}, which is in force; read it again, and seal them for the next one"
    )]
    Stale {
        /// The revision in force.
        revision: u64,
    },
    /// Pushed settings have the nonce of earlier ones.
    #[error(
        "these settings have the nonce of earlier ones, which gives both away; draw each nonce anew, and send another K2"
    )]
    NonceReused,
    /// Another program changes the settings at this moment.
    #[error("another program changes this node's settings; try again")]
    Busy,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// K2, with the id of the node for which it seals.
pub struct SettingsKey {
    node_id: String,
    key: Secret<32>,
}

impl SettingsError {
    /// Returns what a refusal of core means, at this revision.
    pub(super) const fn refused(why: PushRefusal, revision: u64) -> Self {
        match why {
            PushRefusal::Stale => Self::Stale { revision },
            PushRefusal::NonceReused => Self::NonceReused,
        }
    }
}

impl std::fmt::Debug for SettingsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SettingsKey({}, redacted)", self.node_id)
    }
}

impl SettingsKey {
    /// Makes the key of a phone for a node.
    #[must_use]
    pub const fn new(node_id: String, key: Secret<32>) -> Self {
        Self { node_id, key }
    }

    /// Reads the key of the node with this state directory, also while the node runs.
    ///
    /// # Errors
    /// [`SettingsError::NoKey`] if it has none, [`SettingsError::Files`] if a file is damaged.
    pub fn of(state: &Path) -> Result<Self, SettingsError> {
        let (key, node_id) = ProvisioningFiles::k2(state)?.ok_or(SettingsError::NoKey)?;
        Ok(Self { node_id, key })
    }

    /// Seals settings.
    ///
    /// # Errors
    /// [`SettingsError::TooLong`], [`SettingsError::Randomness`].
    pub fn seal(&self, settings: &Value) -> Result<SealedSettings, SettingsError> {
        self.seal_for(SettingsPurpose::Snapshot, settings)
    }

    /// Seals settings for a purpose.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_for(
        &self,
        purpose: SettingsPurpose,
        settings: &Value,
    ) -> Result<SealedSettings, SettingsError> {
        self.seal_with(purpose, settings, random()?)
    }

    /// Seals settings with this nonce. Each nonce serves once under a key: a second use gives away
    /// what both say, and is refused by the node.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_with(
        &self,
        purpose: SettingsPurpose,
        settings: &Value,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<SealedSettings, SettingsError> {
        let text = Zeroizing::new(ascii(&Zeroizing::new(settings.to_string())));
        if text.len() > SETTINGS_BYTES {
            return Err(SettingsError::TooLong);
        }
        let aad = self.aad(purpose);
        let payload = Payload { msg: text.as_bytes(), aad: aad.as_bytes() };
        // Only a text longer than any bound of ours fails.
        let mut sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SettingsError::TooLong)?;
        let tag = sealed.split_off(sealed.len().saturating_sub(TAG_BYTES));
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(SealedSettings { ciphertext: text(&sealed), nonce: text(&nonce), tag: text(&tag) })
    }

    /// Opens settings that were sealed for this node.
    ///
    /// # Errors
    /// [`SettingsError::NotOurs`], [`SettingsError::NotJson`], [`SettingsError::TooLong`].
    pub fn open(&self, sealed: &SealedSettings) -> Result<Value, SettingsError> {
        self.open_for(SettingsPurpose::Snapshot, sealed).map(|(settings, _)| settings)
    }

    /// Opens what was sealed for this node and a purpose. Returns it with its nonce.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for(
        &self,
        purpose: SettingsPurpose,
        sealed: &SealedSettings,
    ) -> Result<(Value, [u8; NONCE_BYTES]), SettingsError> {
        if sealed.ciphertext.len() > 2 * SETTINGS_BYTES {
            return Err(SettingsError::TooLong);
        }
        let bytes = |text: &str| {
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| SettingsError::NotOurs)
        };
        let nonce: [u8; NONCE_BYTES] =
            bytes(&sealed.nonce)?.try_into().map_err(|_| SettingsError::NotOurs)?;
        let tag: [u8; TAG_BYTES] =
            bytes(&sealed.tag)?.try_into().map_err(|_| SettingsError::NotOurs)?;
        let mut text = bytes(&sealed.ciphertext)?;
        text.extend(tag);
        let aad = self.aad(purpose);
        let payload = Payload { msg: &text, aad: aad.as_bytes() };
        let text = self
            .cipher()
            .decrypt(&Nonce::from(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| SettingsError::NotOurs)?;
        if text.len() > SETTINGS_BYTES {
            return Err(SettingsError::TooLong);
        }
        let settings = serde_json::from_slice(&text).map_err(|_| SettingsError::NotJson)?;
        Ok((settings, nonce))
    }

    fn aad(&self, purpose: SettingsPurpose) -> String {
        let node_id = &self.node_id;
        match purpose {
            SettingsPurpose::Snapshot => format!("{node_id}:settings:snapshot"),
            SettingsPurpose::Request => format!("{node_id}:settings:request"),
            SettingsPurpose::Push { revision } => format!("{node_id}:settings:push:{revision}"),
        }
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.key.expose()).into())
    }
}

/// Returns JSON with every character outside ASCII escaped. Such characters stand in strings only.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing into a string never fails.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(node_id: &str, byte: u8) -> SettingsKey {
        SettingsKey { node_id: node_id.to_owned(), key: Secret::new([byte; 32]) }
    }

    #[test]
    fn settings_open_only_with_the_key_and_for_the_node_they_were_sealed_for() {
        let settings = json!({ "volume": 7, "name": "Küche 🏡" });
        let ours = key("jarvis-1a2b3c4d", 7);
        let sealed = ours.seal(&settings).unwrap();
        assert_eq!(ours.open(&sealed).unwrap(), settings);
        for other in [key("jarvis-1a2b3c4e", 7), key("jarvis-1a2b3c4d", 8)] {
            assert!(matches!(other.open(&sealed), Err(SettingsError::NotOurs)));
        }
        for wrong in [
            SealedSettings { tag: sealed.nonce.clone(), ..sealed.clone() },
            SealedSettings { nonce: "AAAA".to_owned(), ..sealed.clone() },
            SealedSettings { ciphertext: format!("{}A", sealed.ciphertext), ..sealed.clone() },
            SealedSettings { ciphertext: "ü".to_owned(), ..sealed },
        ] {
            assert!(matches!(ours.open(&wrong), Err(SettingsError::NotOurs)), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_sealed_for_one_purpose_serves_no_other() {
        let ours = key("jarvis-1a2b3c4d", 7);
        let purposes = [
            SettingsPurpose::Snapshot,
            SettingsPurpose::Request,
            SettingsPurpose::Push { revision: 1 },
            SettingsPurpose::Push { revision: 11 },
        ];
        for sealed_for in purposes {
            let sealed = ours.seal_for(sealed_for, &json!({})).unwrap();
            for purpose in purposes {
                let opened = ours.open_for(purpose, &sealed);
                assert_eq!(opened.is_ok(), purpose == sealed_for, "{sealed_for:?} {purpose:?}");
            }
        }
    }

    #[test]
    fn settings_longer_than_any_are_neither_sealed_nor_opened() {
        let ours = key("jarvis-1a2b3c4d", 7);
        let longest = Value::from("x".repeat(SETTINGS_BYTES - 2));
        let sealed = ours.seal(&longest).unwrap();
        assert_eq!(ours.open(&sealed).unwrap(), longest);
        let longer = Value::from("x".repeat(SETTINGS_BYTES - 1));
        assert!(matches!(ours.seal(&longer), Err(SettingsError::TooLong)));
        let ciphertext = "A".repeat(2 * SETTINGS_BYTES + 1);
        let longer = SealedSettings { ciphertext, ..sealed };
        assert!(matches!(ours.open(&longer), Err(SettingsError::TooLong)));
    }

    #[test]
    fn what_is_sealed_is_compact_ascii() {
        assert_eq!(ascii(r#"{"n":"Kü🏡"}"#), r#"{"n":"K\u00fc\ud83c\udfe1"}"#);
    }

    /// From Python: AESGCM(bytes([7]) * 32).encrypt(bytes(12), b'{"a":1}', b'node:settings:snapshot').
    #[test]
    fn sealing_gives_what_the_reference_library_gives() {
        let sealed = key("node", 7)
            .seal_with(SettingsPurpose::Snapshot, &json!({ "a": 1 }), [0; 12])
            .unwrap();
        assert_eq!((sealed.ciphertext.as_str(), sealed.tag.as_str()), (CIPHERTEXT, TAG));
    }

    const CIPHERTEXT: &str = "GvrFkMGjdg";
    const TAG: &str = "82z2w-_nTJlVcet8GFzGVA";
}
