//! Settings and events of a gate.

use std::sync::Arc;

use handfast_core::registry::inbound::{ChallengeCode, InboundLimits};
use handfast_store::SenderName;

/// Settings of the inbound gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundSettings {
    /// Maximum number of waiting senders, their maximum wait, and the interval between code
    /// replies.
    pub limits: InboundLimits,
    /// Maximum number of wrong codes per minute, for all operators together. Once it is reached,
    /// right codes are refused, too. With 0 no code is accepted.
    pub approvals_per_minute: u32,
    /// Maximum number of cached allowed senders, at about 300 bytes each; with 0 each message reads
    /// the store.
    pub remembered: usize,
    /// Public channels: every message on them is admitted.
    pub public_channels: Vec<String>,
}

impl Default for InboundSettings {
    fn default() -> Self {
        Self {
            limits: InboundLimits::DEFAULT,
            approvals_per_minute: 10,
            remembered: 65_536,
            public_channels: Vec::new(),
        }
    }
}

/// An event of the gate. All of it is durable when it is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateEvent {
    /// A stranger wrote, and waits for the operator from now on.
    Asked {
        /// The stranger who waits from now on.
        sender: SenderName,
        /// The code with which the operator allows it.
        code: ChallengeCode,
    },
    /// The operator allowed a sender with its code.
    Approved {
        /// The allowed sender.
        sender: SenderName,
        /// The way of the approval.
        via: String,
    },
    /// The operator decided about a sender by its name.
    Changed {
        /// Name of the channel.
        channel: String,
        /// The gateway's account; `None` for all.
        account: Option<String>,
        /// The sender in the channel's canonical spelling.
        sender: String,
        /// The word on the command line: `allow`, `reject`, `block`, `unblock` or `revoke`.
        change: &'static str,
    },
    /// The operator allowed many senders at once.
    Seeded {
        /// Name of the channel.
        channel: String,
        /// The gateway's account.
        account: String,
        /// Number of senders that were not allowed before.
        added: u64,
    },
}

/// A callback for events of a gate. It is called inline, so it must not block.
pub type GateObserver = Arc<dyn Fn(&GateEvent) + Send + Sync>;
