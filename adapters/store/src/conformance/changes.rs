//! Changes of existing records.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::{Label, Name, NodeId};
use tokio::task::JoinSet;

use super::{START, all, asking, asking_at, at, entry, load, paired, record, revoked};
use crate::{Entry, Filter, Observation, SaveError, Store, Version};

pub async fn every_standing_reads_back_as_it_was_saved(store: Arc<dyn Store>) {
    let token = || TokenHash::from_bytes(std::array::from_fn(|n| n as u8));
    let id = record(paired()).node_id;
    let mut version = Version(1);
    store
        .insert(
            handfast_core::registry::record::Record { node_id: id, ..record(paired()) },
            "{}".to_owned(),
            START,
        )
        .await
        .unwrap();
    for standing in [
        Standing::Unapproved { token: token() },
        Standing::Paired { credential: Credential::Token(token()), mode: Mode::Full },
        Standing::Paired { credential: Credential::Token(token()), mode: Mode::SafeChat },
        Standing::Muted { credential: Credential::Token(token()), restore: Mode::Full },
        Standing::Muted { credential: Credential::Token(token()), restore: Mode::SafeChat },
        Standing::Pending { expires: at(5) },
        Standing::Revoked { cause: Cause::Rejected },
        Standing::Revoked { cause: Cause::Unpaired },
    ] {
        version = store.save(id, version, standing.clone(), START).await.unwrap();
        let (read, read_version) = load(&*store, id).await.unwrap();
        assert_eq!((read.standing, read_version), (standing.clone(), version));
        assert_eq!(entry(&*store, id).await.record.standing, standing);
    }
}

