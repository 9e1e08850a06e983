//! Configuration of a node.

use std::path::PathBuf;

use handfast_core::wire::token::Token;

use crate::registration::record::Identity;
use crate::state::{HeldState, StateDir, StateError};
use crate::waits::Waits;

/// Configuration of a [`crate::LinuxNode`].
#[derive(Debug)]
pub struct NodeConfig {
    /// The node's name and room, and its gateway.
    pub identity: Identity,
    /// Description of the hardware: a JSON object of at most 4096 bytes.
    pub profile: String,
    /// The state directory, which holds the node id and a token that the owner enters.
    pub state: HeldState,
    /// A token that is stored elsewhere, such as in a file; it is used instead of a stored one and
    /// is not written to the state.
    pub token: Option<Token>,
    /// Starts as if nothing were stored, and so asks to be paired. The stored state is replaced
    /// only once a gateway has given a new id.
    pub ask_anew: bool,
    /// A file of CA certificates in PEM form that are trusted on `wss://` besides the system's.
    pub ca: Option<PathBuf>,
    /// Time limits and intervals.
    pub waits: Waits,
}

impl NodeConfig {
    /// Creates a configuration for this identity with its state in this directory. Everything else
    /// has its default: an empty profile, no token, no CA file, [`Waits::DEFAULT`].
    ///
    /// # Errors
    /// [`StateError`] if the directory cannot be used, or another process uses it.
    pub fn new(identity: Identity, state: impl Into<PathBuf>) -> Result<Self, StateError> {
        Ok(Self {
            identity,
            profile: "{}".to_owned(),
            state: StateDir::at(state).hold()?,
            token: None,
            ask_anew: false,
            ca: None,
            waits: Waits::DEFAULT,
        })
    }
}
