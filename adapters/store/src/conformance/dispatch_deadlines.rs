//! The deadlines of dispatches, also when the clock is set.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::link::dispatch::{DispatchEvent, DispatchState};
use handfast_core::registry::trusted_time::{ClockStep, Reading, TrustedTime};
use handfast_core::{Instant, Span, UnixTime};

use super::dispatches::{DAY, MINUTE, SENT, ids, node, queued, state, step, task};
use super::{START, at};
use crate::{Store, StoredDispatch};

pub async fn what_is_over_by_time_is_found_the_earliest_first(store: Arc<dyn Store>) {
    assert_eq!(store.next_dispatch_deadline().await.unwrap(), None);
    let (id, other) = (node(&*store).await, node(&*store).await);
    let long = store.enqueue(task(id), Span::from_secs(600), START).await.unwrap().unwrap();
    let (long, short) = (long.into_dispatch(), queued(&*store, other).await);
    let lost = queued(&*store, id).await;
    for event in [SENT, DispatchEvent::LinkLost] {
        step(&*store, &lost, event).await;
    }
    assert_eq!(store.next_dispatch_deadline().await.unwrap(), Some(short.life.deadline));
    let due = |now| {
        let store = Arc::clone(&store);
        async move { ids(&store.dispatches_due(now, 9).await.unwrap()) }
    };
    assert_eq!(due(START).await, []);
    assert_eq!(due(short.life.deadline).await, [short.task.id]);
    let both = [short.task.id, long.task.id];
    assert_eq!(due(at(DAY)).await, both, "what the node is asked for has no end by time");
    assert_eq!(ids(&store.dispatches_due(at(DAY), 1).await.unwrap()), both[..1]);
    step(&*store, &short, DispatchEvent::Tick { now: at(DAY) }).await;
    assert_eq!(state(&*store, &short).await, DispatchState::Expired);
    assert_eq!(due(at(DAY)).await, both[1..]);
}

/// Returns a step of the clock from one time to another, as the operator accepts it.
fn clock(from: UnixTime, to: UnixTime) -> ClockStep {
    let reading = |wall| Reading { wall, elapsed: Instant::from_millis(0), synchronised: false };
    TrustedTime::begin(Some(from), START, reading(from)).accept_at(to, reading(to))
}

pub async fn a_deadline_moves_with_the_run_that_set_it(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let id = node(&*store).await;
    let (earlier, again) = (queued(&*store, id).await, queued(&*store, id).await);
    step(&*store, &again, DispatchEvent::Tick { now: at(100) }).await;
    store.begin_run().await.unwrap();
    let own = queued(&*store, id).await;
    let again = store.retry_dispatch(id, again.task.id, MINUTE, at(100)).await.unwrap().unwrap();
    store.take_over(clock(START, at(DAY))).await.unwrap();
    let end = |of: &StoredDispatch| {
        let (store, of) = (Arc::clone(&store), of.task.clone());
        async move { store.dispatch(of.node_id, of.id).await.unwrap().unwrap().life.deadline }
    };
    let moved = |end: UnixTime| end.after(Span::from_secs(DAY));
    assert_eq!(end(&earlier).await, earlier.life.deadline);
    assert_eq!(end(&own).await, moved(own.life.deadline), "the time that is left is as it was");
    assert_eq!(end(&again).await, moved(again.life.deadline), "this run has set its end");
}

pub async fn setting_the_time_back_ends_what_was_queued_under_the_false_time(
    store: Arc<dyn Store>,
) {
    store.begin_run().await.unwrap();
    let id = node(&*store).await;
    let good = queued(&*store, id).await;
    let wrong = store.enqueue(task(id), MINUTE, at(20 * DAY)).await.unwrap().unwrap();
    let wrong = wrong.into_dispatch();
    store.begin_run().await.unwrap();
    let taken = store.take_over(clock(at(20 * DAY), at(10))).await.unwrap();
    assert!(taken.ended >= 1, "{taken:?}");
    let due = ids(&store.dispatches_due(at(80), 9).await.unwrap());
    assert_eq!(due, [good.task.id, wrong.task.id], "its own deadline, or the new time");
}
