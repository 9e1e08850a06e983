//! The key by which a node verifies the compact certificates of its gateway.

use serde::{Deserialize, Serialize};

use crate::crypto::ed25519::{BadKey, PublicKey};
use crate::crypto::keys::OwnKeys;
use crate::serial::byte_array;

/// A gateway's Ed25519 key, encoded. It is decoded where a certificate is verified and not where it
/// is read: a decoded key takes 192 bytes, and a node without a signing key links no Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SignerKey(#[serde(with = "byte_array")] [u8; 32]);

impl SignerKey {
    /// Returns the encoding of a key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self(*key.as_bytes())
    }

    /// Returns the encoding of a gateway's key; `None` in a build without signing keys.
    #[must_use]
    pub fn of_gateway(keys: &OwnKeys) -> Option<Self> {
        #[cfg(feature = "identity")]
        let key = Some(Self::of(&keys.signing.public()));
        #[cfg(not(feature = "identity"))]
        let (key, _) = (None, keys);
        key
    }

    /// Wraps received or stored bytes; only [`key`](Self::key) tells whether they are a key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Decodes the key.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn key(&self) -> Result<PublicKey, BadKey> {
        PublicKey::parse(&self.0)
    }
}
