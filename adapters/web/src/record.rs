//! The bytes that a node stores: its keys, its pairing and its capability token.

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::registry::grants::GrantId;
use handfast_core::secret::{self, Secret};
use serde::{Deserialize, Serialize};

/// Version of the format, the first byte. Bytes with another one are left alone.
const VERSION: u8 = 1;

/// What a node stores. Its bytes hold the node's private keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored<'b> {
    version: u8,
    #[serde(with = "secret::exposed")]
    keys: Secret<64>,
    pub(crate) memory: NativeMemory,
    /// The grant with which the token came; meaningless without a token.
    pub(crate) grant: GrantId,
    /// The capability token in its binary form; empty if there is none.
    pub(crate) token: &'b [u8],
}

/// The reason for which stored bytes are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStored {
    /// Another version of this crate wrote them.
    OtherVersion,
    /// They are damaged.
    Damaged,
}

impl<'b> Stored<'b> {
    pub(crate) fn new(
        keys: &OwnKeys,
        memory: NativeMemory,
        grant: GrantId,
        token: &'b [u8],
    ) -> Self {
        Self { version: VERSION, keys: keys.to_stored(), memory, grant, token }
    }

    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, NotStored> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(_) => return Err(NotStored::OtherVersion),
            None => return Err(NotStored::Damaged),
        }
        let (stored, rest) = postcard::take_from_bytes(bytes).map_err(|_| NotStored::Damaged)?;
        // Bytes behind the record are no part of what was written.
        if rest.is_empty() { Ok(stored) } else { Err(NotStored::Damaged) }
    }

    pub(crate) fn write(&self, out: &mut [u8]) -> Option<usize> {
        postcard::to_slice(self, out).ok().map(|written| written.len())
    }

    pub(crate) fn keys(&self) -> OwnKeys {
        OwnKeys::from_stored(&self.keys)
    }
}