pub async fn a_save_changes_the_standing_and_the_version_and_nothing_else(store: Arc<dyn Store>) {
    let asking = asking("lamp", "192.0.2.1", &Limits::DEFAULT);
    let id = store
        .admit(asking, r#"{"a":1}"#.to_owned(), Limits::DEFAULT, START)
        .await
        .unwrap()
        .unwrap();
    let mut expected = entry(&*store, id).await;
    let version = store.save(id, expected.version, paired(), at(5)).await.unwrap();
    assert!(version > expected.version);
    expected.record.standing = paired();
    assert_eq!(entry(&*store, id).await, Entry { version, changed_at: at(5), ..expected });
}

pub async fn a_save_of_an_old_version_is_a_conflict_and_changes_nothing(store: Arc<dyn Store>) {
    let record = record(paired());
    let id = record.node_id;
    store.insert(record, "{}".to_owned(), START).await.unwrap();
    let version = store.save(id, Version(1), revoked(), START).await.unwrap();
    for wrong in [Version(0), Version(1), Version(version.0 + 1), Version(u64::MAX)] {
        let late = store.save(id, wrong, paired(), START).await;
        assert!(matches!(late, Err(SaveError::Conflict)), "{wrong:?}: {late:?}");
    }
    let (read, read_version) = load(&*store, id).await.unwrap();
    assert_eq!((read.standing, read_version), (revoked(), version));
}

pub async fn a_save_of_an_unknown_node_says_so(store: Arc<dyn Store>) {
    let nobody = record(paired()).node_id;
    let saved = store.save(nobody, Version(1), paired(), START).await;
    assert!(matches!(saved, Err(SaveError::Missing)), "{saved:?}");
    assert_eq!(load(&*store, nobody).await, None);
}

pub async fn a_request_that_was_purged_can_no_longer_be_decided(store: Arc<dyn Store>) {
    let limits = Limits::DEFAULT;
    let first = store
        .admit(asking("lamp", "192.0.2.1", &limits), "{}".to_owned(), limits, START)
        .await
        .unwrap()
        .unwrap();
    store
        .observe(
            first,
            Observation {
                last_seen: START,
                occupancy: None,
                noise_level: None,
                wake_word_fp: None,
            },
        )
        .await
        .unwrap();
    let other = asking_at("other", "192.0.2.1", &limits, at(3600));
    store.admit(other, "{}".to_owned(), limits, at(3600)).await.unwrap().unwrap();
    let late = store.save(first, Version(1), paired(), at(3600)).await;
    assert!(matches!(late, Err(SaveError::Missing)), "{late:?}");
}

pub async fn of_concurrent_saves_exactly_one_wins(store: Arc<dyn Store>) {
    let record = record(paired());
    let id = record.node_id;
    store.insert(record, "{}".to_owned(), START).await.unwrap();
    let mut tasks = JoinSet::new();
    for byte in 0..64 {
        let store = Arc::clone(&store);
        let standing = Standing::Paired {
            credential: Credential::Token(TokenHash::from_bytes([byte; 32])),
            mode: Mode::Full,
        };
        tasks.spawn(async move {
            store
                .save(id, Version(1), standing.clone(), START)
                .await
                .map(|version| (version, standing))
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert!(lost.iter().all(|l| matches!(l, Err(SaveError::Conflict))), "{lost:?}");
    let won: Vec<_> = won.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    let (read, version) = load(&*store, id).await.unwrap();
    assert_eq!((version, read.standing), won[0]);
}

pub async fn an_insert_never_overwrites(store: Arc<dyn Store>) {
    let first = record(revoked());
    store.insert(first.clone(), r#"{"a":1}"#.to_owned(), START).await.unwrap();
    let mut second = record(paired());
    second.node_id = first.node_id;
    let inserted = store.insert(second, "{}".to_owned(), at(9)).await;
    assert!(matches!(inserted, Err(SaveError::Conflict)), "{inserted:?}");
    let entry = entry(&*store, first.node_id).await;
    assert_eq!(
        (entry.record, entry.profile.as_str(), entry.changed_at),
        (first, r#"{"a":1}"#, START)
    );
    assert_eq!(all(&*store, Filter::All, START).await.len(), 1);
}

pub async fn an_observation_fills_up_and_never_erases(store: Arc<dyn Store>) {
    let record = record(paired());
    let id = record.node_id;
    store.insert(record, "{}".to_owned(), START).await.unwrap();
    let told = |seconds, occupancy, noise_level, wake_word_fp| Observation {
        last_seen: at(seconds),
        occupancy,
        noise_level,
        wake_word_fp,
    };
    for (told, known) in [
        (told(1, None, None, None), told(1, None, None, None)),
        (told(2, Some(true), None, Some(false)), told(2, Some(true), None, Some(false))),
        (told(3, None, Some(-3.25), None), told(3, Some(true), Some(-3.25), Some(false))),
        (
            told(4, Some(false), Some(f64::NAN), Some(true)),
            told(4, Some(false), Some(-3.25), Some(true)),
        ),
        (told(5, None, Some(0.1), None), told(5, Some(false), Some(0.1), Some(true))),
        (told(6, None, Some(f64::MAX), None), told(6, Some(false), Some(f64::MAX), Some(true))),
    ] {
        store.observe(id, told).await.unwrap();
        assert_eq!(entry(&*store, id).await.observed, Some(known));
    }
}

pub async fn an_observation_leaves_the_version_alone(store: Arc<dyn Store>) {
    let record = record(paired());
    let id = record.node_id;
    store.insert(record, "{}".to_owned(), START).await.unwrap();
    store
        .observe(
            id,
            Observation {
                last_seen: at(1),
                occupancy: None,
                noise_level: None,
                wake_word_fp: None,
            },
        )
        .await
        .unwrap();
    assert_eq!(entry(&*store, id).await.changed_at, START);
    store.save(id, Version(1), revoked(), START).await.unwrap();
}

pub async fn an_observation_of_an_unknown_node_is_told_in_vain(store: Arc<dyn Store>) {
    let record = record(paired());
    let told = Observation {
        last_seen: START,
        occupancy: Some(true),
        noise_level: None,
        wake_word_fp: None,
    };
    store.observe(record.node_id, told).await.unwrap();
    assert_eq!(load(&*store, record.node_id).await, None);
    store.insert(record.clone(), "{}".to_owned(), START).await.unwrap();
    assert_eq!(entry(&*store, record.node_id).await.observed, None);
}

pub async fn a_paired_node_is_named_and_described_anew_and_no_other_is(store: Arc<dyn Store>) {
    let standings = [paired(), Standing::Pending { expires: at(5) }, revoked()];
    let ids: Vec<_> = (1..=3).map(|byte| NodeId::from_bytes([byte; 16])).collect();
    for (standing, id) in standings.into_iter().zip(&ids) {
        let record = Record { node_id: *id, ..record(standing) };
        store.insert(record, "{}".to_owned(), START).await.unwrap();
    }
    let name = || Some(Name::from(Label::parse("hall lamp").unwrap()));
    let mut expected = entry(&*store, ids[0]).await;
    let version = store.relabel(ids[0], Version(1), name(), None, at(7)).await.unwrap();
    let profile = r#"{"mcu":"rp2040"}"#;
    let stale = store.relabel(ids[0], Version(1), None, Some(profile.to_owned()), at(8)).await;
    assert!(matches!(stale, Err(SaveError::Conflict)));
    let version = store.relabel(ids[0], version, None, Some(profile.to_owned()), at(9)).await;
    expected.record.name = name().unwrap();
    expected.profile = profile.to_owned();
    (expected.version, expected.changed_at) = (Version(3), at(9));
    assert_eq!(version.unwrap(), Version(3));
    assert_eq!(entry(&*store, ids[0]).await, expected);
    for id in &ids[1..] {
        let before = entry(&*store, *id).await;
        let refused = store.relabel(*id, Version(1), name(), None, at(9)).await;
        assert!(matches!(refused, Err(SaveError::Conflict)));
        assert_eq!(entry(&*store, *id).await, before);
    }
    let nobody = store.relabel(NodeId::from_bytes([9; 16]), Version(1), name(), None, START).await;
    assert!(matches!(nobody, Err(SaveError::Missing)));
}

pub async fn a_revoked_record_is_forgotten_and_no_other_is(store: Arc<dyn Store>) {
    let ids = [NodeId::from_bytes([1; 16]), NodeId::from_bytes([2; 16])];
    for (standing, id) in [revoked(), paired()].into_iter().zip(ids) {
        let record = Record { node_id: id, ..record(standing) };
        store.insert(record, "{}".to_owned(), START).await.unwrap();
    }
    assert!(matches!(store.forget(ids[0], Version(7), START).await, Err(SaveError::Conflict)));
    assert!(matches!(store.forget(ids[1], Version(1), START).await, Err(SaveError::Conflict)));
    store.forget(ids[0], Version(1), START).await.unwrap();
    assert!(store.load(ids[0]).await.unwrap().is_none());
    assert!(matches!(store.forget(ids[0], Version(1), START).await, Err(SaveError::Missing)));
    let listed = store.list(Filter::All, None, 9, START).await.unwrap();
    assert_eq!(listed.len(), 1);
}
