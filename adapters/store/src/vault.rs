//! The gateways' own secrets.

use async_trait::async_trait;

use crate::StoreError;
use crate::audit::Entry;

/// Name of the key of clone marks.
pub const CLONE_MARK_KEY: &str = "clone-mark-key";
/// Name of the gateway's own keys.
pub const GATEWAY_KEYS: &str = "gateway-keys";
/// Name of the roots of the certificate authority that several gateways share.
pub const AUTHORITY: &str = "authority";
/// Name of the keys that sign setup codes. Only the secrets up to here are replaced.
pub const SETUP_KEY: &str = "setup-key";
/// Name of the key that seals messages between gateways.
pub const BUS_KEY: &str = "bus-key";

/// Secrets that all gateways of a registry share, each sealed by the caller and found by its name.
#[async_trait]
pub trait Vault {
    /// Returns a named secret. If there is none, stores and returns `fresh`.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn vault(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError>;

    /// Replaces a named secret that still is `before`. Returns `true` if it was replaced. `entry`
    /// then says so in the log; `None` where a decision of the caller's records it.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn replace_vault(
        &self,
        name: &str,
        before: Vec<u8>,
        fresh: Vec<u8>,
        entry: Option<Entry>,
    ) -> Result<bool, StoreError>;
}
