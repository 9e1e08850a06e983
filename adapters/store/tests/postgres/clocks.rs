//! Gateways whose clocks differ, each with a run of its own.

use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::trusted_time::{ClockStep, Reading, TrustedTime};
use handfast_core::{Instant, NodeId, UnixTime};
use handfast_store::conformance::{START, at, record};
use handfast_store::{Beat, PostgresStore, Shared, Store, Timekeeping};

use crate::shared;
use crate::sharing::{open, two};

const HOUR: u64 = 3600;

/// Returns a step of the clock from one time to another, as the operator accepts it.
fn step(from: UnixTime, to: UnixTime) -> ClockStep {
    let reading = |wall| Reading { wall, elapsed: Instant::from_millis(0), synchronised: false };
    TrustedTime::begin(Some(from), START, reading(from)).accept_at(to, reading(to))
}

/// Has somebody ask at a gateway, by that gateway's clock, for ten minutes.
async fn asks(store: &PostgresStore, now: u64) -> NodeId {
    let standing = Standing::Pending { expires: at(now + 600) };
    let entry = Record { asked_at: at(now), ..record(standing) };
    let id = entry.node_id;
    store.insert(entry, "{}".to_owned(), at(now)).await.unwrap();
    id
}

/// Returns the end of a request; `None` if it has ended.
async fn end(store: &PostgresStore, id: NodeId) -> Option<UnixTime> {
    let stored = store.load(id).await.unwrap()?;
    let Standing::Pending { expires } = stored.record.standing else {
        panic!("{:?}", stored.record.standing)
    };
    Some(expires)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_one_gateways_clock_moves_what_that_gateway_made_alone() {
    let ([north, south], _) = two();
    assert_eq!(north.begin_run().await.unwrap().number, 1);
    let early = asks(&north, 0).await;
    assert_eq!(south.begin_run().await.unwrap().number, 2);
    // The other's run is the latest one, and is none of this gateway's.
    let (late, other) = (asks(&north, 0).await, asks(&south, HOUR).await);

    let moved = north.take_over(step(START, at(2 * HOUR))).await.unwrap();
    assert_eq!(moved.moved, 2);
    for id in [early, late] {
        assert_eq!(end(&south, id).await, Some(at(2 * HOUR + 600)));
    }
    assert_eq!(end(&north, other).await, Some(at(HOUR + 600)));
    let moved = south.take_over(step(at(HOUR), at(HOUR + 60))).await.unwrap();
    assert_eq!(moved.moved, 1);
    assert_eq!(end(&north, other).await, Some(at(HOUR + 660)));
    assert_eq!(end(&north, early).await, Some(at(2 * HOUR + 600)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_stays_in_its_run_when_its_connections_are_lost() {
    let ([north, south], name) = two();
    north.begin_run().await.unwrap();
    south.begin_run().await.unwrap();
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'handfast'"
    );
    shared().sql("postgres", &sql);
    for _ in 0..2 {
        asks(&north, 0).await;
        asks(&south, 0).await;
    }
    let runs = shared().sql(&name, "SELECT run FROM handfast.node ORDER BY seq");
    assert_eq!(runs, "1\n2\n1\n2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_the_time_back_ends_nothing_that_a_present_gateway_makes() {
    let ([north, south], name) = two();
    // An earlier process of north's, and north now; both an hour ahead of what south's operator says.
    north.begin_run().await.unwrap();
    let forgotten = asks(&north, HOUR).await;
    drop(north);
    let north = open(&name, "north");
    north.begin_run().await.unwrap();
    south.begin_run().await.unwrap();
    let present = asks(&north, HOUR).await;
    for gateway in [&north, &south] {
        gateway.beat(Beat::default()).await.unwrap();
    }
    let back = step(at(400 * 24 * HOUR), START);
    assert_eq!(south.take_over(back).await.unwrap().ended, 1);
    assert_eq!(end(&south, forgotten).await, None);
    assert_eq!(end(&south, present).await, Some(at(HOUR + 600)));

    // Once it is gone, what it made is of an earlier run like any other.
    shared().sql(&name, "UPDATE handfast.gateway SET lease_until = now() WHERE name = 'north'");
    assert_eq!(south.take_over(back).await.unwrap().ended, 1);
    assert_eq!(end(&south, present).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_begins_no_earlier_than_the_others_have_come() {
    let ([north, south], name) = two();
    north.begin_run().await.unwrap();
    north.raise_mark(START).await.unwrap();
    north.beat(Beat::default()).await.unwrap();
    asks(&north, 40).await;
    south.begin_run().await.unwrap();
    // What its own last run made counts, although another gateway's run came after it.
    drop(north);
    let run = open(&name, "north").begin_run().await.unwrap();
    assert!(run.mark.is_some_and(|mark| mark >= at(40)), "{run:?}");
    // And so does the mark of a gateway whose clock is an hour ahead.
    south.raise_mark(at(HOUR)).await.unwrap();
    let run = open(&name, "west").begin_run().await.unwrap();
    assert!(run.mark.is_some_and(|mark| mark >= at(HOUR)), "{run:?}");
}
