//! The gateway's own keys: sealed in the registry, and in use.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use handfast_core::UnixTime;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::{KeyPair, PublicKey};
use handfast_core::registry::gateway_keys::{GatewayKeys, OlderKey};
use handfast_core::secret::{Secret, exposed};
use handfast_store::audit::{Detail, Entry, What};
use handfast_store::{GATEWAY_KEYS, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::entropy;
use crate::keys::seal::{SealKind, StoreKey};
use crate::keys::setup::NotOpened;

/// Length of the keys of a gateway that has never rotated them, as they are sealed.
const FIRST_KEYS: usize = 64;
/// Maximum length of a record of keys.
const RECORD_BYTES: usize = 256;

/// The keys after a rotation, as they are sealed.
#[derive(Serialize, Deserialize)]
struct KeysRecord {
    #[serde(with = "exposed")]
    current: Secret<64>,
    first: PublicKey,
    older: Option<OlderRecord>,
}

#[derive(Serialize, Deserialize)]
struct OlderRecord {
    #[serde(with = "exposed")]
    key: Secret<32>,
    begun: UnixTime,
    until: UnixTime,
}

/// The keys in use, and the sealed text that they were read from.
pub(crate) struct KeysInUse {
    held: RwLock<Held>,
    /// Held from the reading of the registry until the keys are taken over, so that nobody takes
    /// over what was read before a change.
    reading: tokio::sync::Mutex<()>,
    /// The fingerprint of the current key, for whoever shows it.
    shown: watch::Sender<Fingerprint>,
}

struct Held {
    keys: Arc<GatewayKeys>,
    sealed: Vec<u8>,
}

/// The gateway's keys at one moment, which are used as the current ones.
#[derive(Clone, Debug)]
pub(crate) struct KeysNow(pub(crate) Arc<GatewayKeys>);

impl Deref for KeysNow {
    type Target = OwnKeys;

    fn deref(&self) -> &OwnKeys {
        self.0.current()
    }
}

impl KeysInUse {
    /// Opens the keys of this registry, or creates them.
    pub(crate) async fn open(store: &dyn Store, seal: &StoreKey) -> Result<Self, NotOpened> {
        let fresh = seal.seal(
            SealKind::GatewayKeys,
            GATEWAY_KEYS.as_bytes(),
            &OwnKeys::generate(&entropy::draw()).to_stored(),
        );
        let sealed = store.vault(GATEWAY_KEYS, fresh).await?;
        let keys = opened(seal, &sealed).ok_or(NotOpened::WrongStoreKey)?;
        let shown = watch::Sender::new(Fingerprint::of(keys.current().channel.public()));
        let held = RwLock::new(Held { keys: Arc::new(keys), sealed });
        Ok(Self { held, reading: tokio::sync::Mutex::default(), shown })
    }

    /// Returns a receiver of the fingerprints of the keys that take the place of the current one.
    pub(crate) fn fingerprints(&self) -> watch::Receiver<Fingerprint> {
        self.shown.subscribe()
    }

    /// Returns the keys in use.
    pub(crate) fn now(&self) -> KeysNow {
        KeysNow(Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner).keys))
    }

    /// Reads the keys again, which another gateway of this registry may have replaced. Returns
    /// `true` if they are others.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or were sealed with another store key.
    pub(crate) async fn read_again(
        &self,
        store: &dyn Store,
        seal: &StoreKey,
    ) -> Result<bool, StoreError> {
        let _reading = self.reading.lock().await;
        self.read_now(store, seal).await
    }

    async fn read_now(&self, store: &dyn Store, seal: &StoreKey) -> Result<bool, StoreError> {
        // There are keys, so the text is never stored.
        let sealed = store.vault(GATEWAY_KEYS, Vec::new()).await?;
        if self.held.read().unwrap_or_else(PoisonError::into_inner).sealed == sealed {
            return Ok(false);
        }
        let keys = opened(seal, &sealed).ok_or_else(|| {
            StoreError::Database("the gateway's keys are sealed with another store key".to_owned())
        })?;
        self.take(keys, sealed);
        Ok(true)
    }

    /// Replaces the keys by those that `change` makes of them: first in the store, so that nobody is
    /// told of a key that a restart would lose. The log says `what` was done. The inner error is that
    /// of `change`.
    ///
    /// # Errors
    /// [`StoreError`] if they could not be made durable.
    pub(crate) async fn replace<E>(
        &self,
        store: &dyn Store,
        seal: &StoreKey,
        what: What,
        change: impl Fn(&GatewayKeys) -> Result<GatewayKeys, E>,
    ) -> Result<Result<(), E>, StoreError> {
        let _reading = self.reading.lock().await;
        for _ in 0..super::MOST_CONFLICTS {
            self.read_now(store, seal).await?;
            let (keys, before) = {
                let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
                (Arc::clone(&held.keys), held.sealed.clone())
            };
            let after = match change(&keys) {
                Ok(after) => after,
                Err(error) => return Ok(Err(error)),
            };
            let sealed = sealed(seal, &after)?;
            let entry = Entry::new(what, [Detail::Word(GATEWAY_KEYS)]);
            if store.replace_vault(GATEWAY_KEYS, before, sealed.clone(), Some(entry)).await? {
                self.take(after, sealed);
                return Ok(Ok(()));
            }
        }
        Err(StoreError::Database("the gateway's keys change all the time".to_owned()))
    }

    fn take(&self, keys: GatewayKeys, sealed: Vec<u8>) {
        let fingerprint = Fingerprint::of(keys.current().channel.public());
        let keys = Arc::new(keys);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held { keys, sealed };
        // The end of an overlap leaves the current key as it is.
        self.shown.send_if_modified(|shown| std::mem::replace(shown, fingerprint) != fingerprint);
    }
}

