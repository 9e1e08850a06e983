//! Time limits and intervals of a node.

use std::time::Duration;

use handfast_core::Span;
use handfast_core::flow::registration::node::Timing;

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
