//! What the gate is asked and what it answers.

use std::sync::Arc;

use handfast_core::flow::inbound::{Dropped, Policy};
use handfast_core::registry::inbound::ChallengeCode;
use handfast_store::{SenderName, StoreError};

use super::adapter::AdapterError;
use crate::telemetry::ChannelMetrics;

/// A message that has come in, without what it says.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Over which channel: 1 to 128 bytes.
    pub channel: &'a str,
    /// To which of our accounts there: 1 to 128 bytes.
    pub account: &'a str,
    /// Who wrote it, as the channel names them. Of more than 512 bytes it is nobody's name.
    pub sender: Option<&'a str>,
    /// Whether strangers are challenged; `None` for what the settings say of the channel.
    pub policy: Option<Policy>,
    /// What the channel tells of the sender, for the operator to read: a JSON object of at most
    /// 1024 bytes. Anything else is left out.
    pub meta: Option<&'a str>,
}

impl<'a> Incoming<'a> {
    /// A message of a sender, with nothing else known of it.
    #[must_use]
    pub const fn new(channel: &'a str, account: &'a str, sender: &'a str) -> Self {
        Self { channel, account, sender: Some(sender), policy: None, meta: None }
    }
}

/// What is to become of a message.
#[derive(Debug)]
#[must_use = "a message is handled only with the `Admitted` in it"]
pub enum Admission {
    /// Handle it.
    Admit(Admitted),
    /// Do not handle it. Its sender waits for the operator.
    Challenge(Challenge),
    /// Do not handle it, and say nothing.
    Drop(Dropped),
}

/// That a message was let in. Only the gate makes one, for one message: what handles messages takes
/// it by value, and so cannot be reached by one that was not let in, nor after an error.
#[derive(Debug)]
pub struct Admitted {
    pub(super) who: Arc<Who>,
}

impl Admitted {
    /// Over which channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.who.name.channel
    }

    /// To which of our accounts.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.who.name.account
    }

    /// Who wrote it, in the channel's one spelling. `None` only where nobody is challenged, for a
    /// message whose sender has no such spelling, or of which that could not be found out.
    #[must_use]
    pub fn sender(&self) -> Option<&str> {
        self.who.is_sender.then_some(self.who.name.sender.as_str())
    }
}

/// Of whom an [`Admitted`] is.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) name: SenderName,
    /// Or else the sender's name is empty.
    pub(super) is_sender: bool,
    pub(super) metrics: Arc<ChannelMetrics>,
}

/// How a sender is challenged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Who, in the channel's one spelling.
    pub sender: SenderName,
    /// With what the operator lets it in.
    pub code: ChallengeCode,
    /// Whether it waits from now on, and did not before.
    pub is_new: bool,
    /// Whether it is to be told its code now; otherwise it was just told. Where
    /// [`Gate::receive`](super::Gate::receive) is called, that is done already.
    pub reply: bool,
    /// What it is to be told.
    pub text: String,
}

/// It could not be decided what becomes of a message. It was not let in: drop it, or let it be
/// delivered once more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GateError {
    /// Nobody has registered such a channel.
    #[error("there is no channel {0:?} at this gateway: register its adapter first")]
    Channel(String),
    /// A name that cannot be one.
    #[error(
        "the {0} of a message must have 1 to 128 bytes, no white space at its ends and no characters that cannot be seen"
    )]
    BadId(&'static str),
    /// The channel did not say how it spells the sender.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The registry could not be read or written.
    #[error("the registry could not be read or written: {0}")]
    Store(#[from] StoreError),
    /// Each code that was drawn is another's: let it be delivered once more.
    #[error("no code is free; a later message of the sender gets one")]
    NoFreeCode,
}
