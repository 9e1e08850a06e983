//! The roots as they are sealed: all of them with their keys, in one text that is replaced as a
//! whole. A file and the registry hold the same text.

use handfast_core::UnixTime;
use handfast_core::secret::{Secret, exposed};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::root::{Root, RootRecord};
use crate::keys::seal::{SealKind, StoreKey};

/// The name that the text is sealed under, wherever it lies.
pub(super) const NAME: &str = handfast_store::AUTHORITY;
/// Maximum size of a record, in bytes.
pub(super) const RECORD_BYTES: usize = 8 * 1024;
/// Version of the records.
pub(super) const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Record {
    version: u8,
    /// Oldest first.
    roots: Vec<RootRecord>,
}

/// The certificate of the listener for browsers, with its key.
#[derive(Serialize, Deserialize)]
pub(super) struct ListenerRecord {
    pub(super) version: u8,
    pub(super) certificate: Vec<u8>,
    #[serde(with = "exposed")]
    pub(super) key: Secret<32>,
    /// Certificate of the root that signed it.
    pub(super) issuer: Vec<u8>,
    pub(super) names: Vec<String>,
    pub(super) made: UnixTime,
    pub(super) renew_at: UnixTime,
}

/// Errors of a sealed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRead {
    /// Another key sealed it, or it was changed.
    NotOpened,
    /// It opens, and its content is not understood.
    NotUnderstood,
}

/// Opens sealed roots.
pub(super) fn open(seal: &StoreKey, sealed: &[u8]) -> Result<Vec<Root>, NotRead> {
    let text = seal
        .open_text(SealKind::Authority, NAME.as_bytes(), sealed)
        .map_err(|_| NotRead::NotOpened)?;
    // The form of the rest depends on the version.
    if text.first() != Some(&VERSION) {
        return Err(NotRead::NotUnderstood);
    }
    let record: Record = postcard::from_bytes(&text).map_err(|_| NotRead::NotUnderstood)?;
    let roots = record.roots.into_iter().map(Root::from_record).collect::<Result<Vec<_>, _>>();
    roots.ok().filter(|roots| !roots.is_empty()).ok_or(NotRead::NotUnderstood)
}

/// Seals roots; `None` if there are too many for a record.
pub(super) fn seal(seal: &StoreKey, roots: &[Root]) -> Option<Vec<u8>> {
    let record = Record { version: VERSION, roots: roots.iter().map(Root::to_record).collect() };
    // The record has the private keys, so its buffer is wiped.
    let mut text = Zeroizing::new([0; RECORD_BYTES]);
    let text = postcard::to_slice(&record, &mut *text).ok()?;
    Some(seal.seal_text(SealKind::Authority, NAME.as_bytes(), text))
}
