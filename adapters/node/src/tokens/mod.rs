//! The token store of a client: what a node or companion keeps of each gateway that it is paired
//! with, by the gateway's address.
//!
//! One file, `tokens.json`, which people can read and other programs may add to:
//!
//! ```json
//! {"routers": {"192.168.1.100:7330": {"token": "…", "paired_at": "2024-01-15T10:30:00Z", "name": "Studio Router"}}}
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `tokens.json` | the entries; tokens as `enc1:…` (sealed for their address) or, when asked for, as they are |
//! | `tokens.key` | the key, where it is not in a keyring |
//! | `tokens.json.lock` | nothing; whoever writes holds it, so programs do not lose each other's entries |
//! | `tokens.json.tmp`, `tokens.key.….tmp` | a write that was cut off; never read |
//!
//! All of them are 0600, a directory that is made for them is 0700. The calls block for as long as
//! small files or a keyring take, a writer for up to ten seconds if others write.

mod document;
mod entry;
mod error;
mod file;
mod key;
mod keyring;
mod path;
mod seal;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use entry::{Entry, Listed, SecretText};
pub use error::TokensError;
pub use key::KeySource;
pub use path::{default_path, router_of};

use document::{Document, Fields};

/// Most bytes of a store; hundreds of entries are far below it.
const MOST_BYTES: usize = 1024 * 1024;
/// Most bytes of a token; a capability has 2048.
const TOKEN_BYTES: usize = 16 * 1024;
/// Most bytes of an address: the longest host name, a port, and the brackets of an IPv6 address
/// with its zone.
const ROUTER_BYTES: usize = 300;
/// The field beside `routers` that tells the next program where the key is.
const KEY_SOURCE: &str = "key_source";
/// The field of an entry that is sealed.
const TOKEN: &str = "token";

/// A store of tokens. The value holds nothing but where things are; each call reads what is there
/// then.
#[derive(Debug)]
pub struct TokenStore {
    path: PathBuf,
    keys: KeySource,
}

impl TokenStore {
    /// The store in this file, which need not exist; nothing is made before the first
    /// [`put`](Self::put).
    ///
    /// # Errors
    /// If the file, its directory or its key file is there and can be used by others, is of another
    /// kind, or is damaged.
    pub fn open(path: impl Into<PathBuf>, keys: KeySource) -> Result<Self, TokensError> {
        let store = Self { path: path.into(), keys };
        if store.path.file_name().is_none() {
            return Err(TokensError::Irregular { path: store.path, found: "a directory" });
        }
        store.load()?;
        // A keyring is asked only when its key is needed.
        if let KeySource::File(_) = store.keys {
            store.keys.find(&store.path)?;
        }
        Ok(store)
    }

    /// The store in this file with the key where it was so far; for a new one in the keyring if the
    /// session has one that is not locked, else in a file beside it. Never plain.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_usual(path: impl Into<PathBuf>) -> Result<Self, TokensError> {
        let plain = Self::open(path, KeySource::Plain)?;
        let kind: Option<String> = plain.load()?.rest.get(KEY_SOURCE).unwrap_or_default();
        let known = kind.and_then(|kind| KeySource::named(&kind, &plain.path));
        let keys = known.unwrap_or_else(|| match KeySource::beside(&plain.path) {
            KeySource::File(key) if !key.exists() && keyring::is_usable() => KeySource::Keyring,
            in_a_file => in_a_file,
        });
        Self::open(plain.path, keys)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the key is.
    #[must_use]
    pub const fn key_source(&self) -> &KeySource {
        &self.keys
    }

    /// What is kept of a gateway; `None` if nothing is. Sealed and plain tokens are told apart by
    /// what they begin with.
    ///
    /// # Errors
    /// If the store cannot be read, the entry is damaged, or its token does not open.
    pub fn get(&self, router: &str) -> Result<Option<Entry>, TokensError> {
        let document = self.load()?;
        let Some(fields) = document.routers.get(router) else { return Ok(None) };
        let bad =
            |why| TokensError::BadEntry { path: self.path.clone(), router: router.to_owned(), why };
        let token = token_of(fields).map_err(|why| bad(why.to_owned()))?;
        let token =
            if token.starts_with(seal::PREFIX) { self.unseal(router, &token)? } else { token };
        Entry::read(fields, SecretText::new(token)).map(Some).map_err(bad)
    }

