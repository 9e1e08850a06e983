//! Configuration of a node.

use std::path::PathBuf;
use std::time::Duration;

use handfast_core::flow::registration::node::Timing;
use handfast_core::time::Span;
use handfast_core::wire::token::Token;

use crate::registration::record::Identity;
use crate::state::{HeldState, StateDir, StateError};

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

/// Time limits and intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Limit for the TCP connection, and again for the TLS and WebSocket handshakes.
    pub connect_within: Duration,
    /// Limit for the gateway's answer to a request or to a token.
    pub answer_within: Duration,
    /// Interval between heartbeats.
    pub heartbeat_every: Duration,
    /// Interval between WebSocket pings.
    pub ping_every: Duration,
    /// Limit for the answer to a ping.
    pub pong_within: Duration,
    /// Limit for the gateway's part of closing a connection.
    pub close_within: Duration,
}

impl Waits {
    /// The defaults: 10 s to connect and to answer, a heartbeat every 60 s, a ping every 30 s that
    /// is answered within 20 s, 2 s to close.
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
