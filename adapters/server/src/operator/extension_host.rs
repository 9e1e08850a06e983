//! The gateway's side of its extensions: the methods that they may call, and the receivers of what
//! they deliver.
//!
//! - `pairing.should_admit` takes `{"channel","account","sender","meta"?}`, and returns
//!   `{"decision":"admit"|"challenge"|"drop","sender"?,"code"?,"reply"?,"text"?,"reason"?}`.
//! - `pairing.message` takes the same and `"text"`, and returns `{"admitted":bool}`; the gateway
//!   challenges unknown senders.
//!
//! An extension speaks for its own channels only, and is refused for any other. A polled item that
//! is a message, as above, goes through the inbound gate; every other JSON value goes to the
//! application unchanged.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::flow::inbound::Dropped;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::extension::{
    ConfigError, Cursors, ExtensionConfig, ExtensionHost, Extensions, Items, Problem, Services,
};
use crate::gateway::{Gateway, Inner};
use crate::inbound::{GateError, Incoming, MessageAdmission};
use crate::operator::gate_events::GatewayCell;
use crate::telemetry::ExtensionResult;

/// Builds the extensions of a gateway, which call it once it is in its cell. No extension runs yet.
pub(crate) fn build(
    configs: Vec<ExtensionConfig>,
    cell: &GatewayCell,
) -> Result<Extensions, ConfigError> {
    let channels =
        configs.iter().map(|config| (config.name.clone(), config.channels.clone())).collect();
    let bridge = Arc::new(Bridge { cell: cell.clone(), channels });
    let services = Services { host: bridge.clone(), cursors: bridge.clone(), items: bridge };
    Extensions::new(configs, services)
}

/// Registers the channels of the gateway's extensions and starts them. They end with the gateway.
pub(crate) fn start(inner: &Arc<Inner>) {
    // The channels are registered before an extension runs and could deliver a message.
    for channel in inner.extensions.channels() {
        inner.gate.channels().register(channel);
    }
    // From here on an extension may call back.
    inner.extensions.start();
    let (weak, mut shutdown) = (Arc::downgrade(inner), inner.shutdown.subscribe());
    tokio::spawn(async move {
        // An error means that the gateway is gone, and its extensions with it.
        if shutdown.wait_for(|down| *down).await.is_ok()
            && let Some(inner) = weak.upgrade()
        {
            inner.extensions.shut_down().await;
        }
    });
}

/// The connection of extensions to their gateway.
struct Bridge {
    cell: GatewayCell,
    /// The channels of each extension, by its name.
    channels: Vec<(String, Vec<String>)>,
}

/// A message of a channel, or its sender alone.
#[derive(Deserialize)]
struct OfferedMessage {
    channel: String,
    account: String,
    #[serde(default)]
    sender: Option<String>,
    #[serde(default)]
    meta: Option<Value>,
    #[serde(default)]
    text: Option<String>,
}

impl Bridge {
    fn gateway(&self) -> Result<Gateway, String> {
        self.cell.gateway().ok_or_else(|| "the gateway does not run".to_owned())
    }

    fn check(&self, extension: &str, message: &OfferedMessage) -> Result<(), String> {
        let own =
            self.channels.iter().find(|(name, _)| name == extension).map(|(_, channels)| channels);
        match own.is_some_and(|channels| channels.contains(&message.channel)) {
            true => Ok(()),
            false => Err(format!(
                "{extension:?} has no channel {:?}: name it in its `channels`",
                message.channel
            )),
        }
    }

    async fn should_admit(&self, message: &OfferedMessage) -> Result<Value, String> {
        let gateway = self.gateway()?;
        let meta = message.meta.as_ref().map(Value::to_string);
        let admission = gateway
            .gate()
            .should_admit(incoming(message, meta.as_deref()))
            .await
            .map_err(|error| error.to_string())?;
        Ok(match admission {
            MessageAdmission::Admit(admitted) => {
                json!({"decision": "admit", "sender": admitted.sender()})
            }
            MessageAdmission::Challenge(challenge) => json!({
                "decision": "challenge", "sender": challenge.sender.sender, "code": challenge.code.as_str(), "reply": challenge.reply,
                "text": challenge.text,
            }),
            MessageAdmission::Drop(why) => json!({"decision": "drop", "reason": word(why)}),
        })
    }

