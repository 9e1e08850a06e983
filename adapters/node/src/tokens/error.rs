//! Errors of the token store. No error contains a token, a key, or a part of a file.

use std::path::PathBuf;

use handfast_private_file as private_file;

/// The reason for which the token store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// A file or its directory cannot be used, or others can use it.
    #[error(transparent)]
    File(#[from] private_file::Error),
    /// The store would be too large to be read back.
    #[error("the token store {path} would be larger than {most} bytes; remove entries first")]
    Full {
        /// Path of the store.
        path: PathBuf,
        /// Maximum size of a store in bytes.
        most: usize,
    },
    /// The environment names no home directory.
    #[error(
        "there is no place for the token store: neither a home directory nor a configuration directory is set; name a path for it"
    )]
    NoPlace,
    /// The store cannot be parsed. It is left unchanged.
    #[error(
        "the token store {path} is damaged: {why}. It was left as it is: restore it from a backup, or move it away and pair again\n  \
         mv {path} {path}.damaged"
    )]
    Damaged {
        /// Path of the store.
        path: PathBuf,
        /// The cause, without any content of the file.
        why: String,
    },
    /// Another program keeps the store locked.
    #[error(
        "the token store {path} has been locked by another program for {seconds} s; end that program and try again"
    )]
    Busy {
        /// Path of the store.
        path: PathBuf,
        /// Duration of the wait, in seconds.
        seconds: u64,
    },
    /// One entry cannot be parsed; the others can be used.
    #[error(
        "the entry of gateway {router} in {path} is damaged: {why}; pair again with this gateway"
    )]
    BadEntry {
        /// Path of the store.
        path: PathBuf,
        /// The address of the entry.
        router: String,
        /// The cause, without any content of the entry.
        why: String,
    },
    /// The text is not a gateway's address.
    #[error("{router:?} is no gateway address: write it as host and port, like 192.168.1.100:7330")]
    NotARouter {
        /// The given text.
        router: String,
    },
    /// The given text is not a token.
    #[error("what was given for gateway {router} is no token: {why}; pair again with this gateway")]
    NoToken {
        /// The address of the entry.
        router: String,
        /// The cause, as a sentence.
        why: &'static str,
    },
    /// The key of the sealed token is missing.
    #[error(
        "the token of gateway {router} cannot be opened: its key is no longer in {place}; pair again with this gateway"
    )]
    LostKey {
        /// The address of the entry.
        router: String,
        /// The place where the key was expected.
        place: String,
    },
    /// The key does not open the token.
    #[error(
        "the token of gateway {router} cannot be opened with the key in {place}: the key was replaced, or the entry was changed or \
         copied from another address; pair again with this gateway"
    )]
    NotOpened {
        /// The address of the entry.
        router: String,
        /// The place that the key came from.
        place: String,
    },
    /// The token is sealed, but the store was opened without a key source.
    #[error(
        "the token of gateway {router} is sealed, but the store was opened for plain tokens; open it with its keyring or key file"
    )]
    Sealed {
        /// The address of the entry.
        router: String,
    },
    /// The stored key has a wrong length.
    #[error(
        "{place} holds no key for the token store: it has {found} bytes, not 32; remove it and pair again"
    )]
    NotAKey {
        /// The place of the key.
        place: String,
        /// The length of the key in bytes, not 32.
        found: u64,
    },
    /// The keyring cannot be used.
    #[error(
        "the keyring of this session {why}; log in to a session with an unlocked keyring, or keep the key in a file instead and pair again"
    )]
    Keyring {
        /// The cause, as part of a sentence.
        why: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes ({why}); try again")]
    Randomness {
        /// The error of the system.
        why: getrandom::Error,
    },
}
