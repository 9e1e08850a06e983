//! The PINs that pair a node now, for displays that only trusted people see.

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::limits::GUESSES_PER_CODE;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::codes::{CodeId, Kind};
use handfast_core::{Source, UnixTime};
use handfast_store::StoreError;

use crate::events::Pin;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;

/// A PIN that pairs the node with its key.
#[derive(Debug)]
pub struct ShownPin {
    /// Id of the PIN in the registry.
    pub id: CodeId,
    /// The PIN; `None` for an authority that may not pair with it.
    pub pin: Option<Pin>,
    /// The node's own name for itself, and its room.
    pub label: String,
    /// Fingerprint of the node's static key.
    pub fingerprint: Fingerprint,
    /// The source of the request; `None` if it is not known.
    pub source: Option<Source>,
    /// End of the PIN's validity.
    pub expires: UnixTime,
    /// Number of wrong guesses that are left.
    pub left: u8,
}

impl Gateway {
    /// Returns the PINs that pair a node now, the oldest first. They survive a restart. An authority
    /// that may not pair with a PIN learns only that it exists.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if the registry cannot be read.
    pub async fn shown_pins(&self, authority: &Authority) -> Result<Vec<ShownPin>, OperatorError> {
        let mut shown = Vec::new();
        // The listing is the newest first, and has no secrets.
        for code in self.codes().await?.into_iter().rev() {
            let Kind::Pin(key) = code.counted.kind else { continue };
            // It may have ended since it was listed.
            let Some(stored) = self.inner.store.code(code.id).await? else { continue };
            let pin = match authority.is_shown_secrets_of(code.maker) {
                true => Some(self.open_pin(&stored)?),
                false => None,
            };
            shown.push(ShownPin {
                id: code.id,
                pin,
                label: code.label,
                fingerprint: Fingerprint::of(&key),
                source: stored.source,
                expires: code.counted.expires,
                left: GUESSES_PER_CODE.saturating_sub(code.counted.guesses),
            });
        }
        Ok(shown)
    }

    fn open_pin(&self, stored: &handfast_store::StoredCode) -> Result<Pin, StoreError> {
        let opened = self.inner.pairing.seal.open_code(stored.id.as_bytes(), &stored.sealed);
        opened.map(Pin::new).map_err(|_| {
            StoreError::Database("the store key does not open a PIN of this registry".to_owned())
        })
    }
}
