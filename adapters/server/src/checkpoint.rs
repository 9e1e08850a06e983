//! Checkpoints of the audit log, in the form of C2SP `tlog-checkpoint`: a signed note with the
//! log's origin, its size and its root. Tools for transparency logs read them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handfast_core::crypto::ed25519::{KeyPair, PublicKey, Signature};
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::{labels, sha256};
use handfast_core::registry::audit_tree::Hash;

/// The type of Ed25519 keys in signed notes.
const ED25519: u8 = 1;
/// Begins a line with a signature.
const SIGNATURE: &str = "\u{2014} ";
/// Maximum length of a checkpoint that is read, in bytes.
pub const CHECKPOINT_BYTES: usize = 4096;

/// The size and the root of an audit log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the Merkle tree over them.
    pub root: Hash,
}

/// The reason for which a checkpoint is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotACheckpoint {
    /// The text does not have the form of a checkpoint.
    #[error("this is no checkpoint of an audit log: {0}")]
    Malformed(&'static str),
    /// The text of the key does not have the form of one.
    #[error("this is no key for checkpoints: it has the form NAME+HASH+KEY")]
    BadKey,
    /// The key has not signed the checkpoint.
    #[error("the checkpoint is not signed by the key {0}")]
    OtherKey(String),
}

impl Checkpoint {
    /// Returns the name of the log of a gateway with this fingerprint.
    #[must_use]
    pub fn origin_of(gateway: &Fingerprint) -> String {
        format!("{}{gateway}", labels::AUDIT_CHECKPOINT)
    }

    /// Returns the checkpoint as a note that this key has signed.
    #[must_use]
    pub fn sign(&self, key: &KeyPair) -> String {
        let text = self.text();
        let rest = text.strip_prefix(labels::AUDIT_CHECKPOINT).unwrap_or_default();
        // The beginning of the text is the label, so no other signature of this key is a
        // checkpoint's.
        let signature = key.sign(labels::AUDIT_CHECKPOINT.as_bytes(), [rest.as_bytes(), &[]]);
        let id = key_id(&self.origin, &key.public());
        let signed = STANDARD.encode([&id[..], signature.as_bytes()].concat());
        format!("{text}\n{SIGNATURE}{} {signed}\n", self.origin)
    }

    /// Reads a checkpoint without checking who signed it.
    ///
    /// # Errors
    /// [`NotACheckpoint::Malformed`].
    pub fn parse(note: &str) -> Result<Self, NotACheckpoint> {
        Ok(parts(note)?.0)
    }

    /// Reads a checkpoint that this key has signed.
    ///
    /// # Errors
    /// [`NotACheckpoint`].
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NotACheckpoint> {
        let (checkpoint, signatures) = parts(note)?;
        let text = checkpoint.text();
        let refused = || NotACheckpoint::OtherKey(key.to_string());
        let rest = text.strip_prefix(labels::AUDIT_CHECKPOINT).ok_or_else(refused)?;
        let id = key_id(&key.name, &key.key);
        let is_signed = signatures.lines().any(|line| {
            let signed = line.strip_prefix(SIGNATURE).and_then(|line| line.split_once(' '));
            let Some((name, signed)) = signed.filter(|(name, _)| *name == key.name) else {
                return false;
            };
            let decoded = STANDARD.decode(signed).unwrap_or_default();
            let Some((hash, signature)) = decoded.split_first_chunk::<4>() else { return false };
            let Ok(signature) = <[u8; 64]>::try_from(signature) else { return false };
            let label = labels::AUDIT_CHECKPOINT.as_bytes();
            let signature = Signature::from_bytes(signature);
            name == checkpoint.origin
                && *hash == id
                && key.key.verify(label, [rest.as_bytes(), &[]], &signature).is_ok()
        });
        if is_signed { Ok(checkpoint) } else { Err(refused()) }
    }

    /// Returns the text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

/// The public key that signs the checkpoints of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: PublicKey,
}

impl VerifierKey {
    /// Returns the key of the log with this name.
    #[must_use]
    pub fn new(name: String, key: PublicKey) -> Self {
        Self { name, key }
    }

