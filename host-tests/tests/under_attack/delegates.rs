//! A node that delegates its rights to more keys than the gateway has room for.

use std::net::SocketAddr;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::wire::native::open::Intent;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::operator::{delivered, gets, posts};
use super::peer::{Paired, Peer, handed_on, keys, pairs};
use super::{HOME, STRANGER, address};
use crate::cli::gateway::Gateway;
use crate::conformance::eventually;

/// Pairs a node that may read and write the lights.
async fn paired(gateway: &Gateway, name: &str) -> Paired {
    let new =
        json!({"kind": "typed", "permissions": {"read": ["/lights/**"], "write": ["/lights/**"]}});
    let minted = posts(gateway, "/api/v1/pairing/codes", &new);
    delivered(gateway, &minted);
    pairs(address(gateway), HOME, name, minted["code"].as_str().unwrap()).await
}

/// Connects with a key to which the node has delegated a token, and presents it.
async fn delegate(gateway: SocketAddr, node: &Paired) -> Option<Peer> {
    let own = keys();
    let chain = handed_on(node, &own, &["read:/lights/1"]);
    let mut peer = Peer::meets(gateway, STRANGER, Intent::Delegate, &own).await?;
    peer.presents(&chain).await.then_some(peer)
}

/// Returns the delegates that are listed under the node with this name.
fn listed(gateway: &Gateway, name: &str) -> Vec<Value> {
    let paired = gets(gateway, "/api/v1/paired");
    let node = paired["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|view| view["device"]["friendly_name"] == name)
        .unwrap();
    node["delegates"].as_array().unwrap().clone()
}

fn linked(gateway: &Gateway) -> u64 {
    gets(gateway, "/api/v1/status")["linked"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_keys_of_one_node_take_what_other_nodes_leave_and_turn_none_of_them_away() {
    let gateway = Gateway::start_quietly(&["--linked-total", "10"]);
    let to = address(&gateway);
    let mut nodes = Vec::new();
    for name in ["Generous", "A", "B", "C", "D", "E", "F", "G", "H", "I"] {
        nodes.push(paired(&gateway, name).await);
    }
    let mut links = vec![Peer::links(to, STRANGER, &nodes[0]).await.unwrap()];
    let mut delegates = Vec::new();
    for _ in 0..10 {
        delegates.extend(delegate(to, &nodes[0]).await);
    }
    assert_eq!(delegates.len(), 4, "those of one subject have a share");
    for node in &nodes[1..] {
        links.push(
            Peer::links(to, HOME, node)
                .await
                .expect("a node is let in, however many delegates are"),
        );
    }
    eventually(async || linked(&gateway) == 10).await;
    for delegate in &mut delegates {
        assert!(delegate.is_ended().await, "they made room");
    }
    assert!(delegate(to, &nodes[0]).await.is_none(), "and find none any more");
    eventually(async || {
        listed(&gateway, "Generous").iter().all(|delegate| delegate["status"] == "offline")
    })
    .await;
    let paired = gets(&gateway, "/api/v1/paired");
    assert!(
        paired["items"].as_array().unwrap().iter().all(|view| view["device"]["status"] == "online"),
        "{paired}"
    );
    drop(links);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_remembered_delegates_of_one_node_push_out_nobody_elses() {
    let gateway = Gateway::start_quietly(&[]);
    let to = address(&gateway);
    let (generous, modest) = (paired(&gateway, "Generous").await, paired(&gateway, "Modest").await);
    let own = keys();
    let mut peer = Peer::meets(to, HOME, Intent::Delegate, &own).await.unwrap();
    assert!(peer.presents(&handed_on(&modest, &own, &["read:/lights/1"])).await);
    drop(peer);
    let begun = std::time::Instant::now();
    let generous = std::sync::Arc::new(generous);
    let mut crowd = JoinSet::new();
    for _ in 0..16 {
        let generous = std::sync::Arc::clone(&generous);
        crowd.spawn(async move {
            let mut let_in = 0;
            for _ in 0..260 {
                let_in += usize::from(delegate(to, &generous).await.is_some());
            }
            let_in
        });
    }
    let let_in: usize = crowd.join_all().await.into_iter().sum();
    println!("{let_in} delegates of one node came and went in {:?}", begun.elapsed());
    assert!(let_in > 4096, "{let_in}");
    assert_eq!(listed(&gateway, "Generous").len(), 4095);
    let kept = listed(&gateway, "Modest");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["fingerprint"], Fingerprint::of(own.channel.public()).to_string());
}
