//! What the registry knows of a static key.

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::registry::record::{Cause, Standing};
use handfast_store::{StoreError, Stored};

use crate::gateway::Gateway;

/// The standing of a revoked key whose record was removed.
const REVOKED: &Standing = &Standing::Revoked { cause: Cause::Unpaired };

/// The record with a key, or the revocation that outlived it.
#[derive(Debug)]
pub(crate) struct KnownKey {
    /// The record, if there is one.
    pub(crate) stored: Option<Stored>,
    is_revoked: bool,
}

impl KnownKey {
    /// Returns the standing of the key; `None` for a key that nothing is known of.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        match &self.stored {
            Some(stored) => Some(&stored.record.standing),
            None => self.is_revoked.then_some(REVOKED),
        }
    }
}

impl Gateway {
    /// Reads what the registry knows of a static key.
    pub(crate) async fn known_key(&self, key: &PublicKey) -> Result<KnownKey, StoreError> {
        let stored = self.inner.store.by_key(key).await?;
        // A record knows whether its key is revoked, which spares the second read.
        let is_revoked = stored.is_none() && self.inner.store.is_key_revoked(key).await?;
        Ok(KnownKey { stored, is_revoked })
    }
}
