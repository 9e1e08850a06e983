//! What the gate needs of a channel: how its senders are named, and a way to answer them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::Semaphore;

/// One channel over which strangers may write: a messenger, a chat, a mail box.
///
/// Ready-made ones are in [`super::channels`]; out of the gateway's process, [`crate::extension`]
/// has one that speaks to an extension.
#[async_trait]
pub trait ChannelAdapter: Send + Sync + 'static {
    /// The channel's name, for instance `whatsapp`: what its rows in the registry and its metrics
    /// are kept under.
    fn channel(&self) -> &str;

    /// The one spelling of a sender. Whatever is kept or looked up goes through here first, so that
    /// no second spelling is a second sender.
    ///
    /// # Errors
    /// [`AdapterError`] if that is not known now. It is no answer: nothing is admitted for it, and
    /// nothing is remembered.
    async fn normalise(&self, raw: &str) -> Result<Normalised, AdapterError>;

    /// What a stranger is told.
    fn challenge_text(&self, code: &str) -> String {
        challenge_text(code)
    }

    /// What a stranger is told once the operator has let it in with its code.
    fn approved_text(&self) -> String {
        "You are let in.".to_owned()
    }

    /// Sends a text to somebody on this channel, in the spelling of [`normalise`](Self::normalise).
    ///
    /// # Errors
    /// [`AdapterError`].
    async fn send_reply(&self, account: &str, to: &str, text: &str) -> Result<(), AdapterError>;

    /// Sends a QR code as a PNG.
    ///
    /// # Errors
    /// [`AdapterError`].
    async fn send_qr(&self, account: &str, to: &str, png: &[u8]) -> Result<(), AdapterError>;
}

/// What a channel makes of what it was given as a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// Its one spelling.
    Sender(String),
    /// Nobody who could write here: a group, a broadcast, an empty name.
    NotASender,
}

/// A channel could not do what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("channel {channel}: {problem}")]
pub struct AdapterError {
    /// Which channel.
    pub channel: String,
    /// What is wrong.
    pub problem: String,
    /// Whether it may go well later, as when the channel is down; otherwise the same will fail
    /// again, as for a sender that has no spelling.
    pub passing: bool,
}

/// What a stranger is told on a channel that has no words of its own.
pub(super) fn challenge_text(code: &str) -> String {
    format!(
        "Pairing code: {code}\nGive it to the operator of this gateway, who lets you in with it."
    )
}

/// Most replies that are under way on one channel at a time.
pub(super) const MOST_REPLIES: usize = 64;

/// The channels of a gateway, by name. Of two with one name, the one registered last counts.
#[derive(Default)]
pub struct Channels {
    registered: RwLock<HashMap<String, Registered>>,
    /// Another number after each change, by which whoever remembers what a channel said learns that
    /// another one may say something else.
    generation: AtomicU64,
}

/// A channel, with what the gate keeps beside it.
#[derive(Clone)]
pub(super) struct Registered {
    pub(super) adapter: Arc<dyn ChannelAdapter>,
    /// Places for replies. They outlive the adapter, so that to register it anew does not double
    /// them.
    pub(super) replies: Arc<Semaphore>,
}

impl Channels {
    /// Adds a channel, in place of an older one of its name. What the gate remembered of those it
    /// let in is asked for anew.
    pub fn register(&self, adapter: Arc<dyn ChannelAdapter>) {
        let name = adapter.channel().to_owned();
        {
            let mut registered =
                self.registered.write().expect("no thread panics while it holds the channels");
            let replies = registered.get(&name).map(|old| Arc::clone(&old.replies));
            let replies = replies.unwrap_or_else(|| Arc::new(Semaphore::new(MOST_REPLIES)));
            registered.insert(name, Registered { adapter, replies });
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Takes a channel away.
    pub fn remove(&self, channel: &str) {
        self.registered
            .write()
            .expect("no thread panics while it holds the channels")
            .remove(channel);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The channel of this name.
    #[must_use]
    pub fn get(&self, channel: &str) -> Option<Arc<dyn ChannelAdapter>> {
        self.find(channel).map(|registered| registered.adapter)
    }

    /// The names of all channels, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let registered =
            self.registered.read().expect("no thread panics while it holds the channels");
        let mut names: Vec<_> = registered.keys().cloned().collect();
        names.sort();
        names
    }

    pub(super) fn find(&self, channel: &str) -> Option<Registered> {
        self.registered
            .read()
            .expect("no thread panics while it holds the channels")
            .get(channel)
            .cloned()
    }

    /// Read it **before** the channel is looked up of which something is to be remembered.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Channels").field(&self.names()).finish()
    }
}

/// Waits for a channel, for a time. One that panics has failed, and nothing else has.
pub(super) async fn ask<T>(
    channel: &str,
    within: Duration,
    call: impl Future<Output = Result<T, AdapterError>>,
) -> Result<T, AdapterError> {
    let failed =
        |problem: String, passing| AdapterError { channel: channel.to_owned(), problem, passing };
    match tokio::time::timeout(within, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(failed("its adapter panicked".to_owned(), false)),
        Err(_) => Err(failed(format!("it did not answer within {} s", within.as_secs()), true)),
    }
}

/// A text that a channel makes up, or ours if it panics over it.
pub(super) fn text(make: impl FnOnce() -> String, ours: impl FnOnce() -> String) -> String {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| ours())
}
