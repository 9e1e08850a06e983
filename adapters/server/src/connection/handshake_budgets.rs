//! Budgets that bound what strangers cost the native wire, and the order in which they are served.
//! Tables over core's budgets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handfast_core::budget::{NoPlace, Proving, ReadRate, Replays, Turn};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::limits::{Limits, REPLAYS};
use handfast_core::{Instant, Source};
use tokio::sync::Notify;

use crate::clock::GatewayClock;
use crate::connection::rate_limit::{Failures, Permit};
use crate::entropy;

/// Number of times a minute that one key may report data to be stored, present a chain, or confirm
/// or renew a grant.
const EFFORTS_A_MINUTE: u32 = 120;
/// Divisor of the rate of first messages: this part is for strangers who want to pair or delegate.
/// Answering them costs more, and no known peer waits for them.
const STRANGERS: u32 = 4;

/// All budgets of the native wire.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Queue of the first messages of links.
    pub(crate) links: RateQueue,
    /// Queue of handshakes for pairing or delegation.
    pub(crate) strangers: RateQueue,
    /// Writes and verifications that linked peers cause.
    pub(crate) efforts: Failures<PublicKey>,
    handshakes: Arc<Mutex<Handshakes>>,
}

/// A queue that is served at a bounded rate, in the order of arrival.
#[derive(Debug)]
pub(crate) struct RateQueue {
    clock: GatewayClock,
    failures: Failures,
    reading: Mutex<ReadRate>,
    /// Lock of the head of the queue: those who wait acquire it one after the other.
    front: tokio::sync::Mutex<()>,
}

impl RateQueue {
    fn new(failures_per_minute: u32, per_second: u32, clock: GatewayClock) -> Self {
        Self {
            failures: Failures::new(failures_per_minute),
            reading: Mutex::new(ReadRate::new(per_second, clock.now())),
            clock,
            front: tokio::sync::Mutex::default(),
        }
    }

    /// Returns `true` if a message of this source may be read now, ahead of those that wait. It may
    /// not if the source has failed too often lately.
    pub(crate) fn goes_first(&self, source: Source) -> bool {
        !self.failures.is_empty(source, self.clock.now()) && self.turn(false) == Turn::Now
    }

    /// Waits until a message of a source that failed too often may be read.
    pub(crate) async fn wait(&self) {
        // The lock is fair, so those who wait are served in the order of their arrival.
        let _front = self.front.lock().await;
        while let Turn::In(span) = self.turn(true) {
            tokio::time::sleep(Duration::from_millis(span.as_millis())).await;
        }
    }

    fn turn(&self, source_is_empty: bool) -> Turn {
        self.reading
            .lock()
            .expect("no thread panics while it holds the rate")
            .turn(source_is_empty, self.clock.now())
    }

    /// Counts a message as a failure until the permit is given back. Returns `None` if the source
    /// has no attempt left.
    pub(crate) fn permit(&self, source: Source) -> Option<Permit> {
        self.failures.permit(source, self.clock.now())
    }

    /// Counts a failure of a source.
    pub(crate) fn charge(&self, source: Source) {
        self.failures.charge(source, self.clock.now());
    }
}

/// Handshakes of known keys that have yet to prove themselves.
#[derive(Debug)]
struct Handshakes {
    replays: Replays<Box<[u64]>>,
    proving: HashMap<PublicKey, Proving>,
    displaced: HashMap<u64, Arc<Notify>>,
    next: u64,
}

/// The slot of a handshake that has yet to prove itself; dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct ProvingPlace {
    key: PublicKey,
    handshake: u64,
    displaced: Arc<Notify>,
    handshakes: Arc<Mutex<Handshakes>>,
}

impl Budgets {
    pub(crate) fn new(limits: &Limits, clock: GatewayClock) -> Self {
        let Limits { failures_per_minute, first_messages_per_second, .. } = *limits;
        // At least one a second, or nobody could pair at a low rate.
        let strangers = (first_messages_per_second / STRANGERS).max(1);
        let replays = Replays::new(vec![0; REPLAYS].into_boxed_slice(), entropy::key());
        let handshakes =
            Handshakes { replays, proving: HashMap::new(), displaced: HashMap::new(), next: 0 };
        Self {
            links: RateQueue::new(failures_per_minute, first_messages_per_second, clock.clone()),
            strangers: RateQueue::new(failures_per_minute, strangers, clock),
            efforts: Failures::new(EFFORTS_A_MINUTE),
            handshakes: Arc::new(Mutex::new(handshakes)),
        }
    }

    /// Returns `true` if a first message with this ephemeral key was read before.
    pub(crate) fn knows(&self, ephemeral: &[u8; 32]) -> bool {
        self.handshakes
            .lock()
            .expect("no thread panics while it holds the handshakes")
            .replays
            .knows(ephemeral)
    }

    /// Takes a slot of a key for a handshake. An older handshake of the key may lose its slot for
    /// it.
    ///
    /// # Errors
    /// [`NoPlace::Repeated`] if the ephemeral key was used before, and the refusals of
    /// [`Proving::enter`].
    pub(crate) fn enter(
        &self,
        key: &PublicKey,
        ephemeral: &[u8; 32],
        now: Instant,
    ) -> Result<ProvingPlace, NoPlace> {
        let mut handshakes =
            self.handshakes.lock().expect("no thread panics while it holds the handshakes");
        // A repeated ephemeral key is a replay, which must not displace an honest handshake.
        if !handshakes.replays.remember(ephemeral) {
            return Err(NoPlace::Repeated);
        }
        let handshake = handshakes.next;
        handshakes.next += 1;
        // A full key leaves its entry in place, which frees itself with its handshakes.
        let older = handshakes.proving.entry(*key).or_default().enter(handshake, now)?;
        if let Some(older) = older.and_then(|older| handshakes.displaced.remove(&older)) {
            // The notice is kept if the older handshake does not wait for it yet.
            older.notify_one();
        }
        let displaced = Arc::new(Notify::new());
        handshakes.displaced.insert(handshake, Arc::clone(&displaced));
        Ok(ProvingPlace {
            key: *key,
            handshake,
            displaced,
            handshakes: Arc::clone(&self.handshakes),
        })
    }

    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        let handshakes =
            self.handshakes.lock().expect("no thread panics while it holds the handshakes");
        handshakes.proving.is_empty() && handshakes.displaced.is_empty()
    }
}

impl ProvingPlace {
    /// Completes when a newer handshake of the same key has taken this slot.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for ProvingPlace {
    fn drop(&mut self) {
        // A drop must not panic, not even for a poisoned lock.
        let Ok(mut handshakes) = self.handshakes.lock() else { return };
        handshakes.displaced.remove(&self.handshake);
        if let Some(proving) = handshakes.proving.get_mut(&self.key) {
            proving.leave(self.handshake);
            if proving.is_empty() {
                handshakes.proving.remove(&self.key);
            }
        }
    }
}
