//! Seats for connections that have not authenticated, counted from accept.
//!
//! Silence is not allowed to lock anyone out: where seats run out, the connection that has owed the
//! next message of its handshake for longest loses its seat, or the oldest that has sent nothing
//! yet, or else the oldest that waits for a person ([`Idle::gives_way`]); and a source that is over
//! its own share only displaces its own. The connections of a proxy are of no source until a
//! request says for whom it asks; all that are of none count as one crowd.

use std::cmp::Reverse;
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
    sources: HashMap<Option<Source>, Share>,
}

#[derive(Debug)]
struct Taken {
    /// `None` while it is not known for whom a proxy holds it.
    source: Option<Source>,
    /// `None` if it may not be displaced.
    idle: Option<(Idle, Instant)>,
    evicted: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Share {
    taken: u32,
    silent: BTreeSet<Turn>,
}

/// A connection that may be displaced, among those of its kind: the one that has been so for
/// longest first.
type Turn = ((Idle, Instant), u64);

/// One seat; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct SeatGuard {
    id: u64,
    limits: Limits,
    clock: Clock,
    evicted: Arc<Notify>,
    table: Arc<Mutex<Table>>,
    meter: Arc<Meter>,
}

impl Seats {
    pub(crate) fn new(limits: Limits, clock: Clock) -> Self {
        Self { limits, clock, table: Arc::default(), sent: Arc::default() }
    }

    /// A seat for a connection of this source, if need be that of the oldest silent one; `None` if
    /// nobody silent is left to make room. One of no source is bounded by the total alone.
    pub(crate) fn take(&self, source: Option<Source>) -> Option<SeatGuard> {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        let total = u32::try_from(table.taken.len()).unwrap_or(u32::MAX);
        let waiting = Waiting { total, of_source: table.of_source(source) };
        table.make_room(waiting, source, &self.limits, now)?;
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
            limits: self.limits,
            clock: self.clock.clone(),
            evicted,
            table: Arc::clone(&self.table),
            meter,
        })
    }

    /// Takes the seat of the oldest connection that has sent nothing, so that its descriptor
    /// becomes free.
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

impl Table {
    /// Those who may be displaced of the source that has most seats: whoever has few is not put out
    /// by whoever has many.
    fn crowd(&self) -> &BTreeSet<Turn> {
        // Of sources with equally many, the one that has waited for longest: a map has no order
        // that could be relied on.
        let most = self.sources.values().filter(|share| !share.silent.is_empty());
        let most = most.max_by_key(|share| (share.taken, Reverse(share.silent.first().copied())));
        most.map_or(&self.silent, |share| &share.silent)
    }

    /// Tells a connection that its seat is gone. Its task may take a moment to end, but keeps
    /// nobody out any more.
    fn evict(&mut self, id: u64) {
        if let Some(taken) = self.taken.get(&id) {
            taken.evicted.notify_one();
        }
        self.forget(id);
    }

    /// How many seats a source has.
    fn of_source(&self, source: Option<Source>) -> u32 {
        source.and_then(|_| self.sources.get(&source)).map_or(0, |share| share.taken)
    }

    /// Displaces whoever has to go for one more seat of a source; `None` if nobody may be
    /// displaced.
    fn make_room(
        &mut self,
        waiting: Waiting,
        source: Option<Source>,
        limits: &Limits,
        now: Instant,
    ) -> Option<()> {
        let displaced = match waiting.seat(limits) {
            Seat::Free => return Some(()),
            Seat::EvictFromSource => first(&self.sources.get(&source)?.silent, now)?,
            Seat::EvictFromAll => first(self.crowd(), now).or_else(|| first(&self.silent, now))?,
        };
        self.evict(displaced);
        Some(())
    }

    /// It may be displaced, or not.
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

    /// It is a source's from now on, or of none.
    fn counts_for(&mut self, id: u64, source: Option<Source>) {
        let Some(taken) = self.taken.get_mut(&id) else { return };
        let (before, idle) = (std::mem::replace(&mut taken.source, source), taken.idle);
        self.leaves(id, before, idle);
        let share = self.sources.entry(source).or_default();
        share.taken += 1;
        share.silent.extend(idle.map(|idle| (idle, id)));
    }

    /// A seat is none of a share any more.
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

    /// Takes a seat out of the books; does nothing if it is out already, as a displaced one is.
    fn forget(&mut self, id: u64) {
        self.idles(id, None);
        if let Some(Taken { source, idle, .. }) = self.taken.remove(&id) {
            self.leaves(id, source, idle);
        }
    }
}

impl SeatGuard {
    /// Makes it a seat of this source, or of none, from now on: what comes over a proxy's
    /// connection is now for one source and then for another. `false` if the source has its share
    /// and nobody silent in it, or if the seat is gone; then it is of no source.
    #[must_use]
    pub(crate) fn counts_for(&self, source: Option<Source>) -> bool {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        match table.taken.get(&self.id) {
            None => return false,
            Some(taken) if taken.source == source => return true,
            Some(_) => table.counts_for(self.id, None),
        }
        // It has its place among all already.
        let waiting = Waiting { total: 0, of_source: table.of_source(source) };
        let room = table.make_room(waiting, source, &self.limits, now).is_some();
        if room {
            table.counts_for(self.id, source);
        }
        room
    }

    /// The connection has sent its first message: from now on nobody may displace it.
    pub(crate) fn spoke(&self) {
        self.idles(None);
    }

    /// The connection owes the next message of a handshake that it began: it may be displaced, and
    /// once it has owed it for long, before all others.
    pub(crate) fn stalls(&self) {
        self.idles(Some(Idle::Stalled));
    }

    /// The connection only waits, and can come back to what it waits for: from now on it may be
    /// displaced once nobody is silent.
    pub(crate) fn rests(&self) {
        self.idles(Some(Idle::Resting));
    }

    /// It waits for nothing any more, and has nothing to come back to: as at the start, it is the
    /// first to be displaced.
    pub(crate) fn falls_silent(&self) {
        self.idles(Some(Idle::Silent));
    }

    fn idles(&self, how: Option<Idle>) {
        let now = self.clock.now();
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        table.idles(self.id, how.map(|how| (how, now)));
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
        Seats::new(
            Limits { waiting_total: total, waiting_per_source: per_source, ..Limits::DEFAULT },
            Clock::start(Box::new(crate::clock::LocalClock::default()), None),
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
