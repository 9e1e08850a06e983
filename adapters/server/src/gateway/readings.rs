//! Observations of nodes: their readings and the times at which they were last seen. In every
//! dialect, a node's newest is written once in [`READINGS_EVERY`], however often it reports.
//!
//! The newest observation waits here until it is due, and operators see it meanwhile. It is due
//! sooner when its node leaves, and at once when the gateway ends in order.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use handfast_core::limits::{READINGS_EVERY, READINGS_LAST};
use handfast_core::{Instant, NodeId};
use handfast_store::{Observation, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::gateway::Inner;

/// Interval at which the writer checks that the gateway is still alive.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Number of writes in progress at once; the store makes concurrent ones durable together.
const AT_A_TIME: usize = 256;

/// Observations that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct PendingReadings {
    table: Mutex<ReadingTable>,
    /// Notification that something is due earlier than before.
    sooner: Notify,
}

/// A pure table of observations and the times at which they are due.
#[derive(Debug, Default)]
struct ReadingTable {
    nodes: HashMap<NodeId, NodeReadings>,
    /// Nodes in the order in which they are due, each once.
    due: BTreeSet<(Instant, NodeId)>,
}

#[derive(Debug)]
struct NodeReadings {
    /// Time of the last write; `None` before the first.
    written: Option<Instant>,
    waits: Option<Observation>,
    /// Place in the order. A node without a waiting observation is removed then.
    due: Instant,
}

impl ReadingTable {
    /// Keeps an observation; returns `true` if its node is due before all others.
    fn tell(&mut self, node_id: NodeId, observation: Observation, now: Instant) -> bool {
        let told = self.nodes.entry(node_id).or_insert(NodeReadings {
            written: None,
            waits: None,
            due: now,
        });
        let is_new = told.waits.is_none();
        told.waits = Some(observation.over(told.waits));
        // Later observations merge into the waiting one without moving its due time.
        if is_new {
            let due = told.written.map_or(now, |written| now.max(written.after(READINGS_EVERY)));
            self.put(node_id, due);
        }
        self.due.first().is_some_and(|(_, first)| *first == node_id)
    }

    /// Makes the observation of a node that has left due sooner; returns `true` if it is due before
    /// all others.
    fn leave(&mut self, node_id: NodeId, now: Instant) -> bool {
        let Some(NodeReadings { written, waits: Some(_), due }) = self.nodes.get(&node_id) else {
            return false;
        };
        let sooner = written.map_or(now, |written| now.max(written.after(READINGS_LAST))).min(*due);
        self.put(node_id, sooner);
        self.due.first().is_some_and(|(_, first)| *first == node_id)
    }

    fn put(&mut self, node_id: NodeId, due: Instant) {
        if let Some(told) = self.nodes.get_mut(&node_id) {
            self.due.remove(&(told.due, node_id));
            told.due = due;
            self.due.insert((due, node_id));
        }
    }

    /// Takes the observations that are due until `until`; they count as written now.
    fn take(&mut self, until: Instant, now: Instant) -> Vec<(NodeId, Observation)> {
        let mut taken = Vec::new();
        let mut later = Vec::new();
        while let Some((due, node_id)) = self.due.first().copied()
            && due <= until
        {
            self.due.remove(&(due, node_id));
            let Some(told) = self.nodes.get_mut(&node_id) else { continue };
            match told.waits.take() {
                // The node has reported nothing since its last write.
                None => drop(self.nodes.remove(&node_id)),
                Some(observation) => {
                    (told.written, told.due) = (Some(now), now.after(READINGS_EVERY));
                    later.push((told.due, node_id));
                    taken.push((node_id, observation));
                }
            }
        }
        self.due.extend(later);
        taken
    }

    /// Keeps an observation that could not be written, unless there is a newer one.
    fn return_to(&mut self, node_id: NodeId, observation: Observation, now: Instant) {
        let newer = self.nodes.get(&node_id).and_then(|told| told.waits);
        self.tell(node_id, newer.map_or(observation, |newer| newer.over(Some(observation))), now);
    }
}

impl PendingReadings {
    /// Keeps the observation of a node.
    pub(crate) fn tell(&self, node_id: NodeId, observation: Observation, now: Instant) {
        if self.table().tell(node_id, observation, now) {
            self.sooner.notify_one();
        }
    }

    /// Marks that a node's link has ended.
    pub(crate) fn leave(&self, node_id: NodeId, now: Instant) {
        if self.table().leave(node_id, now) {
            self.sooner.notify_one();
        }
    }

    /// Merges the waiting observation of a node with the stored one; the waiting one is newer.
    pub(crate) fn over(&self, node_id: NodeId, stored: Option<Observation>) -> Option<Observation> {
        let waits = self.table().nodes.get(&node_id).and_then(|told| told.waits);
        waits.map(|waits| waits.over(stored)).or(stored)
    }

