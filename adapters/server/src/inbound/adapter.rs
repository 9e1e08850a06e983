//! The interface between the gate and a channel: canonical sender ids, and replies.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::Semaphore;

/// One channel on which strangers may write: a messenger, a chat, a mailbox.
///
/// [`super::channels`] has ready-made ones; [`crate::extension`] has one that talks to an
/// extension, outside the gateway's process.
#[async_trait]
pub trait ChannelAdapter: Send + Sync + 'static {
    /// Returns the channel's name, for instance `whatsapp`. Its registry entries and metrics are
    /// stored under it.
    fn channel(&self) -> &str;

    /// Returns the canonical spelling of a sender. Every sender that is stored or looked up passes
    /// through here first, so that no second spelling counts as a second sender.
    ///
    /// # Errors
    /// [`AdapterError`] if the spelling is not known now. An error is not a decision: nothing is
    /// admitted because of it, and nothing is cached.
    async fn normalise(&self, raw: &str) -> Result<Normalised, AdapterError>;

    /// Returns the challenge text for a stranger.
    fn challenge_text(&self, code: &str) -> String {
        challenge_text(code)
    }

    /// Returns the text for a stranger whom the operator has allowed with its code.
    fn approved_text(&self) -> String {
        "You are let in.".to_owned()
    }

    /// Sends a text to a sender on this channel, in the spelling of [`normalise`](Self::normalise).
    ///
    /// # Errors
    /// [`AdapterError`] if the text was not sent.
    async fn send_reply(&self, account: &str, to: &str, text: &str) -> Result<(), AdapterError>;

    /// Sends a QR code as a PNG.
    ///
    /// # Errors
    /// [`AdapterError`] if the picture was not sent.
    async fn send_qr(&self, account: &str, to: &str, png: &[u8]) -> Result<(), AdapterError>;
}

/// A channel's interpretation of a sender id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normalised {
    /// The canonical spelling of a sender.
    Sender(String),
    /// An id that cannot write here: a group, a broadcast, an empty name.
    NotASender,
}

/// A failed operation of a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("channel {channel}: {problem}")]
pub struct AdapterError {
    /// Name of the channel.
    pub channel: String,
    /// The problem, as part of a sentence.
    pub problem: String,
    /// `true` if a retry may succeed, as when the channel is down; `false` if it would fail again,
    /// as for a sender that has no spelling.
    pub passing: bool,
}

/// Returns the challenge text for channels without a text of their own.
pub(super) fn challenge_text(code: &str) -> String {
    format!(
        "Pairing code: {code}\nGive it to the operator of this gateway, who lets you in with it."
    )
}

/// Maximum number of replies in progress on one channel.
pub(super) const MOST_REPLIES: usize = 64;

/// The channels of a gateway, by name. A channel replaces an earlier one of the same name.
#[derive(Default)]
pub struct Channels {
    registered: RwLock<HashMap<String, Registered>>,
    /// Counter of changes. A cache entry with an older value may be wrong, because another channel
    /// may spell senders differently.
    generation: AtomicU64,
}

/// A channel and the gate's state for it.
#[derive(Clone)]
pub(super) struct Registered {
    pub(super) adapter: Arc<dyn ChannelAdapter>,
    /// Permits for replies. They outlive the adapter, so that registering it again does not double
    /// them.
    pub(super) replies: Arc<Semaphore>,
}

impl Channels {
    /// Adds a channel, in place of an older one of its name. The gate's cache of allowed senders
    /// becomes invalid.
    pub fn register(&self, adapter: Arc<dyn ChannelAdapter>) {
        let name = adapter.channel().to_owned();
        {
            let mut registered =
                self.registered.write().expect("no thread panics while it holds the channels");
            let replies = registered.get(&name).map(|old| Arc::clone(&old.replies));
            let replies = replies.unwrap_or_else(|| Arc::new(Semaphore::new(MOST_REPLIES)));
            registered.insert(name, Registered { adapter, replies });
        }
        // After the change: a reader of the new number also sees the new channel.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Removes a channel.
    pub fn remove(&self, channel: &str) {
        self.registered
            .write()
            .expect("no thread panics while it holds the channels")
            .remove(channel);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns the channel of this name.
    #[must_use]
    pub fn get(&self, channel: &str) -> Option<Arc<dyn ChannelAdapter>> {
        self.find(channel).map(|registered| registered.adapter)
    }

    /// Returns the names of all channels in order.
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

    /// Begins a new generation, so that what was cached is not valid any more.
    pub(super) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns the current generation. Read it **before** looking up the channel whose answer is to
    /// be cached.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Channels").field(&self.names()).finish()
    }
}

/// Waits for a channel with a time limit. A panic of its adapter counts as an error of the channel.
pub(super) async fn ask<T>(
    channel: &str,
    within: Duration,
    call: impl Future<Output = Result<T, AdapterError>>,
) -> Result<T, AdapterError> {
    let failed =
        |problem: String, passing| AdapterError { channel: channel.to_owned(), problem, passing };
    // A panic ends the call, and nobody uses its state afterwards.
    match tokio::time::timeout(within, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        // The adapter would most likely panic again.
        Ok(Err(_)) => Err(failed("its adapter panicked".to_owned(), false)),
        Err(_) => Err(failed(format!("it did not answer within {} s", within.as_secs()), true)),
    }
}

/// Returns a text from a channel, or the text of `ours` if the channel panics.
pub(super) fn text(make: impl FnOnce() -> String, ours: impl FnOnce() -> String) -> String {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| ours())
}
