//! The keyring of the user's session: the Secret Service of freedesktop.org, which GNOME, KDE and
//! KeePassXC offer on the session's D-Bus.
//!
//! The calls are few, so they are implemented here; the crates for it bring a second asynchronous
//! runtime and a big-number library. The key travels over the bus unencrypted (the `plain`
//! algorithm): the bus is a Unix socket of the same user, and a process that could listen there
//! could as well request the key. The user is never prompted: a locked keyring is an error that
//! says so, because a daemon has nobody to ask.

use std::collections::HashMap;
use std::time::Duration;

use handfast_core::secret::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::wire::{DynamicType, OwnedObjectPath, OwnedVariant, Type, Variant};
use zbus::{Connection, Error};
use zeroize::Zeroizing;

use super::error::TokensError;
use super::key::KEY_BYTES;

const SERVICE: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
/// The path that stands for no object, and for no prompt.
const NONE: &str = "/";
/// Limit for an answer of the keyring, which may have to be started first.
const WITHIN: Duration = Duration::from_secs(10);

type Key = Secret<KEY_BYTES>;
/// Session, parameters of the session's encryption, value, type of the value.
type Sent = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

/// Loads the key of a store; `None` if the keyring has none.
pub(super) fn find(store: &str) -> Result<Option<Key>, TokensError> {
    let store = store.to_owned();
    block(async move { Keyring::reach().await?.find(&store).await })
}

/// Stores the key of a store that has none.
pub(super) fn keep(store: &str, key: &Key) -> Result<(), TokensError> {
    let (store, key) = (store.to_owned(), Zeroizing::new(key.expose().to_vec()));
    block(async move { Keyring::reach().await?.keep(&store, &key).await })
}

/// Returns `true` if a key could be stored now without a prompt.
pub(super) fn is_usable() -> bool {
    block(async { Keyring::reach().await?.collection().await.map(|_| ()) }).is_ok()
}

/// Runs the calls on a separate thread, so that the caller may be inside or outside an asynchronous
/// runtime.
fn block<T: Send + 'static>(
    calls: impl Future<Output = Result<T, KeyringFailure>> + Send + 'static,
) -> Result<T, TokensError> {
    // The caller may be inside a runtime, which must not be blocked, so the calls have their own.
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|why| KeyringFailure::Other(format!("cannot be asked: {why}")))?;
        let late = KeyringFailure::Other(format!("has not answered for {} s", WITHIN.as_secs()));
        runtime.block_on(async { tokio::time::timeout(WITHIN, calls).await.unwrap_or(Err(late)) })
    };
    let thread = std::thread::Builder::new().name("keyring".to_owned()).spawn(run);
    let ended = thread
        .map_err(|why| KeyringFailure::Other(format!("cannot be asked: {why}")))
        .and_then(|thread| {
            let panicked =
                |_| Err(KeyringFailure::Other("cannot be asked: the call was cut off".to_owned()));
            thread.join().unwrap_or_else(panicked)
        });
    ended.map_err(|failed| match failed {
        KeyringFailure::NotAKey(found) => TokensError::NotAKey {
            place: "an item of the keyring of this session".to_owned(),
            found,
        },
        KeyringFailure::Other(why) => TokensError::Keyring { why },
    })
}

enum KeyringFailure {
    NotAKey(u64),
    Other(String),
}

impl From<Error> for KeyringFailure {
    fn from(error: Error) -> Self {
        Self::Other(format!("cannot be used: {error}"))
    }
}

struct Keyring {
    bus: Connection,
    session: OwnedObjectPath,
}

impl Keyring {
    async fn reach() -> Result<Self, KeyringFailure> {
        let unreachable = |error| KeyringFailure::Other(format!("cannot be reached: {error}"));
        let bus = Connection::session().await.map_err(unreachable)?;
        // The session bus does not leave this machine, so the transfer is not encrypted once more.
        let opened =
            call(&bus, ROOT, "Service", "OpenSession", &("plain", Variant::from(""))).await;
        let (_, session): (OwnedVariant, _) = opened.map_err(unreachable)?;
        Ok(Self { bus, session })
    }

    async fn find(&self, store: &str) -> Result<Option<Key>, KeyringFailure> {
        let found: (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
            call(&self.bus, ROOT, "Service", "SearchItems", &attributes(store)).await?;
        // An unlocked item is preferred, because unlocking may fail.
        let item = match found {
            (open, _) if !open.is_empty() => open.into_iter().next(),
            (_, locked) => locked.into_iter().next(),
        };
        let Some(item) = item else { return Ok(None) };
        self.unlock(&item).await?;
        let sent: (Sent,) =
            call(&self.bus, item.as_str(), "Item", "GetSecret", &self.session).await?;
        let value = Zeroizing::new(sent.0.2);
        let key = <[u8; KEY_BYTES]>::try_from(&**value)
            .map_err(|_| KeyringFailure::NotAKey(value.len() as u64))?;
        Ok(Some(Secret::new(key)))
    }

    async fn keep(&self, store: &str, key: &[u8]) -> Result<(), KeyringFailure> {
        let collection = self.collection().await?;
        let properties = HashMap::from([
            (
                "org.freedesktop.Secret.Item.Label",
                Variant::from(format!("Handfast: key of {store}")),
            ),
            ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes(store))),
        ]);
        let sent = (&self.session, &[] as &[u8], key, "application/octet-stream");
        // An existing item may hold the key of sealed tokens, so none is replaced.
        let replace = false;
        let made = call(
            &self.bus,
            collection.as_str(),
            "Collection",
            "CreateItem",
            &(properties, sent, replace),
        )
        .await?;
        let (_, question): (OwnedObjectPath, OwnedObjectPath) = made;
        unasked(&question)
    }

    /// Returns the default collection, unlocked.
    async fn collection(&self) -> Result<OwnedObjectPath, KeyringFailure> {
        let (collection,): (OwnedObjectPath,) =
            call(&self.bus, ROOT, "Service", "ReadAlias", &"default").await?;
        if collection.as_str() == NONE {
            return Err(KeyringFailure::Other("has no default collection".to_owned()));
        }
        self.unlock(&collection).await?;
        Ok(collection)
    }

    async fn unlock(&self, object: &OwnedObjectPath) -> Result<(), KeyringFailure> {
        let unlocked = call(&self.bus, ROOT, "Service", "Unlock", &[object].as_slice()).await?;
        let (_, question): (Vec<OwnedObjectPath>, OwnedObjectPath) = unlocked;
        unasked(&question)
    }
}

/// Fails if the keyring wants to prompt the user. A prompt that is never started has no effect.
fn unasked(question: &OwnedObjectPath) -> Result<(), KeyringFailure> {
    if question.as_str() == NONE {
        Ok(())
    } else {
        Err(KeyringFailure::Other("is locked".to_owned()))
    }
}

/// Returns the attributes that identify the key of a store.
fn attributes(store: &str) -> HashMap<&'static str, &str> {
    HashMap::from([("application", "handfast"), ("kind", "token-store-key"), ("store", store)])
}

async fn call<T: DeserializeOwned + Type>(
    bus: &Connection,
    object: &str,
    interface: &str,
    method: &str,
    body: &(impl Serialize + DynamicType),
) -> Result<T, Error> {
    let interface = format!("org.freedesktop.Secret.{interface}");
    let reply =
        bus.call_method(Some(SERVICE), object, Some(interface.as_str()), method, body).await?;
    reply.body().deserialize_ignore_signature()
}
