//! The token store of a client: the data that a node or companion keeps of each gateway that it is
//! paired with, by the gateway's address.
//!
//! One file, `tokens.json`, which people can read and other programs may add to:
//!
//! ```json
//! {"routers": {"192.168.1.100:7330": {
//!   "token": "…", "paired_at": "2024-01-15T10:30:00Z", "name": "Studio Router"
//! }}}
//! ```
//!
//! | file | content |
//! |---|---|
//! | `tokens.json` | the entries; tokens as `enc1:…` (sealed for their address) or plain |
//! | `tokens.key` | the key, where it is not in a keyring |
//! | `tokens.json.lock` | nothing; a writer locks it against other writers |
//! | `tokens.json.tmp`, `tokens.key.….new` | an interrupted write; never read |
//!
//! All of them have mode 0600; a directory that is created for them has 0700. The calls block for
//! as long as small files or a keyring take, a writer for up to ten seconds while others write.

mod document;
mod entry;
mod error;
mod file;
mod key;
#[cfg(feature = "keyring")]
mod keyring;
#[cfg(not(feature = "keyring"))]
#[path = "no_keyring.rs"]
mod keyring;
mod path;
mod seal;

use std::path::{Path, PathBuf};

use handfast_private_file::Kind;
use zeroize::Zeroizing;

pub use entry::{Listed, SecretText, TokenEntry};
pub use error::TokensError;
pub use key::KeySource;
pub use path::{default_path, router_of};

use document::{Document, DocumentFields};

/// Maximum size of a store in bytes; hundreds of entries are far below it.
const MOST_BYTES: usize = 1024 * 1024;
/// Maximum size of a token in bytes; a capability token has at most 2048.
const TOKEN_BYTES: usize = 16 * 1024;
/// Maximum length of an address in bytes: the longest host name, a port, and the brackets of an
/// IPv6 address with its zone.
const ROUTER_BYTES: usize = 300;
/// The field beside `routers` that names the place of the key.
const KEY_SOURCE: &str = "key_source";
/// The field of an entry that is sealed.
const TOKEN: &str = "token";

/// A store of tokens. The value holds only the paths; each call reads the file anew.
#[derive(Debug)]
pub struct TokenStore {
    path: PathBuf,
    keys: KeySource,
}

impl TokenStore {
    /// Opens the store in this file, which need not exist; nothing is created before the first
    /// [`put`](Self::put).
    ///
    /// # Errors
    /// [`TokensError`] if the file, its directory or its key file exists and is accessible to
    /// others, is of another kind, or is damaged.
    pub fn open(path: impl Into<PathBuf>, keys: KeySource) -> Result<Self, TokensError> {
        let store = Self { path: path.into(), keys };
        // A damaged store is found at the start, not when a token is needed.
        store.load()?;
        // A keyring is queried only when its key is needed.
        if let KeySource::File(_) = store.keys {
            store.keys.find(&store.path)?;
        }
        Ok(store)
    }

    /// Opens the store in this file with its previous key source. A new store uses the keyring if
    /// the session has an unlocked one, and otherwise a file beside it, but never plain text.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_usual(path: impl Into<PathBuf>) -> Result<Self, TokensError> {
        let plain = Self::open(path, KeySource::Plain)?;
        let kind: Option<String> = plain.load()?.rest.get(KEY_SOURCE).unwrap_or_default();
        let known = kind.and_then(|kind| KeySource::named(&kind, &plain.path));
        let keys = known.unwrap_or_else(|| match KeySource::beside(&plain.path) {
            // An existing key file may have sealed tokens of this store, so it stays in use.
            KeySource::File(key) if !key.exists() && keyring::is_usable() => KeySource::Keyring,
            kept @ (KeySource::Keyring | KeySource::File(_) | KeySource::Plain) => kept,
        });
        Self::open(plain.path, keys)
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the place of the key.
    #[must_use]
    pub const fn key_source(&self) -> &KeySource {
        &self.keys
    }

    /// Loads the entry of a gateway; `None` if there is none. Sealed and plain tokens are
    /// distinguished by their prefix.
    ///
    /// # Errors
    /// [`TokensError`] if the store cannot be read, the entry is damaged, or its token does not
    /// open.
    pub fn get(&self, router: &str) -> Result<Option<TokenEntry>, TokensError> {
        let document = self.load()?;
        let Some(fields) = document.routers.get(router) else { return Ok(None) };
        let bad =
            |why| TokensError::BadEntry { path: self.path.clone(), router: router.to_owned(), why };
        let token = token_of(fields).map_err(|why| bad(why.to_owned()))?;
        let token =
            if token.starts_with(seal::PREFIX) { self.unseal(router, &token)? } else { token };
        TokenEntry::read(fields, SecretText::new(token)).map(Some).map_err(bad)
    }

