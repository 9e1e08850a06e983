//! Nodes that take the place of others.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::NodeId;
use handfast_core::grant::capability::Held;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;

use super::{START, at, fresh, grant, keyed, keys, load, record, revoked, scopes};
use crate::{Filter, InPlace, Replaced, Replacement, SaveError, Store, Version};

async fn enter(store: &dyn Store, record: &Record) -> NodeId {
    store.insert(record.clone(), "{}".to_owned(), START).await.expect("insert");
    record.node_id
}

fn waiting() -> Record {
    Record { keys: Some(keys()), ..record(Standing::Pending { expires: at(600) }) }
}

fn ceiling() -> Ceiling {
    Ceiling { scopes: scopes(), expires: None, named: true, maker: Maker::Operator }
}

async fn in_place(store: &dyn Store, new: &Record, old: NodeId) -> InPlace {
    let (_, read_at) = load(store, new.node_id).await.expect("the new one");
    let (before, version) = load(store, old).await.expect("the old one");
    let standing = Standing::Paired { credential: Credential::Keys, mode: Mode::SafeChat };
    InPlace {
        record: Record { name: before.name, room: before.room, standing, ..new.clone() },
        profile: "{}".to_owned(),
        read_at,
        grant: grant(new.node_id),
        ceiling: ceiling(),
        replaced: Replaced { node_id: old, version, standing: revoked() },
    }
}

async fn standing(store: &dyn Store, id: NodeId) -> Standing {
    load(store, id).await.expect("a node").0.standing
}

pub async fn a_node_takes_a_place_and_the_one_before_is_out_in_one_step(store: Arc<dyn Store>) {
    let (old, new) = (keyed(), waiting());
    for node in [&old, &new] {
        enter(&*store, node).await;
    }
    let first = grant(old.node_id);
    let (_, version) = load(&*store, old.node_id).await.unwrap();
    store
        .offer(old.clone(), "{}".to_owned(), Some(version), first.clone(), Some(ceiling()), START)
        .await
        .unwrap();
    store.activate(old.node_id, first.id, START).await.unwrap();
    let offered = in_place(&*store, &new, old.node_id).await;
    let size = store.audit_head(None).await.unwrap().unwrap().size;
    store.offer_in_place(offered.clone(), at(5)).await.unwrap();
    assert_eq!(load(&*store, new.node_id).await.unwrap().0, offered.record);
    let out = Standing::Revoked { cause: Cause::Unpaired };
    assert_eq!(standing(&*store, old.node_id).await, out);
    // Its key and what it was granted are out with it.
    let key = old.keys.unwrap().channel;
    let held = Held { id: first.capability.unwrap(), by: key };
    assert!(store.is_revoked(vec![held]).await.unwrap());
    assert_eq!(store.grants(new.node_id).await.unwrap(), [offered.grant]);
    assert_eq!(
        store.predecessors(new.node_id).await.unwrap(),
        [Replacement { node_id: old.node_id, at: at(5) }]
    );
    assert_eq!(
        store.successor(old.node_id).await.unwrap(),
        Some(Replacement { node_id: new.node_id, at: at(5) })
    );
    assert_eq!(store.successor(new.node_id).await.unwrap(), None);
    let lines = store.audit_lines(size, 9).await.unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let both = [new.node_id.to_string(), old.node_id.to_string()];
    assert!(lines[0].contains("\"replace\"") && both.iter().all(|id| lines[0].contains(id)));
    assert!(lines[1].contains("\"revoke\"") && lines[1].contains(&both[1]), "{lines:?}");
}

pub async fn nobody_takes_a_place_that_has_changed_since_it_was_read(store: Arc<dyn Store>) {
    let (old, new) = (keyed(), waiting());
    for node in [&old, &new] {
        enter(&*store, node).await;
    }
    let offered = in_place(&*store, &new, old.node_id).await;
    let stale = |change: fn(&mut InPlace)| {
        let mut stale = offered.clone();
        change(&mut stale);
        stale
    };
    let size = store.audit_head(None).await.unwrap().unwrap().size;
    for (tried, why) in [
        (stale(|one| one.replaced.version = Version(9)), SaveError::Conflict),
        (stale(|one| one.read_at = Version(9)), SaveError::Conflict),
        (stale(|one| one.replaced.node_id = NodeId::from_bytes(fresh())), SaveError::Missing),
    ] {
        let refused = store.offer_in_place(tried, START).await.unwrap_err();
        assert_eq!(format!("{refused:?}"), format!("{why:?}"));
        assert_eq!(standing(&*store, old.node_id).await, old.standing);
        assert_eq!(standing(&*store, new.node_id).await, new.standing);
        assert_eq!(store.successor(old.node_id).await.unwrap(), None);
        assert_eq!(store.audit_head(None).await.unwrap().unwrap().size, size);
    }
    let itself = stale(|one| one.replaced.node_id = one.record.node_id);
    store.offer_in_place(itself, START).await.unwrap_err();
    let stays = stale(|one| one.replaced.standing = super::paired());
    store.offer_in_place(stays, START).await.unwrap_err();
    store.offer_in_place(offered, START).await.unwrap();
}

pub async fn the_nodes_that_had_a_place_are_listed_one_after_the_other(store: Arc<dyn Store>) {
    let first = enter(&*store, &keyed()).await;
    let (mut before, mut expected) = (first, Vec::new());
    for number in 1..4 {
        let new = waiting();
        enter(&*store, &new).await;
        let offered = in_place(&*store, &new, before).await;
        store.offer_in_place(offered, at(number)).await.unwrap();
        expected.insert(0, Replacement { node_id: before, at: at(number) });
        before = new.node_id;
    }
    assert_eq!(store.predecessors(before).await.unwrap(), expected);
    // The history stays when the record of an older node is removed.
    let (_, version) = load(&*store, first).await.unwrap();
    store.forget(first, version, at(9)).await.unwrap();
    assert_eq!(store.predecessors(before).await.unwrap(), expected);
    assert_eq!(store.list(Filter::Current, None, 9, at(9)).await.unwrap().len(), 1);
}
