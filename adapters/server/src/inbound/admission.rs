//! Questions to the gate and its answers.

use std::sync::Arc;

use handfast_core::flow::inbound::{ChannelPolicy, Dropped};
use handfast_core::registry::inbound::ChallengeCode;
use handfast_store::{SenderName, StoreError};

use super::adapter::AdapterError;
use crate::telemetry::ChannelMetrics;

/// An incoming message without its text.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Name of the channel: 1 to 128 bytes.
    pub channel: &'a str,
    /// The gateway's account on the channel: 1 to 128 bytes.
    pub account: &'a str,
    /// The author's id as the channel gives it. More than 512 bytes do not count as a sender.
    pub sender: Option<&'a str>,
    /// The challenge policy; `None` for the channel's policy in the settings.
    pub policy: Option<ChannelPolicy>,
    /// The channel's data about the sender, for the operator: a JSON object of at most 1024 bytes.
    /// Anything else is left out.
    pub meta: Option<&'a str>,
}

impl<'a> Incoming<'a> {
    /// Creates a message of a sender, without metadata and with the channel's policy.
    #[must_use]
    pub const fn new(channel: &'a str, account: &'a str, sender: &'a str) -> Self {
        Self { channel, account, sender: Some(sender), policy: None, meta: None }
    }
}

/// The gate's decision about a message.
#[derive(Debug)]
#[must_use = "a message is handled only with the `Admitted` in it"]
pub enum MessageAdmission {
    /// The message may be handled.
    Admit(Admitted),
    /// The message must not be handled. Its sender waits for the operator.
    Challenge(SenderChallenge),
    /// The message must not be handled, and its sender gets no reply.
    Drop(Dropped),
}

/// Proof that a message was admitted. Only the gate creates one, for one message: a handler that
/// takes it by value cannot be reached by a message that was not admitted, nor after an error.
#[derive(Debug)]
pub struct Admitted {
    pub(super) who: Arc<Who>,
}

impl Admitted {
    /// Returns the name of the channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.who.name.channel
    }

    /// Returns the gateway's account on the channel.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.who.name.account
    }

    /// Returns the author in the channel's canonical spelling. `None` only on public channels, for
    /// a message whose sender has no such spelling, or could not be spelled now.
    #[must_use]
    pub fn sender(&self) -> Option<&str> {
        self.who.is_sender.then_some(self.who.name.sender.as_str())
    }
}

/// The subject of an [`Admitted`].
#[derive(Debug)]
pub(super) struct Who {
    pub(super) name: SenderName,
    /// `false` if the sender is unknown; its name is then empty.
    pub(super) is_sender: bool,
    pub(super) metrics: Arc<ChannelMetrics>,
}

/// A challenge to a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderChallenge {
    /// The sender in the channel's canonical spelling.
    pub sender: SenderName,
    /// The code with which the operator allows the sender.
    pub code: ChallengeCode,
    /// `true` if the sender has started to wait with this message.
    pub is_new: bool,
    /// `true` if the sender is to receive its code now; `false` if it received the code recently.
    /// [`Gate::receive`](super::Gate::receive) sends it by itself.
    pub reply: bool,
    /// The text for the sender.
    pub text: String,
}

/// The gate could not decide about a message. The message was not admitted: drop it, or deliver it
/// again later.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// No channel of this name is registered.
    #[error("there is no channel {0:?} at this gateway: register its adapter first")]
    Channel(String),
    /// The channel or account is not a valid name.
    #[error(
        "the {0} of a message must have 1 to 128 bytes, no white space at its ends and no characters that cannot be seen"
    )]
    BadId(&'static str),
    /// The channel could not spell the sender.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The registry could not be read or written.
    #[error("the registry could not be read or written: {0}")]
    Store(#[from] StoreError),
    /// Every drawn code is in use: deliver the message again later.
    #[error("no code is free; a later message of the sender gets one")]
    NoFreeCode,
}