    /// Keeps an entry in place of the one of that gateway, if there is one. Fields that this
    /// program does not know stay. When this returns, it is durable.
    ///
    /// A key that was lost is replaced: that is how pairing again mends it. Tokens of other
    /// gateways that it sealed stay closed.
    ///
    /// # Errors
    /// If the store cannot be read or written, or there is no key; then what was kept is still
    /// there.
    pub fn put(&self, router: &str, entry: Entry) -> Result<(), TokensError> {
        check_router(router)?;
        let token = entry.token.expose();
        if let Some(why) = unfit(token) {
            return Err(TokensError::NoToken { router: router.to_owned(), why });
        }
        file::make_directory(file::directory(&self.path))?;
        let _lock = file::lock(&self.path)?;
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
            document.rest.set(KEY_SOURCE, Some(kind));
        }
        let fields = document.routers.entry(router.to_owned()).or_default();
        entry.write(fields);
        fields.set(TOKEN, Some(&**token));
        self.save(&document)
    }

    /// Forgets a gateway. Returns whether there was anything. Needs no key.
    ///
    /// # Errors
    /// If the store cannot be read or written; then what was kept is still there.
    pub fn remove(&self, router: &str) -> Result<bool, TokensError> {
        // Where there is nothing, nothing is made.
        if !self.load()?.routers.contains_key(router) {
            return Ok(false);
        }
        let _lock = file::lock(&self.path)?;
        let mut document = self.load()?;
        if document.routers.remove(router).is_none() {
            return Ok(false);
        }
        self.save(&document).map(|()| true)
    }

    /// All gateways of which something is kept, by address. Needs no key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, TokensError> {
        let document = self.load()?;
        let sealed =
            |fields: &Fields| token_of(fields).is_ok_and(|token| token.starts_with(seal::PREFIX));
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
        let Some(bytes) = file::read(&self.path, MOST_BYTES as u64)? else {
            return Ok(Document::default());
        };
        let damaged = |why| TokensError::Damaged { path: self.path.clone(), why };
        if bytes.len() > MOST_BYTES {
            return Err(damaged(format!("it is larger than {MOST_BYTES} bytes")));
        }
        Document::read(&bytes).map_err(damaged)
    }

    fn save(&self, document: &Document) -> Result<(), TokensError> {
        let bytes = document.write(MOST_BYTES);
        if bytes.len() > MOST_BYTES {
            let why = io_full();
            return Err(TokensError::Io { what: "cannot write", path: self.path.clone(), why });
        }
        file::replace(&self.path, &bytes)
    }
}

/// What would not be read back is not written.
fn io_full() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::FileTooLarge,
        format!("it would be larger than {MOST_BYTES} bytes; remove entries first"),
    )
}

/// The token as it is kept. The error never shows it.
fn token_of(fields: &Fields) -> Result<Zeroizing<String>, &'static str> {
    match fields.get(TOKEN).map(|found| found.map(Zeroizing::<String>::new)) {
        Ok(Some(token)) if !token.is_empty() => Ok(token),
        Ok(None) => Err("it has no token"),
        Ok(Some(_)) | Err(()) => Err("its token is none"),
    }
}

/// Why a text is no token.
fn unfit(token: &str) -> Option<&'static str> {
    match token {
        "" => Some("it is empty"),
        token if token.len() > TOKEN_BYTES => Some("it is too long"),
        token if token.starts_with(seal::PREFIX) => Some("it begins like a sealed one"),
        token if token.chars().any(char::is_control) => Some("it holds control characters"),
        _ => None,
    }
}

/// Anything that can stand for a host and a port; which ones lead somewhere shows when one
/// connects.
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
