//! Counts of the last day, one sample a minute, for people who look at the page. They are kept in
//! memory alone: a chart of weeks is what the metrics are for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use handfast_core::UnixTime;

use crate::gateway::Inner;

/// The interval between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// Maximum number of samples: those of a day.
const MOST: usize = 24 * 60;

/// The counts of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Time of the sample.
    pub(crate) at: UnixTime,
    /// Open links.
    pub(crate) linked: u32,
    /// Connections that have not authenticated.
    pub(crate) waiting: u32,
    /// Nodes that wait for the operator.
    pub(crate) pending: u32,
}

/// The samples of the last day.
#[derive(Debug, Default)]
pub(crate) struct DayCounts(Mutex<VecDeque<Sample>>);

impl DayCounts {
    fn add(&self, sample: Sample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= MOST {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Returns the samples, the oldest first.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Starts the task that takes the samples, as long as the gateway lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    let mut minutes = tokio::time::interval(SAMPLE_EVERY);
    // A pause of the machine is a gap, and no row of samples of one moment.
    minutes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        minutes.tick().await;
        let Some(inner) = gateway.upgrade() else { return };
        let at = inner.clock.unix();
        // A store that cannot be read is told elsewhere; its minute is missing here.
        let Ok(nodes) = inner.store.counts(at).await else { continue };
        inner.day_counts.add(Sample {
            at,
            linked: number(inner.hub.count() as u64),
            waiting: number(inner.seats.taken() as u64),
            pending: number(nodes.pending),
        });
    }
}

fn number(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept_and_the_oldest_minute_gives_way() {
        let counts = DayCounts::default();
        for minute in 0..MOST as u64 + 5 {
            let at = UnixTime::from_secs(60 * minute);
            counts.add(Sample { at, linked: 1, waiting: 0, pending: 0 });
        }
        let samples = counts.samples();
        assert_eq!(samples.len(), MOST);
        assert_eq!(samples.first().map(|first| first.at), Some(UnixTime::from_secs(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_gateway_takes_a_sample_each_minute() {
        let store = handfast_store::MemoryStore::default();
        let gateway = crate::Gateway::builder(store).start().await.unwrap();
        tokio::time::sleep(Duration::from_secs(150)).await;
        assert_eq!(gateway.inner.day_counts.samples().len(), 3);
    }
}
