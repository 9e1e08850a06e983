//! What a node is told before it starts.

use std::path::PathBuf;
use std::time::Duration;

use handfast_core::flow::registration::node::Timing;
use handfast_core::time::Span;
use handfast_core::wire::token::Token;

use crate::record::Identity;
use crate::state::{HeldState, StateDir, StateError};

/// Everything a [`crate::LinuxNode`] needs.
#[derive(Debug)]
pub struct NodeConfig {
    /// Who it is, and to whom.
    pub identity: Identity,
    /// What it is made of: a JSON object of at most 4096 bytes.
    pub profile: String,
    /// Where it keeps its node id, and a token that its owner enters.
    pub state: HeldState,
    /// A token that is durable elsewhere, in a file for instance; it is used instead of a kept one
    /// and is not written to the state.
    pub token: Option<Token>,
    /// Begins as if nothing were kept, and so asks to be paired. What is kept is replaced only when
    /// a gateway has given a new id.
    pub ask_anew: bool,
    /// A file of certificates in PEM form that are trusted on `wss://` besides the system's.
    pub ca: Option<PathBuf>,
    /// The waits.
    pub waits: Waits,
}

impl NodeConfig {
    /// A node with this identity that keeps its state in this directory; everything else as
    /// documented by default.
    ///
    /// # Errors
    /// If the directory cannot be used, or another process uses it.
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

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For the TCP connection, and then once more for the TLS and WebSocket handshakes.
    pub connect_within: Duration,
    /// For the gateway's answer to a request or to a token.
    pub answer_within: Duration,
    /// Between heartbeats.
    pub heartbeat_every: Duration,
    /// Between questions whether the gateway is still there.
    pub ping_every: Duration,
    /// For its answer to one.
    pub pong_within: Duration,
    /// For the gateway's part of closing a connection.
    pub close_within: Duration,
}

impl Waits {
    /// What a node uses unless told otherwise.
    pub const DEFAULT: Self = Self {
        connect_within: Duration::from_secs(10),
        answer_within: Duration::from_secs(10),
        heartbeat_every: Duration::from_secs(60),
        ping_every: Duration::from_secs(30),
        pong_within: Duration::from_secs(20),
        close_within: Duration::from_secs(2),
    };

    pub(crate) fn timing(&self) -> Timing {
        Timing {
            answer_within: span(self.answer_within),
            heartbeat_every: span(self.heartbeat_every),
        }
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

pub(crate) fn span(duration: Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
