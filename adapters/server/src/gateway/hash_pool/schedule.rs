//! The order in which tokens are hashed: a pure, bounded structure, which the threads of the pool
//! carry out.
//!
//! ```text
//!  id of a paired node ──▶ known:  ids take turns, and within an id its sources ──┐ 3 : 1 while
//!  everything else ──────▶ others: sources take turns ────────────────────────────┘ both hold work
//! ```
//!
//! In the first queue, one job waits for each id and source. A full queue makes room for a key with
//! fewer jobs than another, by dropping the newest job of the key with the most. So neither many
//! sources that know one id nor many jobs of one source keep others out.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use handfast_core::{NodeId, Source};

/// Number of jobs of the first queue that are served before one of the second, while both hold
/// work.
const KNOWN_IN_A_ROW: u8 = 3;

/// A job that waits to be hashed.
pub(crate) trait Job {
    /// Returns `true` if nothing waits for its result any more, so that the work can be saved.
    fn is_gone(&self) -> bool;
}

/// The claimed node of a job in the first queue, and the source of the claim.
pub(crate) type Claimant = (NodeId, Source);

/// A job that is in progress from now on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next<J> {
    pub(crate) job: J,
    /// Claimant of a job from the first queue, for [`Schedule::done`].
    pub(crate) claimant: Option<Claimant>,
}

/// Reasons not to take a job into the first queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaken<J> {
    /// A job of the same id and source waits already; this one belongs in the second queue.
    Waits(J),
    /// The queue is full, and no id in it has at least two jobs more than this one's.
    Full,
}

/// The two queues, and the claimants in progress.
#[derive(Debug)]
pub(crate) struct Schedule<J> {
    known: Turns<NodeId, (Source, J)>,
    others: Turns<Source, J>,
    /// Claimants whose jobs are in progress: at most as many as there are threads.
    under_way: Vec<Claimant>,
    /// Number of jobs of the first queue served since the last of the second.
    in_a_row: u8,
    most: usize,
}

impl<J: Job> Schedule<J> {
    /// Creates two queues of at most `most` jobs each; at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            known: Turns::default(),
            others: Turns::default(),
            under_way: Vec::new(),
            in_a_row: 0,
            most: most.max(1),
        }
    }

    /// Puts a job into the first queue. It replaces an abandoned one of the same claimant.
    ///
    /// # Errors
    /// [`NotTaken`], with the job where it belongs in the second queue.
    pub(crate) fn offer_known(
        &mut self,
        (node_id, source): Claimant,
        job: J,
    ) -> Result<(), NotTaken<J>> {
        let queue = self.known.queues.get_mut(&node_id);
        if let Some((_, waits)) =
            queue.and_then(|queue| queue.iter_mut().find(|(from, _)| *from == source))
        {
            if !waits.is_gone() {
                return Err(NotTaken::Waits(job));
            }
            // The abandoned job's place passes to the new one of the same claimant.
            *waits = job;
            return Ok(());
        }
        match self.known.make_room(&node_id, self.most, |(_, job)| job.is_gone()) {
            true => {
                self.known.push(node_id, (source, job));
                Ok(())
            }
            false => Err(NotTaken::Full),
        }
    }

    /// Puts a job into the second queue. Returns `false` if the queue is full and no source in it
    /// has at least two jobs more than this one.
    pub(crate) fn offer_other(&mut self, source: Source, job: J) -> bool {
        let room = self.others.make_room(&source, self.most, J::is_gone);
        if room {
            self.others.push(source, job);
        }
        room
    }

    /// Takes the next job, if one can run now. Jobs of one claimant run one after the other.
    pub(crate) fn next(&mut self) -> Option<Next<J>> {
        // The ratio holds only while both queues have work.
        if self.others.len == 0 {
            self.in_a_row = 0;
        }
        // Paired nodes go first, but strangers get a turn after every few of them.
        if self.in_a_row < KNOWN_IN_A_ROW
            && let Some(next) = self.next_known()
        {
            self.in_a_row += 1;
            return Some(next);
        }
        if let Some(job) = self.others.take(J::is_gone, |_, _| true) {
            self.in_a_row = 0;
            return Some(Next { job, claimant: None });
        }
        self.next_known()
    }

    fn next_known(&mut self) -> Option<Next<J>> {
        let Self { known, under_way, .. } = self;
        let mut of = None;
        let (source, job) = known.take(
            |(_, job)| job.is_gone(),
            |node_id, (source, _)| {
                // One claimant occupies one thread at most.
                let free = !under_way.contains(&(*node_id, *source));
                if free {
                    of = Some(*node_id);
                }
                free
            },
        )?;
        let claimant = of.map(|node_id| (node_id, source));
        under_way.extend(claimant);
        Some(Next { job, claimant })
    }

    /// Marks a job of the first queue as done.
    pub(crate) fn done(&mut self, claimant: Claimant) {
        if let Some(place) = self.under_way.iter().position(|other| *other == claimant) {
            self.under_way.swap_remove(place);
        }
    }
}

/// A queue in which keys take turns.
#[derive(Debug)]
struct Turns<K, J> {
    /// Keys that have jobs, each once; the first is next.
    order: VecDeque<K>,
    queues: HashMap<K, VecDeque<J>>,
    len: usize,
}

impl<K, J> Default for Turns<K, J> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queues: HashMap::new(), len: 0 }
    }
}

impl<K: Copy + Eq + Hash, J> Turns<K, J> {
    fn push(&mut self, key: K, job: J) {
        let queue = self.queues.entry(key).or_default();
        if queue.is_empty() {
            self.order.push_back(key);
        }
        queue.push_back(job);
        self.len += 1;
    }

    /// Takes the first free job of the key whose turn it is. Abandoned jobs are dropped on the way.
    fn take(
        &mut self,
        is_gone: impl Fn(&J) -> bool,
        mut is_free: impl FnMut(&K, &J) -> bool,
    ) -> Option<J> {
        for _ in 0..self.order.len() {
            let key = self.order.pop_front()?;
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let before = queue.len();
            queue.retain(|job| !is_gone(job));
            let taken = queue
                .iter()
                .position(|job| is_free(&key, job))
                .and_then(|place| queue.remove(place));
            self.len -= before - queue.len();
            match queue.is_empty() {
                true => drop(self.queues.remove(&key)),
                // The key goes to the end of the order, so that keys take turns.
                false => self.order.push_back(key),
            }
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// Makes room for one more job of this key. In a full queue, the key with the most jobs loses
    /// its newest, if it has at least two more than this key. Returns `false` if there is no room.
    fn make_room(&mut self, key: &K, most: usize, is_gone: impl Fn(&J) -> bool) -> bool {
        if self.len < most {
            return true;
        }
        // Abandoned jobs go before any other loses its place.
        self.sweep(is_gone);
        if self.len < most {
            return true;
        }
        let own = self.queues.get(key).map_or(0, VecDeque::len);
        let Some(queue) = self.queues.values_mut().max_by_key(|queue| queue.len()) else {
            return false;
        };
        // With a difference of one, the two keys would only swap their shares.
        if queue.len() < own + 2 {
            return false;
        }
        drop(queue.pop_back());
        self.len -= 1;
        true
    }

    fn sweep(&mut self, is_gone: impl Fn(&J) -> bool) {
        self.queues.retain(|_, queue| {
            queue.retain(|job| !is_gone(job));
            !queue.is_empty()
        });
        let queues = &self.queues;
        self.order.retain(|key| queues.contains_key(key));
        self.len = self.queues.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests;
