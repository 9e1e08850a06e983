//! The gateway's addresses as nodes know them.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::NodeId;
use handfast_core::registry::record::{Cause, Standing};

use super::{START, keyed, load, paired, record};
use crate::audit::What;
use crate::{NodeAddresses, Store};

const NEW: &str = "tcp://10.0.0.2:7331 ws://gateway.local:8765";

fn list() -> String {
    NEW.to_owned()
}

async fn of(store: &dyn Store, node_id: NodeId) -> (Option<String>, Option<String>) {
    let NodeAddresses { told, confirmed } = store.addresses_of(node_id).await.unwrap();
    (told, confirmed)
}

pub async fn a_node_is_to_know_a_list_and_has_confirmed_one(store: Arc<dyn Store>) {
    let nodes = [keyed(), keyed()];
    for node in &nodes {
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    let [first, second] = [nodes[0].node_id, nodes[1].node_id];
    assert_eq!(of(&*store, first).await, (None, None));
    store.confirm_addresses(first, "ws://old:1".to_owned()).await.unwrap();
    assert_eq!(store.move_nodes(Some(first), list(), START).await.unwrap(), 1);
    assert_eq!(of(&*store, first).await, (Some(list()), Some("ws://old:1".to_owned())));
    assert_eq!(of(&*store, second).await, (None, None));
    for _ in 0..2 {
        store.confirm_addresses(first, list()).await.unwrap();
    }
    assert_eq!(of(&*store, first).await, (Some(list()), Some(list())));
    // What is unknown is confirmed in vain, and cannot be moved.
    let unknown = NodeId::from_bytes([9; 16]);
    store.confirm_addresses(unknown, list()).await.unwrap();
    assert_eq!(store.move_nodes(Some(unknown), list(), START).await.unwrap(), 0);
    assert_eq!(of(&*store, unknown).await, (None, None));
}

pub async fn all_nodes_that_are_paired_by_their_keys_are_moved_at_once(store: Arc<dyn Store>) {
    let nodes = [keyed(), keyed(), keyed()];
    for node in &nodes {
        store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    }
    // A node with a token is told nothing.
    let other = record(paired());
    store.insert(other.clone(), "{}".to_owned(), START).await.unwrap();
    let (_, version) = load(&*store, nodes[2].node_id).await.unwrap();
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    store.save(nodes[2].node_id, version, revoked, START).await.unwrap();
    let before = store.audit_head(None).await.unwrap().unwrap().size;
    assert_eq!(store.move_nodes(Some(other.node_id), list(), START).await.unwrap(), 0);
    assert_eq!(store.audit_head(None).await.unwrap().unwrap().size, before);
    assert_eq!(store.move_nodes(None, list(), START).await.unwrap(), 2);
    let lines = store.audit_lines(before, 9).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(What::Move.as_str()) && lines[0].contains("\"count\":2"),
        "{lines:?}"
    );
    let mut listed = store.addressed_nodes(None, 1).await.unwrap();
    assert_eq!(listed.len(), 1);
    let after = Some(listed[0].node_id);
    listed.extend(store.addressed_nodes(after, 9).await.unwrap());
    let mut ids = [nodes[0].node_id, nodes[1].node_id];
    ids.sort();
    assert_eq!(listed.iter().map(|node| node.node_id).collect::<Vec<_>>(), ids);
    assert!(listed.iter().all(|node| node.addresses.told == Some(list())));
    assert!(listed.iter().all(|node| !node.name.is_empty()));
}
