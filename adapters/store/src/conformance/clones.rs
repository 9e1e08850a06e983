//! Clone counters: whether the state of a node was copied.
#![allow(missing_docs, reason = "the names say it")]

use std::net::IpAddr;
use std::sync::Arc;

use handfast_core::NodeId;
use handfast_core::flow::identity::clone_counter::{CloneCondition, LinkVerdict, Shown};
use tokio::task::JoinSet;

use super::{START, at, keyed};
use crate::{LinkedFrom, Store, StoredCounter};

const HOUR: u64 = 3600;

async fn node(store: &dyn Store) -> NodeId {
    let node = keyed();
    let id = node.node_id;
    store.insert(node, "{}".to_owned(), START).await.unwrap();
    id
}

/// Returns a link from the last part of an address, this many seconds after [`START`].
fn from(number: u8, seconds: u64) -> LinkedFrom {
    LinkedFrom { address: IpAddr::from([192, 0, 2, number]), at: at(seconds) }
}

async fn links(store: &dyn Store, id: NodeId, shown: Shown, link: LinkedFrom) -> LinkVerdict {
    store.linked(id, shown, link).await.unwrap()
}

async fn counter(store: &dyn Store, id: NodeId) -> StoredCounter {
    store.clone_counter(id).await.unwrap().expect("a counter")
}

/// Links a node for the first time, and confirms the value that it is offered.
async fn marked(store: &dyn Store, id: NodeId, link: LinkedFrom) -> u64 {
    let offer = links(store, id, Shown::Nothing, link).await.offer.expect("a first value");
    store.mark_stored(id, offer, link.at).await.unwrap();
    offer
}

pub async fn a_counter_reads_back_and_is_the_nodes_own(store: Arc<dyn Store>) {
    let (id, other) = (node(&*store).await, node(&*store).await);
    assert_eq!(store.clone_counter(id).await.unwrap(), None);
    let verdict = links(&*store, id, Shown::Nothing, from(1, 0)).await;
    assert_eq!(verdict.offer, Some(1));
    let stored = counter(&*store, id).await;
    assert_eq!((stored.counter.offered, stored.counter.confirmed), (Some(1), None));
    assert_eq!((stored.linked, stored.alarmed), (Some(from(1, 0)), None));
    assert_eq!(store.clone_counter(other).await.unwrap(), None);
    store.mark_stored(id, 1, at(1)).await.unwrap();
    let stored = counter(&*store, id).await;
    assert_eq!((stored.counter.offered, stored.counter.confirmed), (None, Some(1)));
    // Of a node that is not there, nothing is written.
    let nobody = keyed().node_id;
    links(&*store, nobody, Shown::Nothing, from(1, 0)).await;
    store.mark_stored(nobody, 1, START).await.unwrap();
    assert_eq!(store.clone_counter(nobody).await.unwrap(), None);
    assert!(!store.release(nobody, START).await.unwrap());
}

pub async fn a_link_is_written_when_it_tells_something_new(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let value = marked(&*store, id, from(1, 0)).await;
    let seen = |link| {
        let store = Arc::clone(&store);
        async move {
            links(&*store, id, Shown::Value(value), link).await;
            counter(&*store, id).await.linked
        }
    };
    assert_eq!(seen(from(1, 60)).await, Some(from(1, 0)), "the same address within the hour");
    assert_eq!(seen(from(2, 61)).await, Some(from(2, 61)), "another address");
    assert_eq!(seen(from(2, 61 + HOUR)).await, Some(from(2, 61 + HOUR)), "an hour later");
}

pub async fn a_copied_node_is_quarantined_with_both_addresses_until_it_is_released(
    store: Arc<dyn Store>,
) {
    let (id, other) = (node(&*store).await, node(&*store).await);
    marked(&*store, other, from(9, 0)).await;
    let old = marked(&*store, id, from(1, 0)).await;
    let newer = links(&*store, id, Shown::Value(old), from(1, HOUR)).await.offer.unwrap();
    store.mark_stored(id, newer, at(HOUR)).await.unwrap();
    let alarm = links(&*store, id, Shown::Value(old), from(7, 2 * HOUR)).await;
    assert!(alarm.alarm && alarm.quarantined && alarm.offer.is_none(), "{alarm:?}");
    let again = links(&*store, id, Shown::Value(newer), from(1, 3 * HOUR)).await;
    assert!(again.quarantined && !again.alarm, "{again:?}");
    let stored = counter(&*store, id).await;
    assert_eq!(stored.counter.condition, CloneCondition::Quarantined);
    assert_eq!((stored.linked, stored.alarmed), (Some(from(1, HOUR)), Some(from(7, 2 * HOUR))));
    assert_eq!(store.quarantined(None, 9).await.unwrap(), [(id, stored)]);
    assert_eq!(store.quarantined(Some(id), 9).await.unwrap(), []);

    // Neither a confirmation nor pairing anew with the same key ends it.
    store.mark_stored(id, newer, at(3 * HOUR)).await.unwrap();
    store.paired_anew(id, at(3 * HOUR)).await.unwrap();
    assert!(links(&*store, id, Shown::Nothing, from(1, 3 * HOUR)).await.quarantined);
    assert!(store.release(id, at(4 * HOUR)).await.unwrap());
    assert!(!store.release(id, at(4 * HOUR)).await.unwrap(), "it is in none any more");
    assert!(store.quarantined(None, 9).await.unwrap().is_empty());
    let released = links(&*store, id, Shown::Value(old), from(1, 4 * HOUR)).await;
    assert!(!released.quarantined && released.offer > Some(newer), "{released:?}");
    store.mark_stored(id, released.offer.unwrap(), at(4 * HOUR)).await.unwrap();
    let alarm = links(&*store, id, Shown::Value(newer), from(7, 5 * HOUR)).await;
    assert!(alarm.alarm, "the other machine alarms again: {alarm:?}");
}

pub async fn a_node_that_is_paired_anew_starts_afresh(store: Arc<dyn Store>) {
    let id = node(&*store).await;
    let old = marked(&*store, id, from(1, 0)).await;
    store.paired_anew(id, at(HOUR)).await.unwrap();
    let anew = links(&*store, id, Shown::Nothing, from(1, HOUR)).await;
    assert!(!anew.alarm && anew.offer > Some(old), "{anew:?}");
    let bare = node(&*store).await;
    store.paired_anew(bare, at(HOUR)).await.unwrap();
    assert_eq!(links(&*store, bare, Shown::Nothing, from(1, HOUR)).await.offer, Some(1));
}

pub async fn of_links_at_once_all_get_the_same_value_and_the_node_may_confirm_any(
    store: Arc<dyn Store>,
) {
    let id = node(&*store).await;
    let mut all = JoinSet::new();
    for number in 0..32 {
        let store = Arc::clone(&store);
        all.spawn(async move { links(&*store, id, Shown::Nothing, from(number, 0)).await });
    }
    let verdicts = all.join_all().await;
    assert!(verdicts.iter().all(|it| it.offer == Some(1) && !it.alarm), "{verdicts:?}");
    store.mark_stored(id, 7, START).await.unwrap();
    assert_eq!(counter(&*store, id).await.counter.confirmed, None, "it was never offered");
}
