//! Slots of unauthenticated connections, counted from accept.
//!
//! Silence cannot lock anyone out. Where no slot is free, one connection loses its slot
//! ([`Idle::gives_way`]): one that has owed the next message of its handshake for long, else the
//! oldest that has sent nothing, else the one that has owed a message for longest, else the oldest
//! that waits for a person. A source that exceeds its own share displaces only its own connections.
//! The connections of a proxy have no source until a request names its client; those without a
//! source count as one group.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use handfast_core::budget::{Idle, Seat, Waiting};
use handfast_core::limits::Limits;
use handfast_core::{Instant, Source};
use tokio::sync::Notify;

use crate::clock::GatewayClock;
use crate::connection::preauth_bytes::Meter;

/// All slots of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    clock: GatewayClock,
    table: Arc<Mutex<SlotTable>>,
    /// Bytes that all these connections have sent, in total.
    sent: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct SlotTable {
    limits: Limits,
    next: u64,
    taken: HashMap<u64, Taken>,
    silent: BTreeSet<Turn>,
    sources: HashMap<Option<Source>, SourceShare>,
}

#[derive(Debug)]
struct Taken {
    /// Source of the connection; `None` while the client of a proxy is unknown.
    source: Option<Source>,
    /// State and its start; `None` if the connection may not be displaced.
    idle: Option<(Idle, Instant)>,
    evicted: Arc<Notify>,
}

#[derive(Debug, Default)]
struct SourceShare {
    taken: u32,
    silent: BTreeSet<Turn>,
}

/// A connection that may be displaced, ordered by state, then by the start of that state.
type Turn = ((Idle, Instant), u64);

/// One slot; dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct SeatGuard {
    id: u64,
    clock: GatewayClock,
    evicted: Arc<Notify>,
    table: Arc<Mutex<SlotTable>>,
    meter: Arc<Meter>,
}

impl Seats {
    pub(crate) fn new(limits: Limits, clock: GatewayClock) -> Self {
        let table = SlotTable {
            limits,
            next: 0,
            taken: HashMap::new(),
            silent: BTreeSet::new(),
            sources: HashMap::new(),
        };
        Self { clock, table: Arc::new(Mutex::new(table)), sent: Arc::default() }
    }

    /// Replaces the limits, for connections that need a slot from now on. Nobody loses a slot.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.table.lock().expect("no thread panics while it holds the seats").limits = limits;
    }

    /// Takes a slot for a connection of this source, if need be by displacing another. `None` if
    /// none can be displaced. Only the total bounds connections without a source.
    pub(crate) fn take(&self, source: Option<Source>) -> Option<SeatGuard> {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        let total = u32::try_from(table.taken.len()).unwrap_or(u32::MAX);
        let waiting = Waiting { total, of_source: table.of_source(source) };
        table.make_room(waiting, source, now)?;
        let id = table.next;
        table.next += 1;
        let evicted = Arc::new(Notify::new());
        table.taken.insert(id, Taken { source, idle: None, evicted: Arc::clone(&evicted) });
        table.sources.entry(source).or_default().taken += 1;
        table.idles(id, Some((Idle::Silent, now)));
        drop(table);
        let meter = Meter::new(&self.sent);
        Some(SeatGuard {
            id,
            clock: self.clock.clone(),
            evicted,
            table: Arc::clone(&self.table),
            meter,
        })
    }

    /// Displaces a connection that may be displaced, the oldest silent one if possible, so that its
    /// descriptor becomes free.
    pub(crate) fn evict_oldest(&self) {
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        if let Some(oldest) = first(&table.silent, self.clock.now()) {
            table.evict(oldest);
        }
    }

    /// Returns the number of slots taken.
    pub(crate) fn taken(&self) -> usize {
        self.table.lock().expect("no thread panics while it holds the seats").taken.len()
    }
}

/// Returns the connection that gives way among these.
fn first(idle: &BTreeSet<Turn>, now: Instant) -> Option<u64> {
    let oldest = |kind| {
        // All turns of one kind: from the earliest instant to the latest.
        idle.range(
            ((kind, Instant::from_millis(0)), 0)
                ..=((kind, Instant::from_millis(u64::MAX)), u64::MAX),
        )
        .next()
        .copied()
    };
    let stalled = oldest(Idle::Stalled).map(|((_, since), _)| since);
    let kind = Idle::gives_way(
        oldest(Idle::Silent).is_some(),
        stalled,
        oldest(Idle::Resting).is_some(),
        now,
    )?;
    oldest(kind).map(|(_, id)| id)
}

impl SlotTable {
    /// Returns the displaceable connections of the source with the most slots: a source with many
    /// does not displace one with few.
    fn crowd(&self) -> &BTreeSet<Turn> {
        // Among sources with equally many, the one that has waited for longest: a map has no
        // reliable order.
        let most = self.sources.values().filter(|share| !share.silent.is_empty());
        let most = most.max_by_key(|share| (share.taken, Reverse(share.silent.first().copied())));
        most.map_or(&self.silent, |share| &share.silent)
    }

