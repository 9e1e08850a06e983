//! Admission of requests.
#![allow(missing_docs, reason = "the names say it")]

use std::collections::HashSet;
use std::sync::Arc;

use handfast_core::limits::Limits;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::record::{Cause, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::{NodeId, Refusal, Span, UnixTime};
use tokio::task::JoinSet;

use super::{START, all, asking, asking_at, at, entry, load, paired, record};
use crate::{Filter, Store, StoreError, Version};

const LIMITS: Limits = Limits {
    pending_total: 8,
    pending_per_source: 3,
    pending_for: Span::from_secs(100),
    ..Limits::DEFAULT
};

async fn admit(
    store: &dyn Store,
    asking: PendingRequest,
    limits: Limits,
    now: UnixTime,
) -> Result<NodeId, Refusal> {
    store.admit(asking, "{}".to_owned(), limits, now).await.expect("admit")
}

/// Returns an address of the source with this number.
fn source(number: usize) -> String {
    format!("198.51.{}.{}", 100 + number / 250, number % 250)
}

pub async fn a_new_request_is_kept_as_it_was_made(store: Arc<dyn Store>) {
    let asking = asking("lamp", "2001:db8::7", &LIMITS);
    let profile = r#"{"leds": 3, "vendor": "Ü"}"#;
    let id = store.admit(asking.clone(), profile.to_owned(), LIMITS, at(1)).await.unwrap().unwrap();
    assert_eq!(id, asking.record.node_id);
    assert_eq!(load(&*store, id).await, Some((asking.record.clone(), Version(1))));
    let entry = entry(&*store, id).await;
    assert_eq!(
        (entry.record, entry.profile.as_str(), entry.changed_at, entry.observed),
        (asking.record, profile, at(1), None)
    );
}

pub async fn an_identical_request_finds_its_entry_again(store: Arc<dyn Store>) {
    let first = admit(&*store, asking("lamp", "192.0.2.1", &LIMITS), LIMITS, START).await.unwrap();
    let again = admit(&*store, asking_at("lamp", "192.0.2.1", &LIMITS, at(99)), LIMITS, at(99))
        .await
        .unwrap();
    assert_eq!(first, again);
    assert_eq!(all(&*store, Filter::All, at(99)).await, [first]);
}

pub async fn a_different_request_gets_an_entry_of_its_own(store: Arc<dyn Store>) {
    let mut ids = HashSet::new();
    for (name, address) in [
        ("lamp", "192.0.2.1"),
        ("lamp", "192.0.2.2"),
        ("lamb", "192.0.2.1"),
        ("lamp", "2001:db8::1"),
    ] {
        ids.insert(admit(&*store, asking(name, address, &LIMITS), LIMITS, START).await.unwrap());
    }
    assert_eq!(ids.len(), 4);
}

pub async fn identical_requests_at_once_get_one_id(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            admit(&*store, asking("lamp", "192.0.2.1", &LIMITS), LIMITS, START).await.unwrap()
        });
    }
    let ids: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(all(&*store, Filter::All, START).await.len(), 1);
}

pub async fn the_total_cap_holds_however_many_ask_at_once(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            admit(&*store, asking("lamp", &source(number), &LIMITS), LIMITS, START).await
        });
    }
    let (admitted, refused): (Vec<_>, Vec<_>) =
        tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(admitted.len(), 8);
    assert!(refused.into_iter().all(|r| r == Err(Refusal::TooManyPending)));
    assert_eq!(store.counts(START).await.unwrap().pending, 8);
}

pub async fn a_full_source_leaves_room_for_others(store: Arc<dyn Store>) {
    // The addresses of one IPv6 household are one source.
    for host in 1..=3 {
        admit(&*store, asking("lamp", &format!("2001:db8::{host}:1"), &LIMITS), LIMITS, START)
            .await
            .ok();
        admit(&*store, asking(&format!("lamp {host}"), "2001:db8::1", &LIMITS), LIMITS, START)
            .await
            .ok();
    }
    assert_eq!(store.counts(START).await.unwrap().pending, 3);
    let full = admit(&*store, asking("one more", "2001:db8::ffff", &LIMITS), LIMITS, START).await;
    assert_eq!(full, Err(Refusal::TooManyPending));
    admit(&*store, asking("one more", "2001:db8:0:1::1", &LIMITS), LIMITS, START).await.unwrap();
}

pub async fn a_full_registry_still_finds_those_that_wait_in_it(store: Arc<dyn Store>) {
    let mut waiting = Vec::new();
    for number in 0..8 {
        waiting.push(
            admit(&*store, asking("lamp", &source(number), &LIMITS), LIMITS, START).await.unwrap(),
        );
    }
    for (number, id) in waiting.into_iter().enumerate() {
        assert_eq!(
            admit(&*store, asking("lamp", &source(number), &LIMITS), LIMITS, START).await,
            Ok(id)
        );
    }
    assert_eq!(
        admit(&*store, asking("lamp", &source(8), &LIMITS), LIMITS, START).await,
        Err(Refusal::TooManyPending)
    );
}

