//! The bounded pool in which tokens are hashed, off the async threads: 15 ms each would stall every
//! connection there.
//!
//! Which token is next, its [`schedule`] says. What fails is charged: to the id and source of
//! whoever says to be a paired node, ten times a minute; and for everything else to the source. So
//! strangers, however many, hold up neither each other nor the nodes that are known.

mod schedule;

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use handfast_core::flow::registration::gateway::Claim;
use handfast_core::grant::token::{HashJob, Hashed};
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::{FAILURES_FOR_ONE_NODE, Limits};
use handfast_core::time::Instant;
use tokio::sync::oneshot;

use crate::failures::{self, Failures};
use schedule::{Claimant, Job, Next, NotTaken, Schedule};

/// A job and where its answer goes.
#[derive(Debug)]
struct Order {
    job: HashJob,
    answer: oneshot::Sender<Hashed>,
}

impl Job for Order {
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }
}

/// Threads that hash, behind two queues of fixed length. They end when the pool is dropped.
#[derive(Debug)]
pub(crate) struct HashPool {
    shared: Arc<Shared>,
    /// Failures of whoever says to be a paired node.
    known: Failures<Claimant>,
    /// Failures of everybody else.
    others: Failures,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug)]
struct State {
    schedule: Schedule<Order>,
    ended: bool,
}

/// One attempt to authenticate. It counts as a failure unless it is given back.
#[derive(Debug)]
#[must_use = "an attempt that is dropped counts as a failure"]
pub(crate) enum Attempt {
    Known(failures::Permit<Claimant>),
    Other(failures::Permit),
}

impl Attempt {
    /// It was no failure.
    pub(crate) fn give_back(self, now: Instant) {
        match self {
            Self::Known(permit) => permit.give_back(now),
            Self::Other(permit) => permit.give_back(now),
        }
    }
}

impl HashPool {
    /// As many threads as there are cores less one, at least one, so that hashing never takes the
    /// whole machine.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn start(limits: &Limits) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let most = usize::try_from(limits.hash_queue).unwrap_or(usize::MAX);
        let state = Mutex::new(State { schedule: Schedule::new(most), ended: false });
        let pool = Self {
            shared: Arc::new(Shared { state, work: Condvar::new() }),
            known: Failures::new(FAILURES_FOR_ONE_NODE),
            others: Failures::new(limits.failures_per_minute),
        };
        for n in 0..cores.saturating_sub(1).max(1) {
            let shared = Arc::clone(&pool.shared);
            std::thread::Builder::new()
                .name(format!("handfast-hash-{n}"))
                .spawn(move || work(&shared))?;
        }
        Ok(pool)
    }

    /// Hashes what whoever is at this source shows. `None` if it failed too often, or too many wait
    /// already. Whoever no longer waits for the answer is not hashed, and the attempt stays spent.
    pub(crate) async fn hash(
        &self,
        job: HashJob,
        claim: Claim,
        source: Source,
        now: Instant,
    ) -> Option<(Hashed, Attempt)> {
        let (answer, result) = oneshot::channel();
        let attempt = self.queue(Order { job, answer }, claim, source, now)?;
        self.shared.work.notify_one();
        match result.await {
            Ok(hashed) => Some((hashed, attempt)),
            // It gave way to whoever has fewer jobs waiting: no failure of its own.
            Err(_) => {
                attempt.give_back(now);
                None
            }
        }
    }

    /// One failure of a source for which nothing had to be hashed.
    pub(crate) fn charge(&self, source: Source, now: Instant) {
        self.others.charge(source, now);
    }

    fn queue(&self, order: Order, claim: Claim, source: Source, now: Instant) -> Option<Attempt> {
        let order = match claim {
            Claim::Paired => match self.queue_known(order, source, now) {
                Ok(attempt) => return attempt,
                Err(order) => order,
            },
            Claim::Other => order,
        };
        let permit = self.others.permit(source, now)?;
        match self.shared.lock().schedule.offer_other(source, order) {
            true => Some(Attempt::Other(permit)),
            false => {
                permit.give_back(now);
                None
            }
        }
    }

    /// The order comes back if it belongs to everything else.
    fn queue_known(
        &self,
        order: Order,
        source: Source,
        now: Instant,
    ) -> Result<Option<Attempt>, Order> {
        let claimant: (NodeId, Source) = (order.job.node_id, source);
        let Some(permit) = self.known.permit(claimant, now) else { return Err(order) };
        let taken = self.shared.lock().schedule.offer_known(claimant, order);
        match taken {
            Ok(()) => Ok(Some(Attempt::Known(permit))),
            Err(NotTaken::Full) => {
                permit.give_back(now);
                Ok(None)
            }
            Err(NotTaken::Waits(order)) => {
                permit.give_back(now);
                Err(order)
            }
        }
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the queues")
    }

    /// Waits for work; none when the pool is dropped.
    fn next(&self) -> Option<Next<Order>> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(next) = state.schedule.next() {
                return Some(next);
            }
            state = self.work.wait(state).expect("no thread panics while it holds the queues");
        }
    }
}

fn work(shared: &Shared) {
    while let Some(Next { job: Order { job, answer }, claimant }) = shared.next() {
        let _ = answer.send(job.run());
        if let Some(claimant) = claimant {
            shared.lock().schedule.done(claimant);
            // What waited for this one may be done now, by any thread.
            shared.work.notify_one();
        }
    }
}
