//! Keys in the registry, read again after another gateway may have replaced them.

use std::sync::Arc;

use handfast_store::StoreError;

use crate::ca::AuthorityError;
use crate::gateway::{Gateway, certificates};

impl Gateway {
    /// Takes over the keys that another gateway of this registry has replaced: the gateway's own,
    /// those of setup codes, and the roots of the certificate authority.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or do not open. Those in use stay then.
    pub async fn read_keys_again(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let (store, seal) = (&*inner.store, &inner.pairing.seal);
        if inner.pairing.keys.read_again(store, seal).await? {
            tracing::warn!(fingerprint = %self.fingerprint(), "another gateway of the registry has replaced the keys");
        }
        inner.setup.keys.read_again(store, seal, self.now()).await?;
        if Arc::clone(&inner.store).shared().is_none() {
            // The roots are files, which are looked after by themselves.
            return Ok(());
        }
        certificates::read_authority_again(inner).await.map_err(AuthorityError::of_registry)
    }
}