pub async fn an_expired_request_makes_room_and_its_retry_is_a_new_one(store: Arc<dyn Store>) {
    let first = admit(&*store, asking("lamp", "192.0.2.1", &LIMITS), LIMITS, START).await.unwrap();
    for other in ["lamp 2", "lamp 3"] {
        admit(&*store, asking(other, "192.0.2.1", &LIMITS), LIMITS, START).await.unwrap();
    }
    let one_more =
        |now| admit(&*store, asking_at("one more", "192.0.2.1", &LIMITS, now), LIMITS, now);
    assert_eq!(one_more(at(99)).await, Err(Refusal::TooManyPending));
    assert!(one_more(at(100)).await.is_ok());
    let retry = admit(&*store, asking_at("lamp", "192.0.2.1", &LIMITS, at(100)), LIMITS, at(100))
        .await
        .unwrap();
    assert_ne!(retry, first);
    assert_eq!(store.counts(at(100)).await.unwrap().pending, 2);
}

pub async fn expired_requests_of_all_sources_make_room(store: Arc<dyn Store>) {
    let limits = Limits { pending_total: 200, ..LIMITS };
    for round in 0..3 {
        let now = at(round * 100);
        for number in 0..200 {
            admit(&*store, asking_at("lamp", &source(number), &limits, now), limits, now)
                .await
                .unwrap();
        }
        let more = admit(&*store, asking_at("lamp", &source(200), &limits, now), limits, now).await;
        assert_eq!(more, Err(Refusal::TooManyPending));
        assert_eq!(store.counts(now).await.unwrap().pending, 200);
    }
    assert_eq!(store.counts(at(300)).await.unwrap().pending, 0);
}

pub async fn lowered_caps_count_only_what_has_not_expired(store: Arc<dyn Store>) {
    let ample = Limits { pending_total: 500, pending_per_source: 500, ..LIMITS };
    for number in 0..300 {
        admit(&*store, asking(&format!("lamp {number}"), "192.0.2.1", &ample), ample, START)
            .await
            .unwrap();
    }
    admit(&*store, asking_at("late", "192.0.2.1", &ample, at(50)), ample, at(50)).await.unwrap();
    let two = Limits { pending_total: 2, pending_per_source: 2, ..LIMITS };
    let ask = |name| admit(&*store, asking_at(name, "192.0.2.1", &two, at(100)), two, at(100));
    assert!(ask("one more").await.is_ok());
    assert_eq!(ask("and one more").await, Err(Refusal::TooManyPending));
}

pub async fn a_decided_request_frees_its_place_and_its_key(store: Arc<dyn Store>) {
    let one = Limits { pending_total: 1, pending_per_source: 1, ..LIMITS };
    let first = admit(&*store, asking("lamp", "192.0.2.1", &one), one, START).await.unwrap();
    store.save(first, Version(1), paired(), START).await.unwrap();
    let second = admit(&*store, asking("lamp", "192.0.2.1", &one), one, START).await.unwrap();
    assert_ne!(first, second);
    store.save(second, Version(1), super::revoked(), START).await.unwrap();
    let third = admit(&*store, asking("lamp", "192.0.2.1", &one), one, START).await.unwrap();
    assert_eq!(admit(&*store, asking("lamp", "192.0.2.1", &one), one, START).await, Ok(third));
    // Neither the paired nor the revoked node expires with its request.
    assert_eq!(all(&*store, Filter::All, at(1000)).await.len(), 3);
}

pub async fn a_taken_id_is_never_overwritten_by_a_request(store: Arc<dyn Store>) {
    let old = record(paired());
    store.insert(old.clone(), "{}".to_owned(), START).await.unwrap();
    let mut asking = asking("lamp", "192.0.2.1", &LIMITS);
    asking.record.node_id = old.node_id;
    let failed = store.admit(asking, "{}".to_owned(), LIMITS, START).await;
    assert!(matches!(failed, Err(StoreError::Database(_))), "{failed:?}");
    assert_eq!(load(&*store, old.node_id).await, Some((old, Version(1))));
    assert_eq!(store.counts(START).await.unwrap().pending, 0);
}

