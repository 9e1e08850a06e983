//! A channel whose senders an extension can spell.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::{Extension, ExtensionError, Problem};
use super::wire::{hidden, shown};
use crate::inbound::adapter::{AdapterError, ChannelAdapter, Normalised};

/// Maximum length of a spelled sender in bytes.
const SENDER_BYTES: usize = 128;
/// Maximum length of a raw sender id in bytes.
const RAW_BYTES: usize = 4096;

/// A channel of an extension. Every failure of the extension is an error, and errors are never
/// cached.
#[derive(Clone, Debug)]
pub struct ExtensionChannel {
    extension: Extension,
    channel: String,
    /// `true` if the channel's name is sent: only to extensions with several channels.
    named: bool,
}

#[derive(Serialize)]
struct ToNormalise<'a> {
    raw: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
}

#[derive(Deserialize)]
struct Spelling {
    // Not an `Option`, because a missing key must not count as null.
    normalized: Value,
}

#[derive(Serialize)]
struct OutgoingMessage<'a> {
    account: &'a str,
    to: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    png_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
}

#[derive(Deserialize)]
struct Sent {
    ok: bool,
    error: Option<String>,
}

impl ExtensionChannel {
    /// Creates a channel, which should be one of those in the extension's configuration.
    #[must_use]
    pub fn new(extension: Extension, channel: &str) -> Self {
        // An extension with one channel needs no name for it.
        let named = extension.config().channels.len() > 1;
        Self { extension, channel: channel.to_owned(), named }
    }

    fn told(&self) -> Option<&str> {
        self.named.then_some(self.channel.as_str())
    }

    async fn send(&self, method: &str, message: &OutgoingMessage<'_>) -> Result<(), AdapterError> {
        let within = self.extension.config().timeouts.call;
        let asked = self.extension.ask(&self.extension.method(method), message, within).await;
        let sent: Sent = asked.map_err(|error| self.error(&error))?;
        match (sent.ok, sent.error) {
            (true, _) => Ok(()),
            (false, why) => {
                let why = why.map_or_else(|| "it gave no reason".to_owned(), |why| shown(&why));
                Err(self.failed(Problem::Refused(why)))
            }
        }
    }

    fn failed(&self, problem: Problem) -> AdapterError {
        self.error(&self.extension.failed(problem))
    }

    /// Converts an error. A refusal or a wrong answer would be repeated, but an unreachable
    /// extension may become reachable.
    fn error(&self, error: &ExtensionError) -> AdapterError {
        let passing = match error.problem {
            // These pass by themselves, so the message may be tried again.
            Problem::Busy | Problem::Down(_) | Problem::Timeout(_) => true,
            Problem::TooLarge | Problem::Refused(_) | Problem::Malformed(_) => false,
        };
        AdapterError { channel: self.channel.clone(), problem: error.to_string(), passing }
    }
}

#[async_trait]
impl ChannelAdapter for ExtensionChannel {
    fn channel(&self) -> &str {
        &self.channel
    }

    async fn normalise(&self, raw: &str) -> Result<Normalised, AdapterError> {
        if raw.len() > RAW_BYTES {
            let problem = format!("a sender of more than {RAW_BYTES} bytes");
            return Err(AdapterError { channel: self.channel.clone(), problem, passing: false });
        }
        let config = self.extension.config();
        let params = ToNormalise { raw, channel: self.told() };
        let asked = self
            .extension
            .ask(&self.extension.method("pairing.normalize_sender"), &params, config.timeouts.call)
            .await;
        let spelling: Spelling = asked.map_err(|error| self.error(&error))?;
        let problem = match spelling.normalized {
            Value::Null => return Ok(Normalised::NotASender),
            Value::String(text) if text.is_empty() => return Ok(Normalised::NotASender),
            Value::String(text) if text.len() > SENDER_BYTES => {
                format!("a sender of more than {SENDER_BYTES} bytes")
            }
            // Hidden characters would let a sender pass for another one.
            Value::String(text) if text.chars().any(hidden) => {
                "a sender with characters that cannot be seen".to_owned()
            }
            Value::String(text) => return Ok(Normalised::Sender(text)),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                "a sender that is neither text nor null".to_owned()
            }
        };
        Err(self.failed(Problem::Malformed(problem)))
    }

    async fn send_reply(&self, account: &str, to: &str, text: &str) -> Result<(), AdapterError> {
        let message = OutgoingMessage {
            account,
            to,
            text: Some(text),
            png_base64: None,
            channel: self.told(),
        };
        self.send("pairing.send_reply", &message).await
    }

    async fn send_qr(&self, account: &str, to: &str, png: &[u8]) -> Result<(), AdapterError> {
        let message = OutgoingMessage {
            account,
            to,
            text: None,
            png_base64: Some(STANDARD.encode(png)),
            channel: self.told(),
        };
        self.send("pairing.send_qr_image", &message).await
    }
}
