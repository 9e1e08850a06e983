//! Grants of nodes.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::NodeId;
use handfast_core::grant::capability::{self, Held, Holder};
use handfast_core::limits::Limits;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use tokio::task::JoinSet;

use super::{ASKED, START, asking, at, entry, grant, keyed, keys, load, record, revoked};
use crate::{Activation, Entry, SaveError, Store, StoreError, Version};

const YEAR: u64 = 365 * 24 * 3600;

/// Returns a node with one offered grant.
async fn offered(store: &dyn Store) -> (Record, Grant) {
    let node = keyed();
    let grant = grant(node.node_id);
    store
        .offer(node.clone(), "{}".to_owned(), None, grant.clone(), None, START)
        .await
        .expect("offer");
    (node, grant)
}

/// Offers another grant to it.
async fn offer(store: &dyn Store, node: &Record, grant: &Grant, now: u64) {
    let (_, version) = load(store, node.node_id).await.expect("the node");
    store
        .offer(node.clone(), "{}".to_owned(), Some(version), grant.clone(), None, at(now))
        .await
        .expect("offer");
}

async fn states(store: &dyn Store, node: NodeId) -> Vec<(GrantId, State)> {
    store
        .grants(node)
        .await
        .expect("grants")
        .into_iter()
        .map(|grant| (grant.id, grant.state))
        .collect()
}

async fn is_revoked(store: &dyn Store, id: capability::Id) -> bool {
    store.is_revoked(vec![Held { id, by: keys().channel }]).await.expect("known")
}