    /// Writes all waiting observations, due or not.
    pub(crate) async fn flush(&self, store: &Arc<dyn Store>, now: Instant) {
        self.write(store, Instant::from_millis(u64::MAX), now).await;
    }

    /// Writes the observations that are due until `until`. Those that cannot be written wait again.
    async fn write(&self, store: &Arc<dyn Store>, until: Instant, now: Instant) {
        let taken = self.table().take(until, now);
        for some in taken.chunks(AT_A_TIME) {
            let mut writes = JoinSet::new();
            for (node_id, observation) in some.iter().copied() {
                let store = Arc::clone(store);
                writes.spawn(async move {
                    (node_id, observation, store.observe(node_id, observation).await)
                });
            }
            let mut failed = None;
            while let Some(written) = writes.join_next().await {
                if let Ok((node_id, observation, Err(error))) = written {
                    self.table().return_to(node_id, observation, now);
                    failed = Some(error);
                }
            }
            if let Some(error) = failed {
                tracing::error!(%error, "what nodes told could not be kept; it is tried again");
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, ReadingTable> {
        self.table.lock().expect("no thread panics while it holds what nodes told")
    }
}

/// Starts the task that writes due observations, as long as the gateway lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(writer(Arc::clone(&inner.readings), Arc::downgrade(inner)));
}

async fn writer(readings: Arc<PendingReadings>, gateway: Weak<Inner>) {
    loop {
        let next = {
            let Some(inner) = gateway.upgrade() else { return };
            let now = inner.clock.now();
            readings.write(&inner.store, now, now).await;
            readings.table().due.first().map(|(due, _)| inner.clock.wake_at(*due))
        };
        // The task wakes now and then without a reason, so that it notices the end of the gateway.
        let latest = tokio::time::Instant::now() + LOOK_EVERY;
        tokio::select! {
            () = readings.sooner.notified() => {}
            () = sleep_until(next.map_or(latest, |next| next.min(latest))) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use handfast_core::UnixTime;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 16])
    }

    fn told(second: u64, occupancy: Option<bool>, noise_level: Option<f64>) -> Observation {
        Observation {
            last_seen: UnixTime::from_secs(second),
            occupancy,
            noise_level,
            wake_word_fp: None,
        }
    }

    #[test]
    fn a_node_is_written_once_in_some_seconds_with_the_last_of_each_value() {
        let mut table = ReadingTable::default();
        let mut written = Vec::new();
        for millis in 0..20_000 {
            table.tell(
                node(1),
                told(
                    millis,
                    (millis == 1).then_some(true),
                    Some(f64::from(u32::try_from(millis).unwrap())),
                ),
                at(millis),
            );
            written.extend(
                table
                    .take(at(millis), at(millis))
                    .into_iter()
                    .map(|(_, observation)| (millis, observation)),
            );
        }
        let times: Vec<u64> = written.iter().map(|(millis, _)| *millis).collect();
        assert_eq!(times, [0, 5_000, 10_000, 15_000]);
        assert_eq!(written[1].1, told(5_000, Some(true), Some(5_000.0)));
    }

    #[test]
    fn who_leaves_is_written_sooner_but_not_at_each_leave() {
        let mut table = ReadingTable::default();
        let mut written = 0;
        for millis in 0..10_000 {
            table.tell(node(1), told(millis, None, None), at(millis));
            table.leave(node(1), at(millis));
            written += table.take(at(millis), at(millis)).len();
        }
        assert_eq!(written, 10);
    }

    #[test]
    fn nodes_that_tell_nothing_more_are_forgotten_and_others_are_not_held_up() {
        let mut table = ReadingTable::default();
        for number in 0..100 {
            table.tell(node(number), told(1, None, None), at(u64::from(number)));
        }
        assert_eq!(table.take(at(49), at(49)).len(), 50);
        assert_eq!(table.take(at(5_049), at(5_049)).len(), 50);
        assert!(table.take(at(11_000), at(11_000)).is_empty());
        assert!(table.nodes.is_empty() && table.due.is_empty());
    }

    #[test]
    fn what_could_not_be_written_waits_with_what_came_meanwhile() {
        let mut table = ReadingTable::default();
        table.tell(node(1), told(1, Some(true), None), at(0));
        let (_, failed) = table.take(at(0), at(0)).remove(0);
        table.tell(node(1), told(2, None, Some(1.0)), at(10));
        table.return_to(node(1), failed, at(20));
        assert!(table.take(at(4_999), at(4_999)).is_empty());
        assert_eq!(table.take(at(5_000), at(5_000)), [(node(1), told(2, Some(true), Some(1.0)))]);
    }
}
