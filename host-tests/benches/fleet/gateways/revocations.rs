//! The time from a revocation at one gateway to the end of the link at another, with hints and
//! without.

use std::time::{Duration, Instant};

use super::database::Database;
use super::{Link, Trio};
use crate::{SAMPLES, print};

/// Number of revocations without hints.
const WITHOUT_HINTS: u32 = 30;

pub(super) async fn measure(trio: &mut Trio, database: &Database) {
    let samples = SAMPLES.min(u32::try_from(trio.links.len()).unwrap() / 4);
    let (mut durable, mut cut) = (Vec::new(), Vec::new());
    for number in 0..samples {
        // Neither in step with the beats nor with what the last one has left behind.
        tokio::time::sleep(Duration::from_millis(5 + u64::from(number * 7 % 20))).await;
        let times = revoke(trio).await;
        durable.push(times.durable);
        cut.push(times.cut);
    }
    print("from a revocation until it is durable", durable);
    print("from a revocation to the end of the link at another gateway", cut);
    let mut cut = Vec::new();
    for number in 0..WITHOUT_HINTS.min(samples) {
        // Gateways read each second, so the moments are spread over one.
        tokio::time::sleep(Duration::from_millis(100 + u64::from(number * 370 % 1000))).await;
        let stopped = database.without_hints();
        cut.push(revoke(trio).await.cut);
        drop(stopped);
    }
    print("the same where hints are lost", cut);
}

struct Times {
    durable: Duration,
    cut: Duration,
}

/// Revokes a linked node at a gateway that has not its link.
async fn revoke(trio: &mut Trio) -> Times {
    let Link { number, at, wire, .. } = trio.links.pop().expect("a node is linked");
    let cut = tokio::spawn(wire.until_cut());
    let count = trio.servers.len();
    let server = &mut trio.servers[(at + 1) % count];
    tokio::time::sleep(Duration::from_millis(2)).await;
    let begun = Instant::now();
    server.tell(&format!("revoke {number}"));
    server.answer().await;
    let durable = begun.elapsed();
    Times { durable, cut: cut.await.unwrap().duration_since(begun) }
}