    /// Passes a message to the inbound gate, and an admitted one to the application. Returns `true`
    /// if it was admitted.
    async fn message(&self, message: &OfferedMessage) -> Result<bool, Undecided> {
        let gateway = self.gateway().map_err(Undecided::Now)?;
        let text = message
            .text
            .as_deref()
            .ok_or_else(|| Undecided::Ever("a message has a `text`".to_owned()))?;
        let meta = message.meta.as_ref().map(Value::to_string);
        let received = gateway.gate().receive(incoming(message, meta.as_deref())).await;
        match received.map_err(|error| Undecided::of(&error))? {
            Some(admitted) => {
                gateway.inner.application.message(admitted, text).await;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// The maximum number of logged characters of a reason, which may contain text of an extension.
const WORDS_LOGGED: usize = 256;

/// The reason why a message was not decided.
#[derive(Debug)]
enum Undecided {
    /// A temporary failure: the message may be decided later.
    Now(String),
    /// A permanent failure: the same message would fail again.
    Ever(String),
}

impl Undecided {
    fn of(error: &GateError) -> Self {
        let passing = match error {
            // These pass by themselves, so the same message may be decided later.
            GateError::Store(_) | GateError::NoFreeCode => true,
            GateError::Adapter(error) => error.passing,
            GateError::Channel(_) | GateError::BadId(_) => false,
        };
        if passing { Self::Now(error.to_string()) } else { Self::Ever(error.to_string()) }
    }

    fn why(self) -> String {
        match self {
            Self::Now(why) | Self::Ever(why) => why,
        }
    }
}

fn incoming<'a>(message: &'a OfferedMessage, meta: Option<&'a str>) -> Incoming<'a> {
    Incoming {
        channel: &message.channel,
        account: &message.account,
        sender: message.sender.as_deref(),
        policy: None,
        meta,
    }
}

pub(crate) const fn word(dropped: Dropped) -> &'static str {
    match dropped {
        Dropped::NotASender => "not_a_sender",
        Dropped::Nobody => "absent",
        Dropped::Blocked => "blocked",
        Dropped::Full => "full",
        Dropped::ClockInDoubt => "clock_in_doubt",
    }
}

#[async_trait]
impl ExtensionHost for Bridge {
    fn called(&self, extension: &str, outcome: Result<(), &Problem>) {
        let Ok(gateway) = self.gateway() else { return };
        gateway.inner.telemetry.extension_call(
            extension,
            match outcome {
                Ok(()) => ExtensionResult::Ok,
                Err(Problem::Refused(_)) => ExtensionResult::Refused,
                Err(Problem::Timeout(_)) => ExtensionResult::TimedOut,
                Err(Problem::Busy | Problem::Down(_)) => ExtensionResult::Unavailable,
                Err(Problem::TooLarge | Problem::Malformed(_)) => ExtensionResult::Malformed,
            },
        );
    }

    async fn call(&self, extension: &str, method: &str, params: Value) -> Result<Value, String> {
        let message = || -> Result<OfferedMessage, String> {
            let message = OfferedMessage::deserialize(&params)
                .map_err(|error| format!("the params of {method} are not understood: {error}"))?;
            self.check(extension, &message)?;
            Ok(message)
        };
        match method {
            "pairing.should_admit" => self.should_admit(&message()?).await,
            "pairing.message" => {
                Ok(json!({"admitted": self.message(&message()?).await.map_err(Undecided::why)?}))
            }
            _ => Err(format!(
                "there is no method {method:?}; there are pairing.should_admit and pairing.message"
            )),
        }
    }
}

#[async_trait]
impl Cursors for Bridge {
    async fn load(&self, extension: &str) -> Result<Option<String>, String> {
        self.gateway()?.inner.store.cursor(extension).await.map_err(|error| error.to_string())
    }

    async fn keep(&self, extension: &str, cursor: String) -> Result<(), String> {
        self.gateway()?
            .inner
            .store
            .keep_cursor(extension, cursor)
            .await
            .map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Items for Bridge {
    /// Takes all items or none: if the gate cannot decide one now, all of them are polled again, so
    /// an application may get an item twice. An item that can never be decided is dropped, so that
    /// it does not block those after it.
    async fn take(&self, extension: &str, items: Vec<Value>) -> Result<(), String> {
        for item in items {
            match OfferedMessage::deserialize(&item) {
                Ok(message) if message.text.is_some() => {
                    let taken = match self.check(extension, &message) {
                        Ok(()) => self.message(&message).await.map(drop),
                        // A message of a foreign channel stays one, however often it is polled.
                        Err(why) => Err(Undecided::Ever(why)),
                    };
                    match taken {
                        Ok(()) => {}
                        Err(Undecided::Ever(why)) => {
                            let why: String = why.chars().take(WORDS_LOGGED).collect();
                            tracing::warn!(extension, why, "a message that was polled is dropped");
                        }
                        Err(Undecided::Now(why)) => return Err(why),
                    }
                }
                // An item that is no message belongs to the application.
                Ok(_) | Err(_) => self.gateway()?.inner.application.polled(extension, &item).await,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::AdapterError;

    #[test]
    fn only_what_may_pass_brings_a_message_again() {
        let adapter = |passing| {
            GateError::Adapter(AdapterError {
                channel: "mail".to_owned(),
                problem: "no".to_owned(),
                passing,
            })
        };
        for error in [GateError::NoFreeCode, adapter(true)] {
            assert!(matches!(Undecided::of(&error), Undecided::Now(_)), "{error}");
        }
        for error in
            [GateError::BadId("account"), GateError::Channel("mail".to_owned()), adapter(false)]
        {
            assert!(matches!(Undecided::of(&error), Undecided::Ever(_)), "{error}");
        }
    }
}