pub async fn an_offer_to_a_new_node_makes_it_paired(store: Arc<dyn Store>) {
    let node = keyed();
    let endless = Grant {
        capability: None,
        scopes: Default::default(),
        expires: None,
        ..grant(node.node_id)
    };
    let version = store
        .offer(node.clone(), r#"{"a":1}"#.to_owned(), None, endless.clone(), None, at(2))
        .await
        .unwrap();
    let entry = entry(&*store, node.node_id).await;
    assert_eq!(
        (&entry.record, entry.profile.as_str(), entry.changed_at),
        (&node, r#"{"a":1}"#, at(2))
    );
    assert_eq!(load(&*store, node.node_id).await, Some((node.clone(), version)));
    assert_eq!(store.grants(node.node_id).await.unwrap(), [endless]);
    assert_eq!(store.counts(START).await.unwrap().paired, 1);
    assert!(store.grants(keyed().node_id).await.unwrap().is_empty());
    // A node may have no signing key.
    let plain = Record { keys: Some(Holder { signing: None, ..keys() }), ..keyed() };
    let offered = grant(plain.node_id);
    store.offer(plain.clone(), "{}".to_owned(), None, offered, None, at(3)).await.unwrap();
    assert_eq!(load(&*store, plain.node_id).await.map(|(record, _)| record), Some(plain));
}

pub async fn an_offer_to_a_waiting_node_replaces_what_it_asked(store: Arc<dyn Store>) {
    let limits = Limits { pending_per_source: 1, ..Limits::DEFAULT };
    let device = keys();
    let ask = asking("lamp", "192.0.2.1", &limits).with_keys(device, ASKED);
    let id = store.admit(ask, "{}".to_owned(), limits, START).await.unwrap().unwrap();
    let (waiting, version) = load(&*store, id).await.unwrap();
    let paired = Record { keys: Some(device), node_id: id, asked_at: waiting.asked_at, ..keyed() };
    let grant = grant(id);
    let profile = r#"{"leds":1}"#.to_owned();
    let offered = store
        .offer(paired.clone(), profile.clone(), Some(version), grant.clone(), None, at(7))
        .await
        .unwrap();
    assert!(offered > version);
    let before = entry(&*store, id).await;
    assert_eq!(
        before,
        Entry { record: paired, version: offered, profile, changed_at: at(7), ..before.clone() }
    );
    assert_eq!(store.grants(id).await.unwrap(), [grant]);
    // Its place among the waiting requests is free again.
    assert_eq!(store.counts(START).await.unwrap().pending, 0);
    let next = asking("other", "192.0.2.1", &limits).with_keys(keys(), ASKED);
    store.admit(next, "{}".to_owned(), limits, START).await.unwrap().unwrap();
}

pub async fn an_offer_that_comes_too_late_changes_nothing(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    let id = node.node_id;
    let late = |record: Record, read_at| {
        let (store, grant) = (Arc::clone(&store), grant(record.node_id));
        async move { store.offer(record, "{}".to_owned(), read_at, grant, None, START).await }
    };
    let other_key = Record { keys: Some(keys()), ..node.clone() };
    for (record, read_at) in [
        (node.clone(), Some(Version(0))),
        (node.clone(), Some(Version(2))),
        (node.clone(), Some(Version(u64::MAX))),
        (other_key.clone(), Some(Version(1))),
        (node.clone(), None),
        (other_key, None),
        (keyed(), Some(Version(1))),
    ] {
        let offered = late(record.clone(), read_at).await;
        assert!(matches!(offered, Err(SaveError::Conflict)), "{record:?} {read_at:?}: {offered:?}");
    }
    assert_eq!(load(&*store, id).await, Some((node.clone(), Version(1))));
    assert_eq!(store.grants(id).await.unwrap(), [first]);

    // A revocation is final, even for a writer that has read the record again.
    let version = store.save(id, Version(1), revoked(), START).await.unwrap();
    let offered = late(node, Some(version)).await;
    assert!(matches!(offered, Err(SaveError::Conflict)), "{offered:?}");
    assert_eq!(load(&*store, id).await.unwrap().0.standing, revoked());
}

pub async fn an_offer_must_fit_its_node(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    let (keyless, other) = (record(super::paired()), keyed());
    for (record, grant) in [
        (keyless.clone(), grant(keyless.node_id)),
        (other.clone(), grant(node.node_id)),
        (other.clone(), Grant { id: first.id, ..grant(other.node_id) }),
    ] {
        let offered = store.offer(record.clone(), "{}".to_owned(), None, grant, None, START).await;
        assert!(
            matches!(offered, Err(SaveError::Store(StoreError::Database(_)))),
            "{record:?}: {offered:?}"
        );
        assert_eq!(load(&*store, record.node_id).await, None);
    }
    assert_eq!(store.grants(node.node_id).await.unwrap(), [first]);
}

pub async fn of_concurrent_offers_exactly_one_wins(store: Arc<dyn Store>) {
    let node = keyed();
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        // A node that pairs twice at once has one key and two fresh ids.
        let (store, record) = (Arc::clone(&store), Record { keys: node.keys, ..keyed() });
        tasks.spawn(async move {
            let grant = grant(record.node_id);
            store
                .offer(record.clone(), "{}".to_owned(), None, grant, None, START)
                .await
                .map(|_| record.node_id)
        });
    }
    let (won, lost): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert!(lost.iter().all(|l| matches!(l, Err(SaveError::Conflict))), "{lost:?}");
    let won: Vec<_> = won.into_iter().flatten().collect();
    let found = store.by_key(&node.keys.unwrap().channel).await.unwrap().unwrap();
    assert_eq!(won, [found.record.node_id]);
    assert_eq!(store.grants(won[0]).await.unwrap().len(), 1);
}

pub async fn a_newer_offer_ends_the_unconfirmed_and_spares_the_active(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    store.activate(node.node_id, first.id, START).await.unwrap();
    let [second, third] = [grant(node.node_id), grant(node.node_id)];
    offer(&*store, &node, &second, 1).await;
    offer(&*store, &node, &third, 2).await;
    let expected = [(first.id, State::Active), (second.id, State::Ended), (third.id, third.state)];
    assert_eq!(states(&*store, node.node_id).await, expected);
    assert!(is_revoked(&*store, second.capability.unwrap()).await);
    assert!(!is_revoked(&*store, first.capability.unwrap()).await);
}

pub async fn confirming_ends_the_older_and_once_more_changes_nothing(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    let (other, others) = offered(&*store).await;
    let id = node.node_id;
    let nothing = Activation::Active { ended: vec![] };
    assert_eq!(store.activate(id, first.id, at(1)).await.unwrap(), nothing);
    let second = grant(id);
    offer(&*store, &node, &second, 2).await;
    let confirmed = store.activate(id, second.id, at(3)).await.unwrap();
    assert_eq!(confirmed, Activation::Active { ended: vec![first.capability.unwrap()] });
    for _ in 0..2 {
        assert_eq!(
            states(&*store, id).await,
            [(first.id, State::Ended), (second.id, State::Active)]
        );
        // The answer is the same after the offer would have expired.
        assert_eq!(store.activate(id, second.id, at(4000)).await.unwrap(), nothing);
    }
    assert_eq!(states(&*store, other.node_id).await, [(others.id, others.state)]);
    assert_eq!(load(&*store, id).await.unwrap().1, Version(2));
}

pub async fn what_is_not_there_is_not_confirmed(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    let (other, others) = offered(&*store).await;
    let id = node.node_id;
    for (node_id, grant, now) in [
        (id, others.id, START),
        (other.node_id, first.id, START),
        (id, grant(id).id, START),
        (keyed().node_id, first.id, START),
        (id, first.id, at(3600)),
    ] {
        assert_eq!(store.activate(node_id, grant, now).await.unwrap(), Activation::NotThere);
    }
    assert_eq!(states(&*store, id).await, [(first.id, first.state)]);
    assert!(matches!(
        store.activate(id, first.id, at(3599)).await.unwrap(),
        Activation::Active { .. }
    ));
    // A confirmed grant expires with its permissions.
    assert_eq!(store.activate(id, first.id, at(24 * 3600)).await.unwrap(), Activation::NotThere);
    store.end_grants(id, None, START).await.unwrap();
    assert_eq!(store.activate(id, first.id, START).await.unwrap(), Activation::NotThere);
}

pub async fn one_grant_ends_or_all_do(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    let (other, others) = offered(&*store).await;
    let id = node.node_id;
    store.activate(id, first.id, START).await.unwrap();
    let second = grant(id);
    offer(&*store, &node, &second, 1).await;
    assert_eq!(store.end_grants(id, Some(others.id), at(2)).await.unwrap(), []);
    assert_eq!(
        store.end_grants(id, Some(second.id), at(2)).await.unwrap(),
        [second.capability.unwrap()]
    );
    assert_eq!(store.end_grants(id, Some(second.id), at(3)).await.unwrap(), []);
    let third = Grant { capability: None, ..grant(id) };
    offer(&*store, &node, &third, 3).await;
    assert_eq!(store.end_grants(id, None, at(4)).await.unwrap(), [first.capability.unwrap()]);
    assert!(states(&*store, id).await.iter().all(|(_, state)| *state == State::Ended));
    assert_eq!(states(&*store, other.node_id).await, [(others.id, others.state)]);
}

pub async fn a_node_that_is_revoked_loses_its_grants(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    let id = node.node_id;
    let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::Full };
    let version = store.save(id, Version(1), muted, START).await.unwrap();
    assert_eq!(states(&*store, id).await, [(first.id, first.state)]);
    let late = store.save(id, Version(1), revoked(), START).await;
    assert!(matches!(late, Err(SaveError::Conflict)), "{late:?}");
    assert_eq!(states(&*store, id).await, [(first.id, first.state)]);
    store.save(id, version, revoked(), START).await.unwrap();
    assert_eq!(states(&*store, id).await, [(first.id, State::Ended)]);
    assert!(is_revoked(&*store, first.capability.unwrap()).await);
}

