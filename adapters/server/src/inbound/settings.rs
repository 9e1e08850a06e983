//! How a gate is set up, and what it tells of.

use std::sync::Arc;

use handfast_core::registry::inbound::{ChallengeCode, Limits};
use handfast_store::SenderName;

/// How strangers are kept out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundSettings {
    /// How many may wait to be let in, for how long, and how often each is told its code.
    pub limits: Limits,
    /// How many wrong codes may be typed in a minute, by all operators together. Once they are used
    /// up, right ones are refused, too. With 0 nobody is let in by a code.
    pub approvals_per_minute: u32,
    /// How many of those who were let in are remembered, at about 300 bytes each; with 0 each
    /// message asks the store.
    pub remembered: usize,
    /// Channels on which nobody is challenged: every message on them is let in.
    pub public_channels: Vec<String>,
}

impl Default for InboundSettings {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            approvals_per_minute: 10,
            remembered: 65_536,
            public_channels: Vec::new(),
        }
    }
}

/// What happened at the gate. All of it is durable when it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateEvent {
    /// A stranger wrote, and waits for the operator from now on.
    Asked {
        /// Who.
        sender: SenderName,
        /// With what the operator lets it in.
        code: ChallengeCode,
    },
    /// The operator let it in with its code.
    Approved {
        /// Who.
        sender: SenderName,
        /// By which way.
        via: String,
    },
    /// The operator decided about a sender by its name.
    Changed {
        /// Over which channel.
        channel: String,
        /// To which account; `None` for all.
        account: Option<String>,
        /// Who.
        sender: String,
        /// The word for it, as on the command line: `allow`, `reject`, `block`, `unblock` or
        /// `revoke`.
        change: &'static str,
    },
    /// The operator let many in at once.
    Seeded {
        /// Over which channel.
        channel: String,
        /// To which account.
        account: String,
        /// How many of them are new.
        added: u64,
    },
}

/// Hears what happens at a gate. Called in passing, so it must not block.
pub type GateObserver = Arc<dyn Fn(&GateEvent) + Send + Sync>;