    /// Tells a connection that it has lost its slot. Its task may take a moment to end, but the
    /// slot is free at once.
    fn evict(&mut self, id: u64) {
        if let Some(taken) = self.taken.get(&id) {
            taken.evicted.notify_one();
        }
        self.forget(id);
    }

    /// Returns the number of slots of a source; 0 for no source.
    fn of_source(&self, source: Option<Source>) -> u32 {
        // Connections without a source have no share that could be exceeded.
        source.and_then(|_| self.sources.get(&source)).map_or(0, |share| share.taken)
    }

    /// Displaces a connection if one more slot of a source needs it. `None` if none may be
    /// displaced.
    fn make_room(&mut self, waiting: Waiting, source: Option<Source>, now: Instant) -> Option<()> {
        let displaced = match waiting.seat(&self.limits) {
            Seat::Free => return Some(()),
            Seat::EvictFromSource => first(&self.sources.get(&source)?.silent, now)?,
            Seat::EvictFromAll => first(self.crowd(), now).or_else(|| first(&self.silent, now))?,
        };
        self.evict(displaced);
        Some(())
    }

    /// Sets the state in which a connection may be displaced; `None` if it may not be.
    fn idles(&mut self, id: u64, idle: Option<(Idle, Instant)>) {
        let Some(taken) = self.taken.get_mut(&id) else { return };
        let before = std::mem::replace(&mut taken.idle, idle);
        let share = self.sources.get_mut(&taken.source).map(|share| &mut share.silent);
        for silent in [Some(&mut self.silent), share].into_iter().flatten() {
            if let Some(before) = before {
                silent.remove(&(before, id));
            }
            if let Some(idle) = idle {
                silent.insert((idle, id));
            }
        }
    }

    /// Moves a slot to a source, or to none.
    fn counts_for(&mut self, id: u64, source: Option<Source>) {
        let Some(taken) = self.taken.get_mut(&id) else { return };
        let (before, idle) = (std::mem::replace(&mut taken.source, source), taken.idle);
        self.leaves(id, before, idle);
        let share = self.sources.entry(source).or_default();
        share.taken += 1;
        share.silent.extend(idle.map(|idle| (idle, id)));
    }

    /// Removes a slot from its share.
    fn leaves(&mut self, id: u64, source: Option<Source>, idle: Option<(Idle, Instant)>) {
        let Some(share) = self.sources.get_mut(&source) else { return };
        share.taken -= 1;
        if let Some(idle) = idle {
            share.silent.remove(&(idle, id));
        }
        if share.taken == 0 {
            self.sources.remove(&source);
        }
    }

    /// Removes a slot. Does nothing if it is removed already, as that of a displaced connection is.
    fn forget(&mut self, id: u64) {
        self.idles(id, None);
        if let Some(Taken { source, idle, .. }) = self.taken.remove(&id) {
            self.leaves(id, source, idle);
        }
    }
}

impl SeatGuard {
    /// Assigns the slot to this source, or to none, from now on; a proxy's connection serves one
    /// client after another. Returns `false` if the source has its share and nothing to displace,
    /// or if the slot is lost. In the first case the slot has no source.
    #[must_use]
    pub(crate) fn counts_for(&self, source: Option<Source>) -> bool {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        match table.taken.get(&self.id) {
            None => return false,
            Some(taken) if taken.source == source => return true,
            Some(_) => table.counts_for(self.id, None),
        }
        // The slot counts in the total already.
        let waiting = Waiting { total: 0, of_source: table.of_source(source) };
        let room = table.make_room(waiting, source, now).is_some();
        if room {
            table.counts_for(self.id, source);
        }
        room
    }

    /// Marks that the connection has sent its first message: it may no longer be displaced.
    pub(crate) fn spoke(&self) {
        self.idles(None);
    }

    /// Marks that the peer owes the next message of a handshake that it began. The connection may
    /// be displaced, and before all others once it has owed the message for long.
    pub(crate) fn stalls(&self) {
        self.idles(Some(Idle::Stalled));
    }

    /// Marks that the connection only waits, and that its peer can come back later: it may be
    /// displaced once none is silent.
    pub(crate) fn rests(&self) {
        self.idles(Some(Idle::Resting));
    }

    /// Marks that the connection waits for nothing, and that its peer has nothing to come back to:
    /// it is displaced like a new one.
    pub(crate) fn falls_silent(&self) {
        self.idles(Some(Idle::Silent));
    }

    fn idles(&self, how: Option<Idle>) {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        table.idles(self.id, how.map(|how| (how, now)));
    }

    /// Returns the counter of the bytes that this connection sends.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Returns the notification of the slot's loss.
    pub(crate) fn watch(&self) -> Arc<Notify> {
        Arc::clone(&self.evicted)
    }