pub async fn a_request_is_counted_and_what_it_is_made_of_may_change(store: Arc<dyn Store>) {
    let ask = async |request, profile: &str, now| {
        let asking = asking("lamp", "192.0.2.1", &LIMITS).made_by(request);
        store.admit(asking, profile.to_owned(), LIMITS, now).await.unwrap().unwrap()
    };
    let id = ask(1, "{}", START).await;
    for request in 2..=63 {
        assert_eq!(
            ask(request, &format!(r#"{{"try":{request}}}"#), at(request)).await,
            id,
            "however often it changes, it is one"
        );
    }
    let entry = entry(&*store, id).await;
    assert_eq!(
        (entry.version, entry.profile.as_str(), entry.changed_at),
        (Version(63), r#"{"try":63}"#, at(63))
    );
    assert_eq!(entry.asked.map(|asked| (asked.times, asked.last)), Some((63, at(63))));
    ask(63, r#"{"try":63}"#, at(64)).await;
    ask(64, r#"{"try":63}"#, at(64)).await;
    let (after, version) = load(&*store, id).await.unwrap();
    assert_eq!(
        (after.node_id, version),
        (id, Version(63)),
        "the very same leaves the version alone"
    );
    assert_eq!(
        super::entry(&*store, id).await.asked.map(|asked| asked.times),
        Some(64),
        "and one request is one"
    );
    assert_eq!(store.counts(at(64)).await.unwrap().pending, 1);
}

pub async fn whoever_was_turned_down_waits_and_nobody_beside_it(store: Arc<dyn Store>) {
    let turn_down = async |id, cause, now| {
        let (_, version) = load(&*store, id).await.unwrap();
        store.save(id, version, Standing::Revoked { cause }, now).await.unwrap();
    };
    let key = asking("lamp", "192.0.2.1", &LIMITS).key;
    assert_eq!(store.rejection(key).await.unwrap(), None);
    let first = admit(&*store, asking("lamp", "192.0.2.1", &LIMITS), LIMITS, START).await.unwrap();
    turn_down(first, Cause::Rejected, START).await;
    let until = Some(at(60));
    assert_eq!(store.rejection(key).await.unwrap(), Some(Rejection { times: 1, until }));
    assert_eq!(entry(&*store, first).await.rejection, Some(Rejection { times: 1, until }));
    let again =
        async |now| admit(&*store, asking_at("lamp", "192.0.2.1", &LIMITS, now), LIMITS, now).await;
    assert_eq!(again(at(59)).await, Err(Refusal::Rejected { wait: Span::from_secs(1) }));
    assert!(admit(&*store, asking("lamb", "192.0.2.1", &LIMITS), LIMITS, at(59)).await.is_ok());
    let second = again(at(60)).await.unwrap();
    assert_ne!(first, second);
    turn_down(second, Cause::Rejected, at(60)).await;
    assert_eq!(again(at(179)).await, Err(Refusal::Rejected { wait: Span::from_secs(1) }));
    let third = again(at(180)).await.unwrap();
    turn_down(third, Cause::Barred, at(180)).await;
    assert_eq!(again(at(1_000_000)).await, Err(Refusal::Barred));
}

pub async fn what_nobody_asks_for_any_more_makes_room_at_its_source(store: Arc<dyn Store>) {
    let limits = Limits { pending_for: Span::from_secs(3600), ..LIMITS };
    let ask = async |name: &str, request, now| {
        admit(&*store, asking_at(name, "192.0.2.1", &limits, now).made_by(request), limits, now)
            .await
    };
    let junk = ask("junk", 1, START).await.unwrap();
    ask("lamp", 2, START).await.unwrap();
    ask("lamb", 3, START).await.unwrap();
    assert_eq!(ask("one more", 4, at(299)).await, Err(Refusal::TooManyPending));
    for (name, request) in [("lamp", 5), ("lamb", 6)] {
        ask(name, request, at(200)).await.unwrap();
    }
    ask("one more", 7, at(300)).await.unwrap();
    assert_eq!(load(&*store, junk).await, None, "the others still ask");
    assert_eq!(ask("and one more", 8, at(300)).await, Err(Refusal::TooManyPending));
    assert_eq!(store.counts(at(300)).await.unwrap().pending, 3);
}

pub async fn who_has_fewest_waiting_finds_room_when_all_is_full(store: Arc<dyn Store>) {
    for number in 0..8 {
        let address = if number < 6 { format!("192.0.2.{}", number / 3) } else { source(number) };
        admit(&*store, asking(&format!("lamp {number}"), &address, &LIMITS), LIMITS, START)
            .await
            .unwrap();
    }
    let newcomer =
        admit(&*store, asking("newcomer", "203.0.113.9", &LIMITS), LIMITS, START).await.unwrap();
    admit(&*store, asking("other", "203.0.113.8", &LIMITS), LIMITS, START).await.unwrap();
    assert!(all(&*store, Filter::Pending, START).await.contains(&newcomer));
    assert_eq!(store.counts(START).await.unwrap().pending, 8);
    // Two sources now have two requests each, and four have one each: none has two more than a
    // source that sends its second one.
    let again = admit(&*store, asking("other", "203.0.113.9", &LIMITS), LIMITS, START).await;
    assert_eq!(again, Err(Refusal::TooManyPending));
}

pub async fn nodes_are_found_by_their_whole_name(store: Arc<dyn Store>) {
    let mut named = Vec::new();
    for name in ["lamp", "lamp", "lamp 2", "Lamp"] {
        let node = Record { name: super::label(name).into(), ..record(paired()) };
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
        named.push(node.node_id);
    }
    let gone = Record { name: super::label("lamp").into(), ..record(super::revoked()) };
    store.insert(gone, "{}".to_owned(), START).await.unwrap();
    let found = async |name, limit| {
        let found = store.named(name, limit, START).await.unwrap();
        found.iter().map(crate::node_id).collect::<HashSet<_>>()
    };
    assert_eq!(found("lamp", 9).await, named[..2].iter().copied().collect());
    assert_eq!(found("lamp", 1).await.len(), 1);
    assert!(found("lam", 9).await.is_empty());
}
