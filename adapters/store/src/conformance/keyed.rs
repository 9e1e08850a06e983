//! Requests of nodes with keys.
#![allow(missing_docs, reason = "the names say it")]

use std::collections::HashSet;
use std::sync::Arc;

use handfast_core::grant::capability::Holder;
use handfast_core::grant::certificate::KeyHash;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::limits::Limits;
use handfast_core::registry::record::{
    AskMethod, Asked, Cause, Credential, Mode, Record, Standing,
};
use handfast_core::{NodeId, Refusal, Span, UnixTime};
use tokio::task::JoinSet;

use super::{
    ASKED, START, all, asking_at, at, entry, grant, keyed, keys, load, paired, record, revoked,
};
use crate::{Entry, Filter, SaveError, Store, StoreError, Version};

const LIMITS: Limits = Limits {
    pending_total: 8,
    pending_per_source: 3,
    pending_for: Span::from_secs(100),
    ..Limits::DEFAULT
};

fn by_keys() -> Standing {
    Standing::Paired { credential: Credential::Keys, mode: Mode::Full }
}

async fn ask(
    store: &dyn Store,
    keys: Holder,
    name: &str,
    address: &str,
    now: UnixTime,
) -> Result<NodeId, Refusal> {
    let asking = asking_at(name, address, &LIMITS, now).with_keys(keys, ASKED);
    store.admit(asking, "{}".to_owned(), LIMITS, now).await.expect("admit")
}

async fn with_key(store: &dyn Store, keys: &Holder) -> Option<(Record, Version)> {
    store.by_key(&keys.channel).await.expect("by key").map(|stored| (stored.record, stored.version))
}

pub async fn a_node_is_found_by_its_key_whatever_its_standing(store: Arc<dyn Store>) {
    let device = keys();
    assert_eq!(with_key(&*store, &device).await, None);
    let id = ask(&*store, device, "lamp", "192.0.2.1", START).await.unwrap();
    let mut version = Version(1);
    for standing in [
        by_keys(),
        Standing::Muted { credential: Credential::Keys, restore: Mode::SafeChat },
        revoked(),
    ] {
        version = store.save(id, version, standing.clone(), START).await.unwrap();
        let found = with_key(&*store, &device).await;
        assert_eq!(found, load(&*store, id).await);
        let (found, _) = found.unwrap();
        assert_eq!((found.standing, found.keys), (standing, Some(device)));
        assert_eq!(entry(&*store, id).await.record.keys, Some(device));
    }
    assert_eq!(with_key(&*store, &keys()).await, None);
}

pub async fn a_key_finds_its_entry_again_from_wherever_and_whatever_it_asks(store: Arc<dyn Store>) {
    let device = keys();
    let id = ask(&*store, device, "lamp", "192.0.2.1", START).await.unwrap();
    let before = entry(&*store, id).await;
    let mut asking = asking_at("lantern", "198.51.100.9", &LIMITS, at(5)).with_keys(device, ASKED);
    asking.record.room = super::label("cellar").into();
    let profile = r#"{"leds":2}"#.to_owned();
    let found = store.admit(asking.clone(), profile.clone(), LIMITS, at(5)).await.unwrap();
    assert_eq!(found, Ok(id));
    // The self-description is new. The place and time of its first request, and its end, are not.
    let record = Record { name: asking.record.name, room: asking.record.room, ..before.record };
    assert_eq!(
        entry(&*store, id).await,
        Entry { record, profile, version: Version(2), changed_at: at(5), ..before }
    );
    assert_eq!(all(&*store, Filter::All, at(5)).await, [id]);
}

pub async fn asking_the_very_same_again_leaves_the_version_alone(store: Arc<dyn Store>) {
    let device = keys();
    let id = ask(&*store, device, "lamp", "192.0.2.1", START).await.unwrap();
    let before = entry(&*store, id).await;
    for second in 1..4 {
        assert_eq!(ask(&*store, device, "lamp", "192.0.2.7", at(second)).await, Ok(id));
    }
    assert_eq!(entry(&*store, id).await, before);
}

