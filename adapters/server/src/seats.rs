//! Seats for connections that have not authenticated, counted from accept.
//!
//! Silence is not allowed to lock anyone out: where seats run out, the connection that has owed the next message of its handshake for longest loses its seat, or
//! the oldest that has sent nothing yet, or else the oldest that waits for a person ([`Idle::gives_way`]); and a source that is over its own share only displaces its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use handfast_core::budget::{Idle, Seat, Waiting};
use handfast_core::id::Source;
use handfast_core::limits::Limits;
use handfast_core::time::Instant;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::meter::Meter;

/// All seats of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    limits: Limits,
    clock: Clock,
    table: Arc<Mutex<Table>>,
    /// What those who sit here have sent, in sum.
    sent: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Taken>,
    silent: BTreeSet<Turn>,
    sources: HashMap<Source, Share>,
}

#[derive(Debug)]
struct Taken {
    source: Source,
    /// `None` if it may not be displaced.
    idle: Option<(Idle, Instant)>,
    evicted: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Share {
    taken: u32,
    silent: BTreeSet<Turn>,
}

/// A connection that may be displaced, among those of its kind: the one that has been so for longest first.
type Turn = ((Idle, Instant), u64);

/// One seat; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct SeatGuard {
    id: u64,
    source: Source,
    clock: Clock,
    evicted: Arc<Notify>,
    table: Arc<Mutex<Table>>,
    meter: Arc<Meter>,
}

impl Seats {
    pub(crate) fn new(limits: Limits, clock: Clock) -> Self {
        Self { limits, clock, table: Arc::default(), sent: Arc::default() }
    }

    /// A seat for a connection of this source, if need be that of the oldest silent one; `None` if nobody silent is left to make room.
    pub(crate) fn take(&self, source: Source) -> Option<SeatGuard> {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        let waiting = Waiting {
            total: u32::try_from(table.taken.len()).unwrap_or(u32::MAX),
            of_source: table.sources.get(&source).map_or(0, |share| share.taken),
        };
        let displaced = match waiting.seat(&self.limits) {
            Seat::Free => None,
            Seat::EvictFromSource => Some(first(&table.sources.get(&source)?.silent, now)?),
            Seat::EvictFromAll => Some(first(table.crowd(), now).or_else(|| first(&table.silent, now))?),
        };
        if let Some(displaced) = displaced {
            table.evict(displaced);
        }
        let id = table.next;
        table.next += 1;
        let evicted = Arc::new(Notify::new());
        table.taken.insert(id, Taken { source, idle: None, evicted: Arc::clone(&evicted) });
        table.sources.entry(source).or_default().taken += 1;
        table.idles(id, source, Some((Idle::Silent, now)));
        drop(table);
        Some(SeatGuard { id, source, clock: self.clock, evicted, table: Arc::clone(&self.table), meter: Meter::new(&self.sent) })
    }

    /// Takes the seat of the oldest connection that has sent nothing, so that its descriptor becomes free.
    pub(crate) fn evict_oldest(&self) {
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        if let Some(oldest) = first(&table.silent, self.clock.now()) {
            table.evict(oldest);
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.table.lock().expect("no thread panics while it holds the seats").taken.len()
    }
}

/// Who of these makes room.
fn first(idle: &BTreeSet<Turn>, now: Instant) -> Option<u64> {
    let oldest = |kind| {
        idle.range(((kind, Instant::from_millis(0)), 0)..=((kind, Instant::from_millis(u64::MAX)), u64::MAX)).next().copied()
    };
    let stalled = oldest(Idle::Stalled).map(|((_, since), _)| since);
    let kind = Idle::gives_way(oldest(Idle::Silent).is_some(), stalled, oldest(Idle::Resting).is_some(), now)?;
    oldest(kind).map(|(_, id)| id)
}

impl Table {
    /// Those who may be displaced of the source that has most seats: whoever has few is not put out by whoever has many.
    fn crowd(&self) -> &BTreeSet<Turn> {
        let most = self.sources.values().max_by_key(|share| if share.silent.is_empty() { 0 } else { share.taken });
        most.map_or(&self.silent, |share| &share.silent)
    }

    /// Tells a connection that its seat is gone. Its task may take a moment to end, but keeps nobody out any more.
    fn evict(&mut self, id: u64) {
        if let Some(taken) = self.taken.get(&id) {
            taken.evicted.notify_one();
        }
        self.forget(id);
    }

    /// It may be displaced, or not.
    fn idles(&mut self, id: u64, source: Source, idle: Option<(Idle, Instant)>) {
        let Some(taken) = self.taken.get_mut(&id) else { return };
        let before = std::mem::replace(&mut taken.idle, idle);
        let share = self.sources.get_mut(&source).map(|share| &mut share.silent);
        for silent in [Some(&mut self.silent), share].into_iter().flatten() {
            if let Some(before) = before {
                silent.remove(&(before, id));
            }
            if let Some(idle) = idle {
                silent.insert((idle, id));
            }
        }
    }

