//! Revoked chains.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::{Credential, Mode, Standing};

use super::{START, at, grant, keyed, keys, load, revoked};
use crate::{Activation, Revoked, Store, Version};

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
