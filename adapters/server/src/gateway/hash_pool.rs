//! Bounded pool of threads that hash tokens. On an async thread, 15 ms for each would stall every
//! connection.
//!
//! The [`schedule`] chooses the next token. A failure of a peer that claims to be a paired node is
//! charged to the node's id and the peer's source, ten times a minute; any other failure is charged
//! to the source. So strangers, however many, delay neither each other nor known nodes.

mod schedule;

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use handfast_core::flow::registration::gateway::Claim;
use handfast_core::grant::token::{HashJob, Hashed};
use handfast_core::limits::{FAILURES_FOR_ONE_NODE, Limits};
use handfast_core::{Instant, NodeId, Source};
use tokio::sync::oneshot;

use crate::connection::rate_limit;
use crate::connection::rate_limit::Failures;
use schedule::{Claimant, Job, Next, NotTaken, Schedule};

/// A job, and the channel of its result.
#[derive(Debug)]
struct HashOrder {
    job: HashJob,
    answer: oneshot::Sender<Hashed>,
}

impl Job for HashOrder {
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }
}

/// Threads that hash, behind two queues of bounded length. They end when the pool is dropped.
#[derive(Debug)]
pub(crate) struct HashPool {
    shared: Arc<PoolShared>,
    /// Failures of peers that claim to be a paired node.
    known: Failures<Claimant>,
    /// Failures of all others.
    others: Failures,
}

#[derive(Debug)]
struct PoolShared {
    state: Mutex<PoolState>,
    work: Condvar,
}

#[derive(Debug)]
struct PoolState {
    schedule: Schedule<HashOrder>,
    ended: bool,
}

/// One attempt to authenticate. It counts as a failure unless it is given back.
#[derive(Debug)]
#[must_use = "an attempt that is dropped counts as a failure"]
pub(crate) enum AuthAttempt {
    Known(rate_limit::Permit<Claimant>),
    Other(rate_limit::Permit),
}

impl AuthAttempt {
    /// Gives the attempt back, because it was no failure.
    pub(crate) fn give_back(self, now: Instant) {
        match self {
            Self::Known(permit) => permit.give_back(now),
            Self::Other(permit) => permit.give_back(now),
        }
    }
}

impl HashPool {
    /// Starts one thread less than there are cores, but at least one, so that hashing leaves a core
    /// to others.
    ///
    /// # Errors
    /// The system's error if a thread cannot be started.
    pub(crate) fn start(limits: &Limits) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let most = usize::try_from(limits.hash_queue).unwrap_or(usize::MAX);
        let state = Mutex::new(PoolState { schedule: Schedule::new(most), ended: false });
        let pool = Self {
            shared: Arc::new(PoolShared { state, work: Condvar::new() }),
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

    /// Hashes the token of a peer. `None` if its source has failed too often, or if too many jobs
    /// wait already. If the caller stops waiting, the job is skipped and the attempt stays spent.
    pub(crate) async fn hash(
        &self,
        job: HashJob,
        claim: Claim,
        source: Source,
        now: Instant,
    ) -> Option<(Hashed, AuthAttempt)> {
        let (answer, result) = oneshot::channel();
        let attempt = self.queue(HashOrder { job, answer }, claim, source, now)?;
        self.shared.work.notify_one();
        match result.await {
            Ok(hashed) => Some((hashed, attempt)),
            // The job gave way to a peer with fewer jobs: that is no failure of its own.
            Err(_) => {
                attempt.give_back(now);
                None
            }
        }
    }

    /// Charges a failure to a source, where nothing had to be hashed.
    pub(crate) fn charge(&self, source: Source, now: Instant) {
        self.others.charge(source, now);
    }

    fn queue(
        &self,
        order: HashOrder,
        claim: Claim,
        source: Source,
        now: Instant,
    ) -> Option<AuthAttempt> {
        let order = match claim {
            Claim::Paired => match self.queue_known(order, source, now) {
                Ok(attempt) => return attempt,
                // A second job of the same claimant, or one without attempts left, competes as any
                // other.
                Err(order) => order,
            },
            Claim::Other => order,
        };
        let permit = self.others.permit(source, now)?;
        match self.shared.lock().schedule.offer_other(source, order) {
            true => Some(AuthAttempt::Other(permit)),
            false => {
                // The queue is full of other sources' jobs: that is no failure of this source.
                permit.give_back(now);
                None
            }
        }
    }

    /// Queues a job of a peer that claims to be a paired node.
    ///
    /// # Errors
    /// The order, if it belongs in the queue of all others.
    fn queue_known(
        &self,
        order: HashOrder,
        source: Source,
        now: Instant,
    ) -> Result<Option<AuthAttempt>, HashOrder> {
        let claimant: (NodeId, Source) = (order.job.node_id, source);
        let Some(permit) = self.known.permit(claimant, now) else { return Err(order) };
        let taken = self.shared.lock().schedule.offer_known(claimant, order);
        match taken {
            Ok(()) => Ok(Some(AuthAttempt::Known(permit))),
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

impl PoolShared {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().expect("no thread panics while it holds the queues")
    }

    /// Waits for a job; `None` once the pool is dropped.
    fn next(&self) -> Option<Next<HashOrder>> {
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

fn work(shared: &PoolShared) {
    while let Some(Next { job: HashOrder { job, answer }, claimant }) = shared.next() {
        // The connection may not wait for its answer any more.
        let _ = answer.send(job.run());
        if let Some(claimant) = claimant {
            shared.lock().schedule.done(claimant);
            // A job that waited for this claimant can run now, on any thread.
            shared.work.notify_one();
        }
    }
}