    /// Completes when another connection has taken this slot.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        self.meter.stop();
        // A drop must not panic, not even for a poisoned lock.
        if let Ok(mut table) = self.table.lock() {
            table.forget(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    fn seats(total: u32, per_source: u32) -> Seats {
        Seats::new(
            Limits { waiting_total: total, waiting_per_source: per_source, ..Limits::DEFAULT },
            GatewayClock::start(Box::new(crate::clock::LocalClock::default()), None),
        )
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_makes_room() {
        let seats = seats(2, 2);
        let (first, _second) =
            (seats.take(Some(source(1))).unwrap(), seats.take(Some(source(2))).unwrap());
        let _third = seats.take(Some(source(3))).unwrap();
        first.evicted().await;
        assert_eq!(seats.taken(), 2);
        drop(first);
        assert_eq!(seats.taken(), 2, "a displaced seat is given back once");
    }

    #[test]
    fn a_connection_that_has_spoken_is_not_displaced() {
        let seats = seats(1, 1);
        let first = seats.take(Some(source(1))).unwrap();
        first.spoke();
        assert!(seats.take(Some(source(1))).is_none());
        assert!(seats.take(Some(source(2))).is_none());
        drop(first);
        assert!(seats.take(Some(source(2))).is_some());
    }

    #[tokio::test]
    async fn a_connection_that_only_waits_makes_room_again() {
        let seats = seats(1, 1);
        let first = seats.take(Some(source(1))).unwrap();
        first.spoke();
        first.rests();
        let _second = seats.take(Some(source(2))).unwrap();
        first.evicted().await;
        first.rests();
        drop(first);
        assert_eq!(seats.taken(), 1, "whoever was displaced stays out of the books");
    }

    #[tokio::test]
    async fn whoever_is_silent_makes_room_before_whoever_waits() {
        let seats = seats(2, 2);
        let waits = seats.take(Some(source(1))).unwrap();
        waits.spoke();
        waits.rests();
        let silent = seats.take(Some(source(1))).unwrap();
        let _third = seats.take(Some(source(1))).unwrap();
        silent.evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, waits.evicted()).await;
        assert!(never.is_err());
    }

    #[tokio::test]
    async fn a_full_source_displaces_its_own_and_no_one_else() {
        let seats = seats(3, 2);
        let other = seats.take(Some(source(9))).unwrap();
        let first = seats.take(Some(source(1))).unwrap();
        let _second = seats.take(Some(source(1))).unwrap();
        let _third = seats.take(Some(source(1))).unwrap();
        first.evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, other.evicted()).await;
        assert!(never.is_err());
    }

    #[tokio::test]
    async fn whoever_owes_the_next_message_of_a_handshake_makes_room() {
        let seats = seats(2, 2);
        let stalls = seats.take(Some(source(1))).unwrap();
        stalls.stalls();
        let busy = seats.take(Some(source(1))).unwrap();
        busy.spoke();
        let third = seats.take(Some(source(1))).unwrap();
        stalls.evicted().await;
        third.spoke();
        assert!(seats.take(Some(source(1))).is_none());
    }

    #[tokio::test]
    async fn where_all_seats_are_taken_the_source_with_most_of_them_makes_room() {
        let seats = seats(4, 3);
        let single = seats.take(Some(source(9))).unwrap();
        single.stalls();
        let crowd: Vec<_> = (0..3).map(|_| seats.take(Some(source(1))).unwrap()).collect();
        crowd.iter().for_each(SeatGuard::stalls);
        let _newcomer = seats.take(Some(source(8))).unwrap();
        crowd[0].evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, single.evicted()).await;
        assert!(never.is_err());
    }

    #[test]
    fn connections_of_a_proxy_are_bounded_in_total_alone_until_they_say_for_whom() {
        let seats = seats(4, 1);
        let proxied: Vec<_> = (0..4).map(|_| seats.take(None).unwrap()).collect();
        assert!(proxied[0].counts_for(Some(source(1))));
        proxied[0].spoke();
        assert!(!proxied[1].counts_for(Some(source(1))), "that source has its share");
        assert!(proxied[1].counts_for(Some(source(2))), "and another one its own");
        assert!(proxied[0].counts_for(Some(source(1))), "what is a source's already stays so");
        assert!(
            proxied[0].counts_for(None) && proxied[2].counts_for(Some(source(1))),
            "a share that is given back is another's"
        );
        drop(proxied);
        assert_eq!(seats.taken(), 0);
        assert!(seats.table.lock().unwrap().sources.is_empty());
    }

    #[tokio::test]
    async fn a_source_that_asks_through_a_proxy_displaces_its_own_and_no_one_else() {
        let seats = seats(8, 1);
        let (own, other, asks) =
            (seats.take(None).unwrap(), seats.take(None).unwrap(), seats.take(None).unwrap());
        assert!(own.counts_for(Some(source(1))) && other.counts_for(Some(source(2))));
        assert!(asks.counts_for(Some(source(1))));
        own.evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, other.evicted()).await;
        assert!(never.is_err());
        assert!(!own.counts_for(Some(source(3))), "a seat that is gone is nobody's");
        assert_eq!(seats.taken(), 2);
    }

    #[tokio::test]
    async fn a_flood_of_connections_that_say_for_nobody_makes_room_before_somebody_who_came_alone()
    {
        let seats = seats(3, 2);
        let alone = seats.take(Some(source(1))).unwrap();
        let flood = [seats.take(None).unwrap(), seats.take(None).unwrap()];
        let _more = seats.take(None).unwrap();
        flood[0].evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, alone.evicted()).await;
        assert!(never.is_err());
    }
}
