//! What stands on a node's label: the proof of possession, and the passphrase of its access point.

use std::path::Path;

use getrandom::SysRng;
use handfast_core::Entropy;
use handfast_core::crypto::code::{Alphabet, Code};
use handfast_private_file::Options;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::ProvisioningFileError;

const FILE: &str = "label.json";
const MOST_BYTES: u64 = 4096;
const OPTIONS: Options = Options::PRIVATE.for_directory_owner().as_only_writer();
/// Characters of the proof, of five bits each: 60 bits.
const PROOF_CHARS: usize = 12;
/// Characters of the passphrase: 80 bits.
const PASSPHRASE_CHARS: usize = 16;

/// The secrets on a node's label. They are made at the first start and never change, not even by a
/// factory reset: the label stays on the node.
pub struct NodeLabel {
    proof: Code,
    passphrase: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredLabel {
    proof: String,
    passphrase: String,
}

impl Drop for StoredLabel {
    fn drop(&mut self) {
        self.proof.zeroize();
        self.passphrase.zeroize();
    }
}

impl std::fmt::Debug for NodeLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeLabel(redacted)")
    }
}

impl NodeLabel {
    /// Reads the label's secrets of the node with this state directory, and makes them if there are
    /// none.
    ///
    /// # Errors
    /// [`ProvisioningFileError`] if the directory or the file cannot be used.
    pub fn of(state: &Path) -> Result<Self, ProvisioningFileError> {
        Self::load(&super::files::directory(state)?)
    }

    /// Reads the label's secrets from a node's folder, and makes them if there are none.
    pub(super) fn load(dir: &Path) -> Result<Self, ProvisioningFileError> {
        let path = dir.join(FILE);
        if let Some(label) = read(&path)? {
            return Ok(label);
        }
        let minted = |characters| {
            let entropy = Entropy::try_draw(&mut SysRng)?;
            let code = Code::mint(Alphabet::Unambiguous, characters, &entropy);
            Ok::<_, getrandom::Error>(code.unwrap_or_else(|| Code::nobodys(&entropy)))
        };
        let (proof, passphrase) = (minted(PROOF_CHARS)?, minted(PASSPHRASE_CHARS)?);
        let label = Self { proof, passphrase: grouped(&passphrase) };
        let stored = StoredLabel {
            proof: label.proof().to_string(),
            passphrase: label.passphrase.to_string(),
        };
        match OPTIONS.create_new(&path, &super::files::json(&stored)) {
            Ok(()) => Ok(label),
            // Another process was first, and its label may be printed already.
            Err(why) => read(&path)?.ok_or(why.into()),
        }
    }

    /// Returns the proof of possession as it is printed, like `ABCD-EFGH-JKLM`.
    #[must_use]
    pub fn proof(&self) -> Zeroizing<String> {
        grouped(&self.proof)
    }

    pub(super) const fn code(&self) -> &Code {
        &self.proof
    }

    /// Returns the passphrase of the node's access point.
    #[must_use]
    pub fn passphrase(&self) -> &str {
        &self.passphrase
    }

    /// Returns the text of the QR by which a phone joins the node's access point of this name.
    #[must_use]
    pub fn wifi(&self, ssid: &str) -> Zeroizing<String> {
        Zeroizing::new(format!("WIFI:T:WPA;S:{};P:{};;", escaped(ssid), escaped(&self.passphrase)))
    }
}

fn read(path: &Path) -> Result<Option<NodeLabel>, ProvisioningFileError> {
    let Some(bytes) = OPTIONS.read(path, MOST_BYTES)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let stored: Option<StoredLabel> = serde_json::from_slice(&bytes).ok();
    let proof = stored.as_ref().and_then(|stored| Code::parse(&stored.proof).ok());
    match (stored, proof) {
        (Some(mut stored), Some(proof)) => {
            let passphrase = Zeroizing::new(std::mem::take(&mut stored.passphrase));
            Ok(Some(NodeLabel { proof, passphrase }))
        }
        (Some(_) | None, _) => Err(ProvisioningFileError::Damaged { path: path.to_owned() }),
    }
}

/// Escapes what has a meaning of its own in the text of a Wi-Fi QR.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if matches!(character, '\\' | ';' | ',' | ':' | '"') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Returns a code in groups of four characters.
fn grouped(code: &Code) -> Zeroizing<String> {
    let groups: Vec<_> =
        code.expose().chunks(4).map(|group| String::from_utf8_lossy(group)).collect();
    Zeroizing::new(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_made_once_and_says_nothing_in_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let made = NodeLabel::load(dir.path()).unwrap();
        let read = NodeLabel::load(dir.path()).unwrap();
        assert_eq!((made.proof(), made.passphrase()), (read.proof(), read.passphrase()));
        let digits = made.proof().bytes().filter(u8::is_ascii_alphanumeric).count();
        assert_eq!((digits, made.passphrase().len()), (PROOF_CHARS, 19));
        assert_eq!(format!("{made:?}"), "NodeLabel(redacted)");
        let wifi = made.wifi(r#"a;b:c,d\e"f"#);
        assert!(wifi.starts_with(r#"WIFI:T:WPA;S:a\;b\:c\,d\\e\"f;P:"#), "{}", *wifi);
        assert!(wifi.ends_with(&format!("P:{};;", made.passphrase())));
        std::fs::write(dir.path().join(FILE), b"{}").unwrap();
        assert!(matches!(NodeLabel::load(dir.path()), Err(ProvisioningFileError::Damaged { .. })));
    }
}