    /// Stores an entry in place of that gateway's old one, if any. Unknown fields are preserved.
    /// The entry is durable when this returns.
    ///
    /// A lost key is replaced, so pairing again repairs the store. Tokens of other gateways that
    /// the lost key sealed stay closed.
    ///
    /// # Errors
    /// [`TokensError`] if the address or the token is invalid, the store cannot be read or written,
    /// or there is no key; then the old content is still there.
    pub fn put(&self, router: &str, entry: TokenEntry) -> Result<(), TokensError> {
        check_router(router)?;
        let token = entry.token.expose();
        if let Some(why) = unfit(token) {
            return Err(TokensError::NoToken { router: router.to_owned(), why });
        }
        file::make_directory(&self.path)?;
        let _lock = file::lock(&self.path)?;
        // Read under the lock, so that entries of other programs are not lost.
        let mut document = self.load()?;
        let token = match self.keys.find_or_make(&self.path)? {
            None => Zeroizing::new(token.to_owned()),
            Some(key) => {
                let sealed = seal::seal(&key, router, token)
                    .map_err(|why| TokensError::Randomness { why })?;
                let too_long =
                    || TokensError::NoToken { router: router.to_owned(), why: "it is too long" };
                Zeroizing::new(sealed.ok_or_else(too_long)?)
            }
        };
        if let Some(kind) = self.keys.kind() {
            // The next opening of the store finds the kind of its key here.
            document.rest.set(KEY_SOURCE, Some(kind));
        }
        let fields = document.routers.entry(router.to_owned()).or_default();
        entry.write(fields);
        fields.set(TOKEN, Some(&**token));
        self.save(&document)
    }

    /// Removes the entry of a gateway. Returns `false` if there was none. Needs no key.
    ///
    /// # Errors
    /// [`TokensError`] if the store cannot be read or written; then the old content is still there.
    pub fn remove(&self, router: &str) -> Result<bool, TokensError> {
        // Without an entry, no lock file is created.
        if !self.load()?.routers.contains_key(router) {
            return Ok(false);
        }
        let _lock = file::lock(&self.path)?;
        // Read again under the lock, so that entries of other programs are not lost.
        let mut document = self.load()?;
        if document.routers.remove(router).is_none() {
            return Ok(false);
        }
        self.save(&document).map(|()| true)
    }

    /// Lists all entries by address. Needs no key.
    ///
    /// # Errors
    /// [`TokensError`] if the store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, TokensError> {
        let document = self.load()?;
        let sealed = |fields: &DocumentFields| {
            token_of(fields).is_ok_and(|token| token.starts_with(seal::PREFIX))
        };
        Ok(document
            .routers
            .iter()
            .map(|(router, fields)| Listed::read(router, fields, sealed(fields)))
            .collect())
    }

    fn unseal(&self, router: &str, token: &str) -> Result<Zeroizing<String>, TokensError> {
        let (router, place) = (router.to_owned(), self.keys.place());
        if self.keys == KeySource::Plain {
            return Err(TokensError::Sealed { router });
        }
        match self.keys.find(&self.path)? {
            None => Err(TokensError::LostKey { router, place }),
            Some(key) => seal::open(&key, &router, token)
                .map_err(|_| TokensError::NotOpened { router, place }),
        }
    }

    fn load(&self) -> Result<Document, TokensError> {
        let damaged = |why| TokensError::Damaged { path: self.path.clone(), why };
        match file::read(&self.path, MOST_BYTES as u64) {
            Ok(Some(bytes)) => Document::read(&bytes).map_err(damaged),
            Ok(None) => Ok(Document::default()),
            Err(TokensError::File(error)) if error.kind() == Kind::Content => {
                Err(damaged(error.problem().to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    fn save(&self, document: &Document) -> Result<(), TokensError> {
        let bytes = document.write(MOST_BYTES);
        if bytes.len() > MOST_BYTES {
            return Err(TokensError::Full { path: self.path.clone(), most: MOST_BYTES });
        }
        file::replace(&self.path, &bytes)
    }
}

/// Returns the token as it is stored. The error never contains it.
fn token_of(fields: &DocumentFields) -> Result<Zeroizing<String>, &'static str> {
    match fields.get(TOKEN).map(|found| found.map(Zeroizing::<String>::new)) {
        Ok(Some(token)) if !token.is_empty() => Ok(token),
        Ok(None) => Err("it has no token"),
        Ok(Some(_)) | Err(()) => Err("its token is none"),
    }
}

/// Returns the reason for which a text is not a token, or `None` for a valid one.
fn unfit(token: &str) -> Option<&'static str> {
    match token {
        "" => Some("it is empty"),
        token if token.len() > TOKEN_BYTES => Some("it is too long"),
        // A plain token like that would be opened in vain.
        token if token.starts_with(seal::PREFIX) => Some("it begins like a sealed one"),
        token if token.chars().any(char::is_control) => Some("it holds control characters"),
        _ => None,
    }
}

/// Checks that the address is a host and a port. Nothing is looked up, so the host may not exist.
///
/// # Errors
/// [`TokensError::NotARouter`].
fn check_router(router: &str) -> Result<(), TokensError> {
    let port = router.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    let number = port.is_some_and(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    let host = router.len() <= ROUTER_BYTES
        && !router.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/');
    if number && host {
        Ok(())
    } else {
        Err(TokensError::NotARouter { router: router.chars().take(ROUTER_BYTES).collect() })
    }
}

#[cfg(test)]
mod tests;
