//! Ready-made channels: how the senders of known messengers are spelled. What really sends is an
//! [`Outbox`].

use async_trait::async_trait;
use handfast_core::flow::inbound::normalise::{Sender, telegram, verbatim, whatsapp};

use super::adapter::{AdapterError, ChannelAdapter, Normalised};

/// Sends over a messenger.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Sends a text from one of our accounts.
    ///
    /// # Errors
    /// What is wrong, for the operator to read.
    async fn send_reply(&self, account: &str, to: &str, text: &str) -> Result<(), String>;

    /// Sends a QR code as a PNG.
    ///
    /// # Errors
    /// As [`send_reply`](Self::send_reply).
    async fn send_qr(&self, account: &str, to: &str, png: &[u8]) -> Result<(), String>;
}

/// Sends nothing: for a channel on which somebody else answers.
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

/// A channel whose senders need nobody to be asked about.
#[derive(Clone, Debug)]
pub struct ReadyMade<O> {
    channel: String,
    spelling: Spelling,
    outbox: O,
}

/// How the senders of a channel are spelled.
pub(super) type Spelling = fn(&str) -> Option<Sender>;

/// WhatsApp's channel name.
pub const WHATSAPP: &str = "whatsapp";
/// Telegram's channel name.
pub const TELEGRAM: &str = "telegram";

/// How the senders of a channel are spelled of which nothing but the name is known.
pub(super) fn spelling(channel: &str) -> Spelling {
    match channel {
        WHATSAPP => whatsapp,
        TELEGRAM => telegram,
        _ => verbatim,
    }
}

impl<O: Outbox> ReadyMade<O> {
    /// `whatsapp`: a sender is its number.
    #[must_use]
    pub fn whatsapp(outbox: O) -> Self {
        Self::named(WHATSAPP, outbox)
    }

    /// `telegram`: a sender is its numeric id, or `@name` in lower case.
    #[must_use]
    pub fn telegram(outbox: O) -> Self {
        Self::named(TELEGRAM, outbox)
    }

    /// Any channel. Senders are what they are, without white space around them; those of `whatsapp`
    /// and `telegram` as above.
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
