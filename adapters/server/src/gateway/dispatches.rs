//! Dispatches outside the registry: how far each has come, and who waits for news of one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handfast_core::UnixTime;
use handfast_core::wire::native::link::DispatchId;
use tokio::sync::{Notify, broadcast};

/// Number of changes that a slow waiter may be behind; then it reads the registry again.
const BEHIND: usize = 256;
/// Maximum number of dispatches whose progress is kept. It is shown to people and decides nothing.
const MOST_PROGRESS: usize = 4096;

/// How far a dispatch has come, as its node told last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The share that is done, in percent.
    pub percent: Option<u8>,
    /// A sentence for people.
    pub note: Option<String>,
}

/// The state of dispatches that no restart has to keep.
#[derive(Debug)]
pub(crate) struct DispatchNews {
    changed: broadcast::Sender<DispatchId>,
    progress: Mutex<HashMap<DispatchId, Progress>>,
    watch: Arc<DeadlineWatch>,
}

/// The sleep of the task that ends dispatches by time.
#[derive(Debug)]
pub(crate) struct DeadlineWatch {
    /// The deadline, in seconds, until which the task sleeps; 0 before its first sleep, and while
    /// it looks for the next one.
    until: AtomicU64,
    earlier: Notify,
}

impl DeadlineWatch {
    /// Wakes the task if this deadline comes before the one it sleeps for. Called once the dispatch
    /// is in the registry.
    pub(crate) fn queued(&self, deadline: UnixTime) {
        let until = self.until.load(Ordering::SeqCst);
        if until == LOOKING || deadline.as_secs() < until {
            self.earlier.notify_one();
        }
    }

    /// Notes that the task looks for the next deadline. One that is queued from now on wakes it: it
    /// may come too late to be found.
    pub(crate) fn looks(&self) {
        self.until.store(LOOKING, Ordering::SeqCst);
    }

    /// Sleeps for this time, or until a deadline is queued that comes before `next`, the earliest
    /// one that was found.
    pub(crate) async fn sleep(&self, next: Option<UnixTime>, sleep: Duration) {
        let until = next.map_or(u64::MAX, |next| next.as_secs().max(1));
        self.until.store(until, Ordering::SeqCst);
        // At the end of the sleep the task looks again.
        let _ = tokio::time::timeout(sleep, self.earlier.notified()).await;
    }
}

/// The value of [`DeadlineWatch`] while the task does not sleep.
const LOOKING: u64 = 0;

impl Default for DispatchNews {
    fn default() -> Self {
        Self {
            changed: broadcast::Sender::new(BEHIND),
            progress: Mutex::default(),
            watch: Arc::new(DeadlineWatch {
                until: AtomicU64::new(LOOKING),
                earlier: Notify::new(),
            }),
        }
    }
}

impl DispatchNews {
    /// Returns the sleep of the task that ends dispatches by time.
    pub(crate) const fn watch(&self) -> &Arc<DeadlineWatch> {
        &self.watch
    }

    /// Tells all waiters that a dispatch has changed.
    pub(crate) fn tell(&self, id: DispatchId) {
        // Without a waiter there is nobody to tell.
        let _ = self.changed.send(id);
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<DispatchId> {
        self.changed.subscribe()
    }

    /// Keeps the progress of a dispatch that is under way, and tells all waiters.
    pub(crate) fn progressed(&self, id: DispatchId, progress: Progress) {
        let mut kept = self.progress();
        if kept.len() < MOST_PROGRESS || kept.contains_key(&id) {
            kept.insert(id, progress);
        }
        // The lock is given up before others are woken.
        drop(kept);
        self.tell(id);
    }

    pub(crate) fn progress_of(&self, id: DispatchId) -> Option<Progress> {
        self.progress().get(&id).cloned()
    }

    /// Forgets the progress of a dispatch that is over.
    pub(crate) fn is_over(&self, id: DispatchId) {
        self.progress().remove(&id);
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<DispatchId, Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_wakes_the_task_that_ends_dispatches_only_if_it_comes_before_the_next_one() {
        let watch = Arc::clone(DispatchNews::default().watch());
        watch.looks();
        let sleeping = tokio::spawn({
            let watch = Arc::clone(&watch);
            async move { watch.sleep(Some(at(100)), HOUR).await }
        });
        tokio::task::yield_now().await;
        watch.queued(at(100));
        tokio::task::yield_now().await;
        assert!(!sleeping.is_finished());
        let begun = tokio::time::Instant::now();
        watch.queued(at(99));
        sleeping.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // Without any deadline each one is earlier.
        watch.sleep(None, HOUR).await;
        watch.queued(at(u64::MAX - 1));
        let begun = tokio::time::Instant::now();
        watch.sleep(None, HOUR).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_queued_while_the_next_one_is_looked_for_is_not_slept_over() {
        let watch = Arc::clone(DispatchNews::default().watch());
        watch.looks();
        watch.queued(at(50));
        let begun = tokio::time::Instant::now();
        watch.sleep(Some(at(100)), HOUR).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