pub async fn what_ended_over_a_year_ago_is_not_listed_and_stays_revoked(store: Arc<dyn Store>) {
    let node = keyed();
    let long = Grant { expires: Some(at(3 * YEAR)), ..grant(node.node_id) };
    store.offer(node.clone(), "{}".to_owned(), None, long.clone(), None, START).await.unwrap();
    let (_, others) = offered(&*store).await;
    store.end_grants(node.node_id, None, START).await.unwrap();
    offer(&*store, &node, &grant(node.node_id), YEAR).await;
    assert_eq!(store.grants(node.node_id).await.unwrap().len(), 2);
    offer(&*store, &node, &grant(node.node_id), YEAR + 1).await;
    let left = states(&*store, node.node_id).await;
    assert!(left.len() == 2 && left.iter().all(|(id, _)| *id != long.id), "{left:?}");
    assert_eq!(store.grant_of(&long.capability.unwrap()).await.unwrap(), None);
    assert!(is_revoked(&*store, long.capability.unwrap()).await);
    // A grant that never ended is kept.
    assert_eq!(store.grant_of(&others.capability.unwrap()).await.unwrap(), Some(others));
}

async fn ceiling_of(store: &dyn Store, node: &Record) -> Option<Ceiling> {
    let loaded = store.load(node.node_id).await.expect("load").expect("the node");
    let found =
        store.by_key(&node.keys.expect("keys").channel).await.expect("by key").expect("the node");
    let listed = store.list_granted(None, usize::MAX, START).await.expect("list");
    let listed = listed
        .into_iter()
        .filter_map(|(listed, _)| listed.ok())
        .find(|entry| entry.record.node_id == node.node_id);
    let everywhere = [
        loaded.ceiling,
        found.ceiling,
        entry(store, node.node_id).await.ceiling,
        listed.expect("listed").ceiling,
    ];
    assert!(everywhere.iter().all(|ceiling| *ceiling == everywhere[0]), "{everywhere:?}");
    everywhere[0].as_deref().cloned()
}

