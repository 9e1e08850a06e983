//! Nodes' knowledge of the gateway's key.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::registry::record::{Cause, Standing};

use super::{START, keyed, load, paired, record};
use crate::{KeyCounts, Store};

fn key(byte: u8) -> PublicKey {
    PublicKey::parse(&[byte; 32]).unwrap()
}

async fn counts(store: &dyn Store, of: u8) -> (u64, u64) {
    let KeyCounts { know, lack } = store.key_counts(key(of)).await.unwrap();
    (know, lack)
}

pub async fn nodes_are_counted_by_the_key_that_they_have_proven_to_know(store: Arc<dyn Store>) {
    assert_eq!(counts(&*store, 1).await, (0, 0));
    let nodes = [keyed(), keyed(), keyed()];
    for node in &nodes {
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    // A node with a token knows no key.
    store.insert(record(paired()), "{}".to_owned(), START).await.unwrap();
    assert_eq!(counts(&*store, 1).await, (0, 3));
    for _ in 0..2 {
        store.knows_key(nodes[0].node_id, key(1)).await.unwrap();
    }
    store.knows_key(nodes[1].node_id, key(1)).await.unwrap();
    assert_eq!(counts(&*store, 1).await, (2, 1));
    // The next rotation begins with nobody.
    assert_eq!(counts(&*store, 2).await, (0, 3));
    store.knows_key(nodes[0].node_id, key(2)).await.unwrap();
    assert_eq!((counts(&*store, 1).await, counts(&*store, 2).await), ((1, 2), (1, 2)));
    store.knows_key(NodeId::from_bytes([9; 16]), key(2)).await.unwrap();
    assert_eq!(counts(&*store, 2).await, (1, 2));
    let (_, version) = load(&*store, nodes[2].node_id).await.unwrap();
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    store.save(nodes[2].node_id, version, revoked, START).await.unwrap();
    assert_eq!(counts(&*store, 2).await, (1, 1));
}
