//! What strangers may cost the native wire, and in which order: the tables over core's budgets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handfast_core::budget::{NoPlace, Proving, Reading, Replays, Turn};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::id::Source;
use handfast_core::limits::{Limits, REPLAYS};
use handfast_core::time::Instant;
use tokio::sync::Notify;

use crate::chance;
use crate::clock::Clock;
use crate::failures::{Failures, Permit};

/// How often one peer, by its key, may tell something that is kept, present a chain, or confirm or
/// renew a grant.
const EFFORTS_A_MINUTE: u32 = 120;
/// Which part of what is read in a second is for strangers who want to pair or to delegate:
/// answering one costs more, and no known peer waits for them.
const STRANGERS: u32 = 4;

/// The budgets of the native wire.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Of first messages of links.
    pub(super) links: Queue,
    /// Of handshakes to pair or to delegate.
    pub(super) strangers: Queue,
    /// Of what linked peers have the gateway write and verify.
    pub(super) efforts: Failures<PublicKey>,
    handshakes: Arc<Mutex<Handshakes>>,
}

/// What is to be read, in the order in which it came, where it comes faster than it is read.
#[derive(Debug)]
pub(crate) struct Queue {
    clock: Clock,
    failures: Failures,
    reading: Mutex<Reading>,
    /// Whoever waits holds it, one after the other.
    front: tokio::sync::Mutex<()>,
}

impl Queue {
    fn new(failures_per_minute: u32, per_second: u32, clock: Clock) -> Self {
        Self {
            failures: Failures::new(failures_per_minute),
            reading: Mutex::new(Reading::new(per_second, clock.now())),
            clock,
            front: tokio::sync::Mutex::default(),
        }
    }

    /// Whether something of this source may be read now, ahead of whoever waits: if the source has
    /// not failed too often lately.
    pub(super) fn goes_first(&self, source: Source) -> bool {
        !self.failures.is_empty(source, self.clock.now()) && self.turn(false) == Turn::Now
    }

    /// Waits until something of a source that failed too often may be read.
    pub(super) async fn wait(&self) {
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

    /// Counts what is read as a failure until it is given back. None where the source has nothing
    /// left that could be taken.
    pub(super) fn permit(&self, source: Source) -> Option<Permit> {
        self.failures.permit(source, self.clock.now())
    }

    /// Counts a failure.
    pub(super) fn charge(&self, source: Source) {
        self.failures.charge(source, self.clock.now());
    }
}

/// Handshakes of known keys that have still to prove themselves.
#[derive(Debug)]
struct Handshakes {
    replays: Replays<Box<[u64]>>,
    proving: HashMap<PublicKey, Proving>,
    displaced: HashMap<u64, Arc<Notify>>,
    next: u64,
}

/// The place of one of them; dropping it gives it back.
#[derive(Debug)]
pub(super) struct ProvingPlace {
    key: PublicKey,
    handshake: u64,
    displaced: Arc<Notify>,
    handshakes: Arc<Mutex<Handshakes>>,
}

impl Budgets {
    pub(crate) fn new(limits: &Limits, clock: Clock) -> Self {
        let Limits { failures_per_minute, first_messages_per_second, .. } = *limits;
        let strangers = (first_messages_per_second / STRANGERS).max(1);
        let replays = Replays::new(vec![0; REPLAYS].into_boxed_slice(), chance::key());
        let handshakes =
            Handshakes { replays, proving: HashMap::new(), displaced: HashMap::new(), next: 0 };
        Self {
            links: Queue::new(failures_per_minute, first_messages_per_second, clock.clone()),
            strangers: Queue::new(failures_per_minute, strangers, clock),
            efforts: Failures::new(EFFORTS_A_MINUTE),
            handshakes: Arc::new(Mutex::new(handshakes)),
        }
    }

    /// Whether a first message with this ephemeral key was read before.
    pub(super) fn knows(&self, ephemeral: &[u8; 32]) -> bool {
        self.handshakes
            .lock()
            .expect("no thread panics while it holds the handshakes")
            .replays
            .knows(ephemeral)
    }

    /// Gives a handshake one of its key's places.
    pub(super) fn enter(
        &self,
        key: &PublicKey,
        ephemeral: &[u8; 32],
        now: Instant,
    ) -> Result<ProvingPlace, NoPlace> {
        let mut handshakes =
            self.handshakes.lock().expect("no thread panics while it holds the handshakes");
        if !handshakes.replays.remember(ephemeral) {
            return Err(NoPlace::Repeated);
        }
        let handshake = handshakes.next;
        handshakes.next += 1;
        let older = handshakes.proving.entry(*key).or_default().enter(handshake, now)?;
        if let Some(older) = older.and_then(|older| handshakes.displaced.remove(&older)) {
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
    /// Ends when a newer handshake of the same key has this place.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for ProvingPlace {
    fn drop(&mut self) {
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
