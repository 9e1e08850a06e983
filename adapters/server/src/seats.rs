//! Seats for connections that have not authenticated, counted from accept.
//!
//! Silence is not allowed to lock anyone out: where seats run out, the oldest connection that has sent nothing yet loses its seat, or else the oldest that
//! waits for a person; and a source that is over its own share only displaces its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use handfast_core::budget::{Seat, Waiting};
use handfast_core::id::Source;
use handfast_core::limits::Limits;
use tokio::sync::Notify;

use crate::meter::Meter;

/// All seats of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    limits: Limits,
    table: Arc<Mutex<Table>>,
    /// What those who sit here have sent, in sum.
    sent: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, (Source, Arc<Notify>)>,
    silent: BTreeSet<Turn>,
    sources: HashMap<Source, Share>,
}

#[derive(Debug, Default)]
struct Share {
    taken: u32,
    silent: BTreeSet<Turn>,
}

/// When a connection that may be displaced is: first those that have sent nothing, oldest first, then those that only wait.
type Turn = (Idle, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Idle {
    Silent,
    Resting,
}

/// One seat; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct SeatGuard {
    id: u64,
    source: Source,
    evicted: Arc<Notify>,
    table: Arc<Mutex<Table>>,
    meter: Arc<Meter>,
}

impl Seats {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, table: Arc::default(), sent: Arc::default() }
    }

    /// A seat for a connection of this source, if need be that of the oldest silent one; `None` if nobody silent is left to make room.
    pub(crate) fn take(&self, source: Source) -> Option<SeatGuard> {
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        let waiting = Waiting {
            total: u32::try_from(table.taken.len()).unwrap_or(u32::MAX),
            of_source: table.sources.get(&source).map_or(0, |share| share.taken),
        };
        let displaced = match waiting.seat(&self.limits) {
            Seat::Free => None,
            Seat::EvictFromSource => Some(table.sources.get(&source)?.silent.first()?.1),
            Seat::EvictFromAll => Some(table.silent.first()?.1),
        };
        if let Some(displaced) = displaced {
            table.evict(displaced);
        }
        let id = table.next;
        table.next += 1;
        let evicted = Arc::new(Notify::new());
        table.taken.insert(id, (source, Arc::clone(&evicted)));
        table.sources.entry(source).or_default().taken += 1;
        table.idles(id, source, Idle::Silent);
        drop(table);
        Some(SeatGuard { id, source, evicted, table: Arc::clone(&self.table), meter: Meter::new(&self.sent) })
    }

    /// Takes the seat of the oldest connection that has sent nothing, so that its descriptor becomes free.
    pub(crate) fn evict_oldest(&self) {
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        if let Some((_, oldest)) = table.silent.first().copied() {
            table.evict(oldest);
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.table.lock().expect("no thread panics while it holds the seats").taken.len()
    }
}

impl Table {
    /// Tells a connection that its seat is gone. Its task may take a moment to end, but keeps nobody out any more.
    fn evict(&mut self, id: u64) {
        if let Some((_, evicted)) = self.taken.get(&id) {
            evicted.notify_one();
        }
        self.forget(id);
    }

    /// It may be displaced.
    fn idles(&mut self, id: u64, source: Source, how: Idle) {
        self.silent.insert((how, id));
        if let Some(share) = self.sources.get_mut(&source) {
            share.silent.insert((how, id));
        }
    }

    /// It may not.
    fn busy(&mut self, id: u64, source: Source) {
        for turn in [(Idle::Silent, id), (Idle::Resting, id)] {
            self.silent.remove(&turn);
            if let Some(share) = self.sources.get_mut(&source) {
                share.silent.remove(&turn);
            }
        }
    }

    /// Takes a seat out of the books; does nothing if it is out already, as a displaced one is.
    fn forget(&mut self, id: u64) {
        let Some((source, _)) = self.taken.remove(&id) else { return };
        self.busy(id, source);
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
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        table.busy(self.id, self.source);
    }

    /// The connection only waits, and can come back to what it waits for: from now on it may be displaced once nobody is silent.
    pub(crate) fn rests(&self) {
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        if table.taken.contains_key(&self.id) {
            table.busy(self.id, self.source);
            table.idles(self.id, self.source, Idle::Resting);
        }
    }

    /// It waits for nothing any more, and has nothing to come back to: as at the start, it is the first to be displaced.
    pub(crate) fn falls_silent(&self) {
        let mut table = self.table.lock().expect("no thread panics while it holds the seats");
        if table.taken.contains_key(&self.id) {
            table.busy(self.id, self.source);
            table.idles(self.id, self.source, Idle::Silent);
        }
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
        Seats::new(Limits { waiting_total: total, waiting_per_source: per_source, ..Limits::DEFAULT })
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
}
