//! The native wire: a node that is paired by PIN, code or approval, over a sealed channel on a
//! WebSocket, TCP or a serial line.
//!
//! Core decides (`handfast_core::flow::native::node`); this module connects, stores, waits and
//! reports.

mod address;
mod address_book;
mod board;
mod certificate;
mod certificate_keeper;
mod chain;
mod context;
mod delegate;
mod dispatching;
mod effects;
mod event;
mod incoming_objects;
mod log;
mod mtls;
mod node;
mod owner;
pub(crate) mod record;
mod renewal;
mod request;
mod search;
pub(crate) mod storage;
mod stream;
pub(crate) mod transport;

use std::path::PathBuf;

pub use self::storage::{NativeStorageError, open_tokens};
pub use crate::clock::unix_now;
pub use address::{DEFAULT_BAUD, GatewayAt, NotAnAddress};
pub use address_book::ToldAddresses;
pub use certificate::CertificateFacts;
pub use chain::{ChainFacts, NotDelegated, delegate};
pub use delegate::{DelegateError, DelegateEvent, DelegateLink};
pub use event::{AppMessage, NativeEvent, NativeEvents, PairingRefusal};
pub use node::NativeNode;
pub use owner::{NativeOwner, NotSent, Renewable};
pub use record::{NativeIdentity, read_public, write_public};

use handfast_core::limits::NATIVE_PROFILE_BYTES;

use crate::capability::Capabilities;
use crate::state::{HeldState, StateDir, StateError};
use crate::tls::NodeTlsError;
use crate::waits::Waits;

/// Configuration of a [`NativeNode`].
#[derive(Debug)]
pub struct NativeConfig {
    /// The node's name and room, its gateway, and its token store.
    pub identity: NativeIdentity,
    /// Description of the hardware: a JSON object of at most 256 bytes.
    pub profile: String,
    /// The state directory, which holds the keys and the pairing.
    pub state: HeldState,
    /// Addresses of the gateway for this run, instead of those of the identity.
    pub via: Option<Vec<GatewayAt>>,
    /// A file of CA certificates in PEM form that are trusted on `wss://` besides the system's.
    pub ca: Option<PathBuf>,
    /// Time limits and intervals.
    pub waits: Waits,
    /// What the node can be asked to do.
    pub capabilities: Capabilities,
    /// Asks a gateway that issues certificates for one: when the node is paired, and over its link
    /// if it has none. A node that has one renews it in any case.
    pub certificate: bool,
}

impl NativeConfig {
    /// Creates a configuration for this identity with its state in this directory. Everything else
    /// has its default: an empty profile, no other address, no CA file, [`Waits::DEFAULT`], no
    /// capabilities, a certificate where the gateway gives some.
    ///
    /// # Errors
    /// [`StateError`] if the directory cannot be used, or another process uses it.
    pub fn new(identity: NativeIdentity, state: impl Into<PathBuf>) -> Result<Self, StateError> {
        let state = StateDir::at(state).hold()?;
        Ok(Self {
            identity,
            profile: "{}".to_owned(),
            state,
            via: None,
            ca: None,
            waits: Waits::DEFAULT,
            capabilities: Capabilities::none(),
            certificate: true,
        })
    }
}

/// The reason for which a node of the native wire cannot start or cannot continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// The state or the token store cannot be read or written.
    #[error(transparent)]
    Keep(#[from] NativeStorageError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] NodeTlsError),
    /// The profile is not a JSON object, or is too long.
    #[error(
        "the profile must be one JSON object of at most {NATIVE_PROFILE_BYTES} bytes, like '{{\"model\":\"Pi 5\"}}'"
    )]
    Profile,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
    /// No key for a certificate could be made.
    #[error("no key for a certificate can be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The runtime shut down while the state was being stored.
    #[error("stopped while something was being kept")]
    Stopped,
}