    /// Takes a seat out of the books; does nothing if it is out already, as a displaced one is.
    fn forget(&mut self, id: u64) {
        let Some(source) = self.taken.get(&id).map(|taken| taken.source) else { return };
        self.idles(id, source, None);
        self.taken.remove(&id);
        if let Some(share) = self.sources.get_mut(&source) {
            share.taken -= 1;
            if share.taken == 0 {
                self.sources.remove(&source);
            }
        }
    }
}

impl SeatGuard {
    /// The connection has sent its first message: from now on nobody may displace it.
    pub(crate) fn spoke(&self) {
        self.idles(None);
    }

    /// The connection owes the next message of a handshake that it began: it may be displaced, and once it has owed it for long, before all others.
    pub(crate) fn stalls(&self) {
        self.idles(Some(Idle::Stalled));
    }

    /// The connection only waits, and can come back to what it waits for: from now on it may be displaced once nobody is silent.
    pub(crate) fn rests(&self) {
        self.idles(Some(Idle::Resting));
    }

    /// It waits for nothing any more, and has nothing to come back to: as at the start, it is the first to be displaced.
    pub(crate) fn falls_silent(&self) {
        self.idles(Some(Idle::Silent));
    }

    fn idles(&self, how: Option<Idle>) {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        table.idles(self.id, self.source, how.map(|how| (how, now)));
    }

    /// Counts what this connection sends.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// Is notified when somebody else got this seat.
    pub(crate) fn watch(&self) -> Arc<Notify> {
        Arc::clone(&self.evicted)
    }

    /// Ends when somebody else got this seat.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        self.meter.stop();
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
        Seats::new(Limits { waiting_total: total, waiting_per_source: per_source, ..Limits::DEFAULT }, Clock::start())
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_makes_room() {
        let seats = seats(2, 2);
        let (first, _second) = (seats.take(source(1)).unwrap(), seats.take(source(2)).unwrap());
        let _third = seats.take(source(3)).unwrap();
        first.evicted().await;
        assert_eq!(seats.taken(), 2);
        drop(first);
        assert_eq!(seats.taken(), 2, "a displaced seat is given back once");
    }

    #[test]
    fn a_connection_that_has_spoken_is_not_displaced() {
        let seats = seats(1, 1);
        let first = seats.take(source(1)).unwrap();
        first.spoke();
        assert!(seats.take(source(1)).is_none());
        assert!(seats.take(source(2)).is_none());
        drop(first);
        assert!(seats.take(source(2)).is_some());
    }

    #[tokio::test]
    async fn a_connection_that_only_waits_makes_room_again() {
        let seats = seats(1, 1);
        let first = seats.take(source(1)).unwrap();
        first.spoke();
        first.rests();
        let _second = seats.take(source(2)).unwrap();
        first.evicted().await;
        first.rests();
        drop(first);
        assert_eq!(seats.taken(), 1, "whoever was displaced stays out of the books");
    }

    #[tokio::test]
    async fn whoever_is_silent_makes_room_before_whoever_waits() {
        let seats = seats(2, 2);
        let waits = seats.take(source(1)).unwrap();
        waits.spoke();
        waits.rests();
        let silent = seats.take(source(1)).unwrap();
        let _third = seats.take(source(1)).unwrap();
        silent.evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, waits.evicted()).await;
        assert!(never.is_err());
    }

    #[tokio::test]
    async fn a_full_source_displaces_its_own_and_no_one_else() {
        let seats = seats(3, 2);
        let other = seats.take(source(9)).unwrap();
        let first = seats.take(source(1)).unwrap();
        let _second = seats.take(source(1)).unwrap();
        let _third = seats.take(source(1)).unwrap();
        first.evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, other.evicted()).await;
        assert!(never.is_err());
    }

    #[tokio::test]
    async fn whoever_owes_the_next_message_of_a_handshake_makes_room() {
        let seats = seats(2, 2);
        let stalls = seats.take(source(1)).unwrap();
        stalls.stalls();
        let busy = seats.take(source(1)).unwrap();
        busy.spoke();
        let third = seats.take(source(1)).unwrap();
        stalls.evicted().await;
        third.spoke();
        assert!(seats.take(source(1)).is_none());
    }

    #[tokio::test]
    async fn where_all_seats_are_taken_the_source_with_most_of_them_makes_room() {
        let seats = seats(4, 3);
        let single = seats.take(source(9)).unwrap();
        single.stalls();
        let crowd: Vec<_> = (0..3).map(|_| seats.take(source(1)).unwrap()).collect();
        crowd.iter().for_each(SeatGuard::stalls);
        let _newcomer = seats.take(source(8)).unwrap();
        crowd[0].evicted().await;
        let never = tokio::time::timeout(std::time::Duration::ZERO, single.evicted()).await;
        assert!(never.is_err());
    }
}