    /// Reads a key in the form of signed notes: name, hash and key.
    ///
    /// # Errors
    /// [`NotACheckpoint::BadKey`].
    pub fn parse(text: &str) -> Result<Self, NotACheckpoint> {
        let bad = || NotACheckpoint::BadKey;
        // The key itself may contain a plus sign, and the name must not.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad());
        };
        let decoded = STANDARD.decode(key).map_err(|_| bad())?;
        let Some((&ED25519, key)) = decoded.split_first() else { return Err(bad()) };
        let key = <[u8; 32]>::try_from(key).map_err(|_| bad())?;
        let key = PublicKey::parse(&key).map_err(|_| bad())?;
        let found = Self { name: name.to_owned(), key };
        if found.hash() == hash { Ok(found) } else { Err(bad()) }
    }

    fn hash(&self) -> String {
        crate::hex::hex(&key_id(&self.name, &self.key))
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = STANDARD.encode([&[ED25519], &self.key.as_bytes()[..]].concat());
        write!(f, "{}+{}+{key}", self.name, self.hash())
    }
}

/// Reads a hash in base64, as answers of the operator's API have it.
#[must_use]
pub fn read_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok().and_then(|hash| Hash::try_from(hash).ok())
}

/// Returns a hash in base64.
#[must_use]
pub fn hash_text(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

/// Returns the id of a key in a signed note.
fn key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    let named = format!("{name}\n");
    let typed = [&[ED25519], &key.as_bytes()[..]].concat();
    let hash = sha256::hash([named.as_bytes(), &typed]);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Divides a note into the checkpoint and the lines with signatures.
fn parts(note: &str) -> Result<(Checkpoint, &str), NotACheckpoint> {
    let malformed = NotACheckpoint::Malformed;
    if note.len() > CHECKPOINT_BYTES {
        return Err(malformed("it is too long"));
    }
    let (text, signatures) = note.split_once("\n\n").ok_or(malformed("it has no signature"))?;
    let mut lines = text.split('\n');
    let (Some(origin), Some(size), Some(root), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(malformed("it does not have three lines"));
    };
    if !origin.starts_with(labels::AUDIT_CHECKPOINT) {
        return Err(malformed("its first line names no log of Handfast"));
    }
    let written: u64 = size.parse().map_err(|_| malformed("its size is no number"))?;
    let root = read_hash(root).ok_or(malformed("its root is no hash"))?;
    let checkpoint = Checkpoint { origin: origin.to_owned(), size: written, root };
    // One text for each checkpoint, so that what was signed is what was read.
    if checkpoint.text().strip_suffix('\n') != Some(text) {
        return Err(malformed("a number is written in another way than usual"));
    }
    Ok((checkpoint, signatures))
}

#[cfg(test)]
mod tests {
    use handfast_core::Entropy;

    use super::*;

    fn key(seed: u8) -> KeyPair {
        KeyPair::generate(&Entropy::from_recorded([seed; 32]))
    }

    fn signed() -> (Checkpoint, VerifierKey, String) {
        let origin = format!("{}ABCD-EFGH", labels::AUDIT_CHECKPOINT);
        let checkpoint = Checkpoint { origin: origin.clone(), size: 12, root: [7; 32] };
        let note = checkpoint.sign(&key(1));
        (checkpoint, VerifierKey::new(origin, key(1).public()), note)
    }

    #[test]
    fn a_checkpoint_is_read_again_with_the_key_that_signed_it_alone() {
        let (checkpoint, verifier, note) = signed();
        assert!(note.starts_with("handfast/v1/audit/ABCD-EFGH\n12\nBwcH"), "{note}");
        assert_eq!(Checkpoint::open(&note, &verifier), Ok(checkpoint.clone()));
        assert_eq!(VerifierKey::parse(&verifier.to_string()), Ok(verifier));
        let other = VerifierKey::new(checkpoint.origin, key(2).public());
        assert_eq!(
            Checkpoint::open(&note, &other),
            Err(NotACheckpoint::OtherKey(other.to_string()))
        );
    }

    #[test]
    fn a_checkpoint_that_was_changed_anywhere_is_refused() {
        let (_, verifier, note) = signed();
        for at in 0..note.len() {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(Checkpoint::open(&changed, &verifier).is_err(), "{changed}");
        }
        for cut in 0..note.len() {
            // Nothing is missing but the last line's end.
            if cut != note.len() - 1 && note.is_char_boundary(cut) {
                assert!(Checkpoint::open(&note[..cut], &verifier).is_err(), "{}", &note[..cut]);
            }
        }
        let zero = note.replacen("\n12\n", "\n012\n", 1);
        assert!(matches!(Checkpoint::parse(&zero), Err(NotACheckpoint::Malformed(_))));
        for text in ["", "a+b", "a+b+c", "a+00000000+AQ=="] {
            assert_eq!(VerifierKey::parse(text), Err(NotACheckpoint::BadKey), "{text}");
        }
    }
}