pub async fn a_revoked_key_stays_out_under_any_name(store: Arc<dyn Store>) {
    for cause in [Cause::Barred, Cause::Unpaired] {
        let device = keys();
        let id = ask(&*store, device, "lamp", "192.0.2.1", START).await.unwrap();
        store.save(id, Version(1), Standing::Revoked { cause }, START).await.unwrap();
        for name in ["lamp", "lantern"] {
            assert_eq!(
                ask(&*store, device, name, "198.51.100.9", at(1000)).await,
                Err(Refusal::Revoked)
            );
        }
    }
    assert_eq!(store.counts(at(1000)).await.unwrap().pending, 0);
}

pub async fn a_key_that_was_turned_down_asks_anew_and_is_paired(store: Arc<dyn Store>) {
    let (device, other) = (keys(), keys());
    let mut now = 0;
    for wait in [60, 120, 240] {
        let id = ask(&*store, device, "lamp", "192.0.2.1", at(now)).await.unwrap();
        store
            .save(id, Version(1), Standing::Revoked { cause: Cause::Rejected }, at(now))
            .await
            .unwrap();
        let refused = ask(&*store, device, "lantern", "198.51.100.9", at(now)).await;
        assert_eq!(refused, Err(Refusal::Rejected { wait: Span::from_secs(wait) }));
        assert!(
            ask(&*store, other, "lamp", "192.0.2.1", at(now)).await.is_ok(),
            "another key is another request"
        );
        let held = handfast_core::grant::capability::Held {
            id: handfast_core::grant::capability::Id::from_bytes([9; 32]),
            by: device.channel,
        };
        assert!(!store.is_revoked(vec![held]).await.unwrap(), "who was turned down is not revoked");
        now += wait;
    }
    let id = ask(&*store, device, "lamp", "192.0.2.1", at(now)).await.unwrap();
    assert_eq!(with_key(&*store, &device).await.unwrap().0.node_id, id);
    // A code pairs it at once.
    store
        .save(id, Version(1), Standing::Revoked { cause: Cause::Rejected }, at(now))
        .await
        .unwrap();
    let (record, version) = with_key(&*store, &device).await.unwrap();
    let paired = handfast_core::registry::record::Record { standing: by_keys(), ..record };
    store
        .offer(paired, "{}".to_owned(), Some(version), super::grant(id), None, at(now))
        .await
        .unwrap();
    assert_eq!(entry(&*store, id).await.rejection, None);
}

pub async fn a_paired_or_muted_key_is_told_so(store: Arc<dyn Store>) {
    for standing in
        [by_keys(), paired(), Standing::Muted { credential: Credential::Keys, restore: Mode::Full }]
    {
        let node = Record { standing, ..keyed() };
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
        assert_eq!(
            ask(&*store, node.keys.unwrap(), "lamp", "192.0.2.1", START).await,
            Err(Refusal::AlreadyPaired)
        );
        assert_eq!(load(&*store, node.node_id).await, Some((node, Version(1))));
    }
}

pub async fn an_expired_request_gives_its_key_up(store: Arc<dyn Store>) {
    let device = keys();
    let first = ask(&*store, device, "lamp", "192.0.2.1", START).await.unwrap();
    assert_eq!(ask(&*store, device, "lamp", "192.0.2.1", at(99)).await, Ok(first));
    let second = ask(&*store, device, "lamp", "192.0.2.1", at(100)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(load(&*store, first).await, None);
    assert_eq!(with_key(&*store, &device).await.unwrap().0.node_id, second);
    assert_eq!(store.counts(at(100)).await.unwrap().pending, 1);
}

pub async fn requests_of_one_key_at_once_get_one_id(store: Arc<dyn Store>) {
    let device = keys();
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let store = Arc::clone(&store);
        let address = format!("198.51.100.{number}");
        tasks.spawn(async move {
            ask(&*store, device, &format!("lamp {number}"), &address, START).await.unwrap()
        });
    }
    let ids: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(all(&*store, Filter::All, START).await.len(), 1);
}

pub async fn a_key_that_asks_counts_for_its_source(store: Arc<dyn Store>) {
    for _ in 0..3 {
        ask(&*store, keys(), "lamp", "192.0.2.1", START).await.unwrap();
    }
    assert_eq!(
        ask(&*store, keys(), "lamp", "192.0.2.1", START).await,
        Err(Refusal::TooManyPending)
    );
    // The same request without keys is another one.
    let bare = store
        .admit(asking_at("lamp", "192.0.2.2", &LIMITS, START), "{}".to_owned(), LIMITS, START)
        .await
        .unwrap();
    assert_ne!(bare, ask(&*store, keys(), "lamp", "192.0.2.2", START).await);
}

