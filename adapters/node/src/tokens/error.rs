//! Why a stored token cannot be read or kept. Nothing here ever holds a token, a key, or a piece of
//! a file.

use std::io;
use std::path::PathBuf;

/// Why the token store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// Reading or writing failed.
    #[error(
        "{what} {path}: {why}; use another path for the token store, or run as the owner of this one"
    )]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// The environment names no home.
    #[error(
        "there is no place for the token store: neither a home directory nor a configuration directory is set; name a path for it"
    )]
    NoPlace,
    /// Others can get at it.
    #[error(
        "{path} can be used by others (mode {mode:03o}); make it the owner's alone with\n  chmod {mend:03o} {path}"
    )]
    TooOpen {
        /// Which file or directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        mend: u32,
    },
    /// A link, directory, pipe, socket or device.
    #[error(
        "{path} is {found}, where a regular file belongs; name the file itself, or move what is there away"
    )]
    Irregular {
        /// What was named.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The store cannot be understood. It is left as it is.
    #[error(
        "the token store {path} is damaged: {why}. It was left as it is: restore it from a backup, or move it away and pair again\n  \
         mv {path} {path}.damaged"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong, without its content.
        why: String,
    },
    /// Other programs keep the store locked.
    #[error(
        "the token store {path} has been locked by another program for {seconds} s; end that program and try again"
    )]
    Busy {
        /// Which store.
        path: PathBuf,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// One entry cannot be understood; the others can be used.
    #[error(
        "the entry of gateway {router} in {path} is damaged: {why}; pair again with this gateway"
    )]
    BadEntry {
        /// Which store.
        path: PathBuf,
        /// The address it stands under.
        router: String,
        /// What is wrong, without its content.
        why: String,
    },
    /// The text is no gateway's address.
    #[error("{router:?} is no gateway address: write it as host and port, like 192.168.1.100:7330")]
    NotARouter {
        /// What was given.
        router: String,
    },
    /// What was to be kept is no token.
    #[error("what was given for gateway {router} is no token: {why}; pair again with this gateway")]
    NoToken {
        /// The address it was given for.
        router: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key that the token was sealed with is gone.
    #[error(
        "the token of gateway {router} cannot be opened: its key is no longer in {place}; pair again with this gateway"
    )]
    LostKey {
        /// The address the token stands under.
        router: String,
        /// Where the key was looked for.
        place: String,
    },
    /// The key does not open the token.
    #[error(
        "the token of gateway {router} cannot be opened with the key in {place}: the key was replaced, or the entry was changed or \
         copied from another address; pair again with this gateway"
    )]
    NotOpened {
        /// The address the token stands under.
        router: String,
        /// Where the key is from.
        place: String,
    },
    /// A sealed token, and no key source.
    #[error(
        "the token of gateway {router} is sealed, but the store was opened for plain tokens; open it with its keyring or key file"
    )]
    Sealed {
        /// The address the token stands under.
        router: String,
    },
    /// What should be a key is none.
    #[error(
        "{place} holds no key for the token store: it has {found} bytes, not 32; remove it and pair again"
    )]
    NotAKey {
        /// Where it is.
        place: String,
        /// Its length in bytes.
        found: u64,
    },
    /// The keyring cannot be asked.
    #[error(
        "the keyring of this session {why}; log in to a session with an unlocked keyring, or keep the key in a file instead and pair again"
    )]
    Keyring {
        /// What is wrong.
        why: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes ({why}); try again")]
    Randomness {
        /// What it says.
        why: getrandom::Error,
    },
}
