//! The native wire: a node that is paired by PIN, code or approval, over a sealed channel on a
//! WebSocket, TCP or a serial line.
//!
//! Core decides (`handfast_core::flow::native::node`); here it is connected, kept, waited and told.

mod address;
mod carrier;
mod chain;
mod delegate;
mod event;
mod feed;
mod keep;
mod log;
mod owner;
mod pump;
pub(crate) mod record;
mod renewal;
mod stream;

use std::path::PathBuf;

pub use address::{DEFAULT_BAUD, GatewayAt, NotAnAddress};
pub use chain::{Facts, NotDelegated, delegate, unix_now};
pub use delegate::{Delegate, DelegateError, DelegateEvent};
pub use event::{AppMessage, NativeEvent, NativeEvents, PairingRefusal};
pub use keep::{KeepError, open_tokens};
pub use owner::{NativeOwner, NotSent, Renewable};
pub use pump::NativeNode;
pub use record::{NativeIdentity, read_public, write_public};

use handfast_core::limits::NATIVE_PROFILE_BYTES;

use crate::config::Waits;
use crate::state::{HeldState, StateDir, StateError};
use crate::tls::TlsError;

/// Everything a [`NativeNode`] needs.
#[derive(Debug)]
pub struct NativeConfig {
    /// Who it is, to whom, and where its token is.
    pub identity: NativeIdentity,
    /// What it is made of: a JSON object of at most 256 bytes.
    pub profile: String,
    /// Where it keeps its keys and its pairing.
    pub state: HeldState,
    /// Where the gateway is reached this time, if not where its identity says.
    pub via: Option<Vec<GatewayAt>>,
    /// A file of certificates in PEM form that are trusted on `wss://` besides the system's.
    pub ca: Option<PathBuf>,
    /// The waits.
    pub waits: Waits,
}

impl NativeConfig {
    /// A node with this identity that keeps its state in this directory; everything else as
    /// documented by default.
    ///
    /// # Errors
    /// If the directory cannot be used, or another process uses it.
    pub fn new(identity: NativeIdentity, state: impl Into<PathBuf>) -> Result<Self, StateError> {
        let state = StateDir::at(state).hold()?;
        Ok(Self {
            identity,
            profile: "{}".to_owned(),
            state,
            via: None,
            ca: None,
            waits: Waits::DEFAULT,
        })
    }
}

/// Why a node of the native wire cannot start or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// What it keeps cannot be read or written.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// It cannot connect to anything encrypted.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Its profile is none.
    #[error(
        "the profile must be one JSON object of at most {NATIVE_PROFILE_BYTES} bytes, like '{{\"model\":\"Pi 5\"}}'"
    )]
    Profile,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The process is being torn down.
    #[error("stopped while something was being kept")]
    Stopped,
}