fn sealed(seal: &StoreKey, keys: &GatewayKeys) -> Result<Vec<u8>, StoreError> {
    let older = keys.older().map(|OlderKey { pair, begun, until }| OlderRecord {
        key: pair.to_stored(),
        begun: *begun,
        until: *until,
    });
    let record = KeysRecord { current: keys.current().to_stored(), first: *keys.first(), older };
    let mut room = Zeroizing::new([0; RECORD_BYTES]);
    let text = postcard::to_slice(&record, &mut *room)
        .map_err(|error| StoreError::Database(format!("the gateway's keys: {error}")))?;
    Ok(seal.seal_text(SealKind::GatewayKeys, GATEWAY_KEYS.as_bytes(), text))
}

/// Opens sealed keys; `None` if they were sealed with another store key.
fn opened(seal: &StoreKey, sealed: &[u8]) -> Option<GatewayKeys> {
    let text = seal.open_text(SealKind::GatewayKeys, GATEWAY_KEYS.as_bytes(), sealed).ok()?;
    if let Ok(stored) = <&[u8; FIRST_KEYS]>::try_from(text.as_slice()) {
        return Some(GatewayKeys::new(OwnKeys::from_stored(&Secret::new(*stored))));
    }
    let KeysRecord { current, first, older } = postcard::from_bytes(&text).ok()?;
    let older = older.map(|OlderRecord { key, begun, until }| OlderKey {
        pair: KeyPair::from_stored(&key),
        begun,
        until,
    });
    Some(GatewayKeys::from_stored(OwnKeys::from_stored(&current), first, older))
}

#[cfg(test)]
mod tests {
    use handfast_core::Entropy;
    use handfast_core::registry::gateway_keys::OVERLAP;

    use super::*;

    fn seal() -> StoreKey {
        StoreKey(Secret::new([5; 32]))
    }

    #[test]
    fn rotated_keys_read_back_as_they_were_and_only_with_their_store_key() {
        let first = GatewayKeys::new(OwnKeys::generate(&Entropy::from_recorded([1; 64])));
        let now = UnixTime::from_secs(7);
        let rotated = first.rotate(&Entropy::from_recorded([2; 32]), OVERLAP, now).unwrap();
        for keys in [&rotated, &rotated.finished()] {
            let text = sealed(&seal(), keys).unwrap();
            let again = opened(&seal(), &text).unwrap();
            assert_eq!(again.current().to_stored(), keys.current().to_stored());
            assert_eq!(again.first(), first.current().channel.public());
            let times =
                |keys: &GatewayKeys| keys.older().map(|it| (*it.pair.public(), it.begun, it.until));
            assert_eq!(times(&again), times(keys));
            assert!(opened(&StoreKey(Secret::new([6; 32])), &text).is_none());
        }
    }

    #[test]
    fn keys_that_were_never_rotated_are_read_as_they_always_were() {
        let own = OwnKeys::generate(&Entropy::from_recorded([1; 64]));
        let text = seal().seal(SealKind::GatewayKeys, GATEWAY_KEYS.as_bytes(), &own.to_stored());
        let keys = opened(&seal(), &text).unwrap();
        assert_eq!(keys.current().to_stored(), own.to_stored());
        assert!(keys.older().is_none());
    }
}
