//! Revoked chains.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held};
use handfast_core::grant::scope::{AskedScopesBuf, ScopesBuf};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::{Cause, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::{NodeId, Refusal};

use super::{START, asking, at, entry, grant, keyed, keys, load, revoked};
use crate::{Activation, Filter, Revoked, SaveError, Store, Version};

async fn revokes(store: &dyn Store, held: &[(capability::Id, x25519::PublicKey)]) -> bool {
    store
        .is_revoked(held.iter().map(|(id, by)| Held { id: *id, by: *by }).collect())
        .await
        .expect("known")
}

/// Returns a block that the store has never heard of.
fn foreign() -> capability::Id {
    grant(keyed().node_id).capability.expect("scopes")
}

pub async fn a_capability_leads_to_its_grant(store: Arc<dyn Store>) {
    let node = keyed();
    let offered = grant(node.node_id);
    let capability = offered.capability.unwrap();
    store.offer(node, "{}".to_owned(), None, offered.clone(), None, START).await.unwrap();
    assert_eq!(store.grant_of(&capability).await.unwrap(), Some(offered));
    assert_eq!(store.grant_of(&foreign()).await.unwrap(), None);
}

pub async fn a_capability_of_two_grants_lives_as_long_as_one_of_them(store: Arc<dyn Store>) {
    // The same terms in the same second give the same signature, so a repeated offer has the same
    // capability.
    let node = keyed();
    let by = node.keys.unwrap().channel;
    let first = grant(node.node_id);
    let capability = first.capability.unwrap();
    let second = Grant { capability: first.capability, ..grant(node.node_id) };
    store.offer(node.clone(), "{}".to_owned(), None, first, None, START).await.unwrap();
    store
        .offer(node.clone(), "{}".to_owned(), Some(Version(1)), second.clone(), None, START)
        .await
        .unwrap();
    assert_eq!(store.grant_of(&capability).await.unwrap(), Some(second.clone()));
    assert!(!revokes(&*store, &[(capability, by)]).await);
    let confirmed = store.activate(node.node_id, second.id, START).await.unwrap();
    assert_eq!(confirmed, Activation::Active { ended: vec![] });

    let third = Grant { capability: second.capability, ..grant(node.node_id) };
    store
        .offer(node.clone(), "{}".to_owned(), Some(Version(2)), third.clone(), None, START)
        .await
        .unwrap();
    let confirmed = store.activate(node.node_id, third.id, START).await.unwrap();
    assert_eq!(confirmed, Activation::Active { ended: vec![] });
    assert!(!revokes(&*store, &[(capability, by)]).await);
    assert_eq!(store.end_grants(node.node_id, None, START).await.unwrap(), [capability]);
    assert!(revokes(&*store, &[(capability, by)]).await);
}

pub async fn a_block_or_a_key_is_revoked_for_good(store: Arc<dyn Store>) {
    let (block, key) = (foreign(), keys().channel);
    // A key and a block with the same bytes are different things.
    let alike = capability::Id::from_bytes(*key.as_bytes());
    assert!(!revokes(&*store, &[(block, key)]).await);
    for _ in 0..2 {
        store.revoke(Revoked::Block(block), START).await.unwrap();
        store.revoke(Revoked::Key(key), at(1)).await.unwrap();
    }
    assert!(revokes(&*store, &[(block, keys().channel)]).await);
    assert!(revokes(&*store, &[(foreign(), key)]).await);
    assert!(!revokes(&*store, &[(alike, keys().channel)]).await);
}

pub async fn one_revoked_block_is_enough(store: Arc<dyn Store>) {
    let chain: Vec<_> = (0..4).map(|_| (foreign(), keys().channel)).collect();
    assert!(!revokes(&*store, &chain).await);
    assert!(!revokes(&*store, &[]).await);
    store.revoke(Revoked::Block(chain[2].0), START).await.unwrap();
    assert!(revokes(&*store, &chain).await);
    assert!(!revokes(&*store, &chain[..2]).await);
}

pub async fn the_key_of_a_revoked_node_is_revoked_and_that_of_a_muted_one_is_not(
    store: Arc<dyn Store>,
) {
    let node = keyed();
    let held = [(foreign(), node.keys.unwrap().channel)];
    store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    for standing in [
        Standing::Muted { credential: Credential::Keys, restore: Mode::Full },
        node.standing,
        revoked(),
    ] {
        let (_, version) = load(&*store, node.node_id).await.unwrap();
        store.save(node.node_id, version, standing.clone(), START).await.unwrap();
        assert_eq!(revokes(&*store, &held).await, standing == revoked());
    }
}

/// Returns a request of this key under a fresh id.
fn asks_anew(of: &Record) -> PendingRequest {
    let limits = Limits::DEFAULT;
    let asking = asking("anew", "192.0.2.1", &limits);
    let keys = of.keys.expect("a node with keys");
    let record = Record { keys: Some(keys), ..asking.record };
    PendingRequest { key: RequestKey::of_key(&keys.channel), record, ..asking }
}

/// Adds a node with keys, saves this standing, and removes its record.
async fn forgets(store: &dyn Store, standing: Standing) -> Record {
    let node = keyed();
    store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    let (_, version) = load(store, node.node_id).await.unwrap();
    let version = store.save(node.node_id, version, standing, START).await.unwrap();
    store.forget(node.node_id, version, at(1)).await.unwrap();
    node
}

pub async fn a_revoked_key_stays_revoked_when_its_record_is_removed(store: Arc<dyn Store>) {
    for (number, cause) in [Cause::Unpaired, Cause::Barred].into_iter().enumerate() {
        let node = forgets(&*store, Standing::Revoked { cause }).await;
        let key = node.keys.unwrap().channel;
        assert!(store.by_key(&key).await.unwrap().is_none());
        assert!(store.is_key_revoked(&key).await.unwrap());
        assert!(revokes(&*store, &[(foreign(), key)]).await);
        // It comes in under no other id, in none of the ways in which records are added.
        let asked = store.admit(asks_anew(&node), "{}".to_owned(), Limits::DEFAULT, at(2)).await;
        assert_eq!(asked.unwrap(), Err(Refusal::Revoked));
        let another = Record { node_id: NodeId::from_bytes([7; 16]), ..node.clone() };
        let inserted = store.insert(another.clone(), "{}".to_owned(), at(2)).await;
        assert!(matches!(inserted, Err(SaveError::Conflict)));
        let offered = grant(another.node_id);
        let offered = store.offer(another, "{}".to_owned(), None, offered, None, at(2)).await;
        assert!(matches!(offered, Err(SaveError::Conflict)));
        // No list has it, and the count does.
        assert!(store.list(Filter::All, None, 9, at(2)).await.unwrap().is_empty());
        assert_eq!(store.counts(at(2)).await.unwrap().forgotten, number as u64 + 1);
    }
}

pub async fn a_rejected_key_may_ask_again_when_its_record_is_removed(store: Arc<dyn Store>) {
    let node = forgets(&*store, Standing::Revoked { cause: Cause::Rejected }).await;
    assert!(!store.is_key_revoked(&node.keys.unwrap().channel).await.unwrap());
    assert_eq!(store.counts(at(2)).await.unwrap().forgotten, 0);
    // The wait that follows a rejection is over.
    let later = at(2 * 24 * 3600);
    let asked = store.admit(asks_anew(&node), "{}".to_owned(), Limits::DEFAULT, later).await;
    assert!(asked.unwrap().is_ok());
}

pub async fn what_a_paired_node_asks_for_beyond_is_listed_until_it_is_decided(
    store: Arc<dyn Store>,
) {
    let more = |text| AskedScopesBuf::parse(text).unwrap();
    let (node, other) = (keyed(), keyed());
    let id = node.node_id;
    for node in [node.clone(), other] {
        let offered = grant(node.node_id);
        store.offer(node, "{}".to_owned(), None, offered, None, START).await.unwrap();
    }
    let asking = || async {
        let listed = store.list(Filter::AskingMore, None, 9, START).await.unwrap();
        listed.iter().map(crate::node_id).collect::<Vec<_>>()
    };
    assert!(asking().await.is_empty());
    assert!(store.set_asks_more(id, more("write:/**")).await.unwrap());
    assert!(!store.set_asks_more(id, more("write:/**")).await.unwrap(), "it is the same");
    let before = entry(&*store, id).await;
    assert_eq!((before.asks_more, before.version), (more("write:/**"), Version(1)));
    assert_eq!(asking().await, [id]);
    // A new offer within the same ceiling decides nothing.
    let renewed = grant(id);
    let version = store.offer(node, "{}".to_owned(), Some(Version(1)), renewed, None, at(1)).await;
    assert_eq!(asking().await, [id]);
    let ceiling = Ceiling {
        scopes: ScopesBuf::default(),
        expires: None,
        named: true,
        maker: Maker::Operator,
    };
    store.set_ceiling(id, version.unwrap(), ceiling, at(2)).await.unwrap();
    assert!(asking().await.is_empty());
    assert!(entry(&*store, id).await.asks_more.is_empty());
    // A node that is out, or waits, asks for nothing more.
    let (_, version) = load(&*store, id).await.unwrap();
    store.set_asks_more(id, more("read:/x")).await.unwrap();
    store.save(id, version, revoked(), at(3)).await.unwrap();
    assert!(asking().await.is_empty());
    assert!(!store.set_asks_more(id, more("read:/y")).await.unwrap());
}
