//! Ready-made channels: the sender spellings of known messengers. An [`Outbox`] does the sending.

use async_trait::async_trait;
use handfast_core::flow::inbound::normalise::{Sender, telegram, verbatim, whatsapp};

use super::adapter::{AdapterError, ChannelAdapter, Normalised};

/// A sender of messages over a messenger.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Sends a text from one of the gateway's accounts.
    ///
    /// # Errors
    /// The problem, in words for the operator.
    async fn send_reply(&self, account: &str, to: &str, text: &str) -> Result<(), String>;

    /// Sends a QR code as a PNG.
    ///
    /// # Errors
    /// As [`send_reply`](Self::send_reply).
    async fn send_qr(&self, account: &str, to: &str, png: &[u8]) -> Result<(), String>;
}

/// An outbox that sends nothing: for a channel on which another program answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOutbox;

#[async_trait]
impl Outbox for NoOutbox {
    async fn send_reply(&self, _: &str, _: &str, _: &str) -> Result<(), String> {
        Err(NOTHING_SENDS.to_owned())
    }

    async fn send_qr(&self, _: &str, _: &str, _: &[u8]) -> Result<(), String> {
        Err(NOTHING_SENDS.to_owned())
    }
}

const NOTHING_SENDS: &str = "nothing at this gateway sends over it";

/// A channel that can spell its senders without asking a service.
#[derive(Clone, Debug)]
pub struct ReadyMade<O> {
    channel: String,
    spelling: Spelling,
    outbox: O,
}

/// A function that returns the canonical spelling of a sender.
pub(super) type Spelling = fn(&str) -> Option<Sender>;

/// Channel name of WhatsApp.
pub const WHATSAPP: &str = "whatsapp";
/// Channel name of Telegram.
pub const TELEGRAM: &str = "telegram";

/// Returns the spelling for a channel of which only the name is known.
pub(super) fn spelling(channel: &str) -> Spelling {
    match channel {
        WHATSAPP => whatsapp,
        TELEGRAM => telegram,
        _ => verbatim,
    }
}

impl<O: Outbox> ReadyMade<O> {
    /// Creates the channel `whatsapp`: a sender is its number.
    #[must_use]
    pub fn whatsapp(outbox: O) -> Self {
        Self::named(WHATSAPP, outbox)
    }

    /// Creates the channel `telegram`: a sender is its numeric id, or `@name` in lower case.
    #[must_use]
    pub fn telegram(outbox: O) -> Self {
        Self::named(TELEGRAM, outbox)
    }

    /// Creates a channel of any name. Senders are taken verbatim, without surrounding white space;
    /// those of `whatsapp` and `telegram` as above.
    #[must_use]
    pub fn named(channel: &str, outbox: O) -> Self {
        Self { channel: channel.to_owned(), spelling: spelling(channel), outbox }
    }

    fn failed(&self, problem: String) -> AdapterError {
        AdapterError { channel: self.channel.clone(), problem, passing: true }
    }
}

#[async_trait]
impl<O: Outbox> ChannelAdapter for ReadyMade<O> {
    fn channel(&self) -> &str {
        &self.channel
    }

    async fn normalise(&self, raw: &str) -> Result<Normalised, AdapterError> {
        Ok(normalised(self.spelling, raw))
    }

    async fn send_reply(&self, account: &str, to: &str, text: &str) -> Result<(), AdapterError> {
        self.outbox.send_reply(account, to, text).await.map_err(|problem| self.failed(problem))
    }

    async fn send_qr(&self, account: &str, to: &str, png: &[u8]) -> Result<(), AdapterError> {
        self.outbox.send_qr(account, to, png).await.map_err(|problem| self.failed(problem))
    }
}

pub(super) fn normalised(spelling: Spelling, raw: &str) -> Normalised {
    spelling(raw)
        .map_or(Normalised::NotASender, |sender| Normalised::Sender(sender.as_str().to_owned()))
}