pub async fn no_two_records_have_one_key(store: Arc<dyn Store>) {
    let first = keyed();
    store.insert(first.clone(), "{}".to_owned(), START).await.unwrap();
    let second = Record { keys: first.keys, ..keyed() };
    let inserted = store.insert(second.clone(), "{}".to_owned(), START).await;
    assert!(matches!(inserted, Err(SaveError::Conflict)), "{inserted:?}");
    let offered = store
        .offer(second.clone(), "{}".to_owned(), None, grant(second.node_id), None, START)
        .await;
    assert!(matches!(offered, Err(SaveError::Conflict)), "{offered:?}");

    let third = keyed();
    store.insert(third.clone(), "{}".to_owned(), START).await.unwrap();
    let stolen = Record { keys: first.keys, ..third.clone() };
    let offered = store
        .offer(stolen, "{}".to_owned(), Some(Version(1)), grant(third.node_id), None, START)
        .await;
    assert!(matches!(offered, Err(SaveError::Conflict)), "{offered:?}");
    assert_eq!(load(&*store, third.node_id).await, Some((third, Version(1))));
    assert_eq!(all(&*store, Filter::All, START).await.len(), 2);
}

pub async fn a_node_without_keys_is_never_paired_by_them(store: Arc<dyn Store>) {
    let inserted = store.insert(record(by_keys()), "{}".to_owned(), START).await;
    assert!(matches!(inserted, Err(SaveError::Store(StoreError::Database(_)))), "{inserted:?}");
    let node = record(paired());
    store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    let saved = store.save(node.node_id, Version(1), by_keys(), START).await;
    assert!(matches!(saved, Err(SaveError::Store(StoreError::Database(_)))), "{saved:?}");
    assert_eq!(load(&*store, node.node_id).await, Some((node, Version(1))));
}

pub async fn what_a_node_asks_for_is_kept_and_each_change_of_it_is_a_new_version(
    store: Arc<dyn Store>,
) {
    let device = keys();
    let wants = |text| AskedScopesBuf::parse(text).expect("scopes");
    let first = Asked {
        permissions: wants("read:/lights/**"),
        csr_key: Some(KeyHash::from_bytes([7; 32])),
        method: AskMethod::Approval,
    };
    let asks = async |asked: Asked, now| {
        let asking = asking_at("lamp", "192.0.2.1", &LIMITS, now).with_keys(device, asked);
        store.admit(asking, "{}".to_owned(), LIMITS, now).await.unwrap().unwrap()
    };
    let id = asks(first.clone(), START).await;
    let (record, version) = load(&*store, id).await.unwrap();
    assert_eq!((record.asked, version), (first.clone(), Version(1)));
    assert_eq!(entry(&*store, id).await.record.asked, first);
    assert_eq!(asks(first.clone(), at(1)).await, id);
    assert_eq!(load(&*store, id).await.unwrap().1, Version(1), "the same is no news");
    let mut version = Version(1);
    for asked in [
        Asked { permissions: wants("write:/lights/**"), ..first.clone() },
        Asked { csr_key: Some(KeyHash::from_bytes([8; 32])), ..first.clone() },
        Asked { csr_key: None, ..first.clone() },
        Asked { method: AskMethod::Pin, ..first },
    ] {
        assert_eq!(asks(asked.clone(), at(2)).await, id);
        version = Version(version.0 + 1);
        let (record, now) = load(&*store, id).await.unwrap();
        assert_eq!((record.asked, now), (asked, version));
    }
    // A node that is paired by a code keeps what it asked for then.
    let record = Record { standing: by_keys(), ..load(&*store, id).await.unwrap().0 };
    let asked = Asked { permissions: wants("admin:/door"), ..record.asked.clone() };
    let paired = Record { asked: asked.clone(), ..record };
    let offered = grant(id);
    store.offer(paired, "{}".to_owned(), Some(version), offered, None, at(3)).await.unwrap();
    assert_eq!(load(&*store, id).await.unwrap().0.asked, asked);
}