pub async fn a_ceiling_is_written_with_its_offer_and_outlives_it(store: Arc<dyn Store>) {
    let (node, first) = offered(&*store).await;
    assert_eq!(ceiling_of(&*store, &node).await, None);
    store.activate(node.node_id, first.id, START).await.unwrap();
    let scopes = |text| handfast_core::grant::scope::ScopesBuf::parse(text).unwrap();
    let narrow = Ceiling {
        scopes: scopes("read:/only/**\n"),
        expires: Some(at(9)),
        named: true,
        maker: Maker::Operator,
    };
    let (_, version) = load(&*store, node.node_id).await.unwrap();
    let write = |version, grant, ceiling, now| {
        store.offer(node.clone(), "{}".to_owned(), Some(version), grant, ceiling, now)
    };
    let second = grant(node.node_id);
    let version = write(version, second.clone(), Some(narrow.clone()), START).await.unwrap();
    assert_eq!(ceiling_of(&*store, &node).await, Some(narrow.clone()));
    // Neither another offer, nor an expired offer, nor muting, nor a late decision changes it.
    let version = write(version, grant(node.node_id), None, at(1)).await.unwrap();
    assert_eq!(
        store.activate(node.node_id, second.id, at(90_000)).await.unwrap(),
        Activation::NotThere
    );
    let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::Full };
    let version = store.save(node.node_id, version, muted, START).await.unwrap();
    let wide = Ceiling {
        scopes: scopes("admin:/**\n"),
        expires: None,
        named: false,
        maker: Maker::Operator,
    };
    let late = write(Version(1), grant(node.node_id), Some(wide.clone()), START).await;
    assert!(matches!(late, Err(SaveError::Conflict)), "{late:?}");
    assert_eq!(ceiling_of(&*store, &node).await, Some(narrow));
    // The newest decision changes it, even one without any permissions.
    let version = write(version, grant(node.node_id), Some(wide.clone()), START).await.unwrap();
    assert_eq!(ceiling_of(&*store, &node).await, Some(wide));
    let nothing =
        Ceiling { scopes: scopes(""), expires: None, named: true, maker: Maker::Operator };
    write(version, grant(node.node_id), Some(nothing.clone()), START).await.unwrap();
    assert_eq!(ceiling_of(&*store, &node).await, Some(nothing));
}

pub async fn a_ceiling_is_written_without_an_offer_and_leaves_the_grants_alone(
    store: Arc<dyn Store>,
) {
    let (node, first) = offered(&*store).await;
    store.activate(node.node_id, first.id, START).await.unwrap();
    let scopes = handfast_core::grant::scope::ScopesBuf::parse("read:/only/**\n").unwrap();
    let narrow = Ceiling { scopes, expires: Some(at(9)), named: true, maker: Maker::Operator };
    let (_, version) = load(&*store, node.node_id).await.unwrap();
    let before = (states(&*store, node.node_id).await, entry(&*store, node.node_id).await);
    let raised = store.set_ceiling(node.node_id, version, narrow.clone(), at(3)).await.unwrap();
    assert!(raised > version);
    let expected = Entry {
        ceiling: Some(Box::new(narrow.clone())),
        version: raised,
        changed_at: at(3),
        ..before.1
    };
    assert_eq!(
        (states(&*store, node.node_id).await, entry(&*store, node.node_id).await),
        (before.0, expected.clone())
    );
    let late = store
        .set_ceiling(node.node_id, version, Ceiling { expires: None, ..narrow.clone() }, at(4))
        .await;
    assert!(matches!(late, Err(SaveError::Conflict)), "{late:?}");
    assert_eq!(entry(&*store, node.node_id).await, expected);
    let nobody = store.set_ceiling(keyed().node_id, version, narrow, at(4)).await;
    assert!(matches!(nobody, Err(SaveError::Missing)), "{nobody:?}");
}

pub async fn the_paired_are_listed_with_the_grants_that_count(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for number in 0..7 {
        let (node, first) = offered(&*store).await;
        let mut counting = vec![first];
        if number % 2 == 0 {
            store.activate(node.node_id, counting[0].id, START).await.unwrap();
            counting[0].state = State::Active;
            let second = grant(node.node_id);
            offer(&*store, &node, &second, 1).await;
            counting.push(second);
        }
        expected.push((node.node_id, counting));
    }
    let (ended, gone) = (&expected[1], &expected[3]);
    store.end_grants(ended.0, None, START).await.unwrap();
    store.save(gone.0, Version(1), revoked(), START).await.unwrap();
    let gone = gone.0;
    expected[1].1.clear();
    expected.retain(|(id, _)| *id != gone);
    // Neither a node without keys, nor one whose request has expired, is listed.
    store.insert(record(super::paired()), "{}".to_owned(), START).await.unwrap();
    let expired = Record { standing: Standing::Pending { expires: at(5) }, ..keyed() };
    store.insert(expired, "{}".to_owned(), START).await.unwrap();
    expected.sort_by_key(|(id, _)| *id);

    for size in [1, 2, 6, 9] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = store.list_granted(after, size, at(5)).await.unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(crate::node_id(last));
            read.extend(
                page.into_iter().map(|(listed, grants)| (listed.unwrap().record.node_id, grants)),
            );
        }
        assert_eq!(read, expected, "pages of {size}");
    }
    // Once the offers have expired, the confirmed grants are left.
    let late = store.list_granted(None, 9, at(3600)).await.unwrap();
    assert!(
        late.iter().all(|(_, grants)| grants.iter().all(|grant| grant.state == State::Active)),
        "{late:?}"
    );
}
