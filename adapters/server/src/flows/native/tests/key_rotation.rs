//! The rotation of the gateway's key, over real connections and with a real store.

use std::time::Duration;

use handfast_core::Span;
use handfast_core::secret::Secret;
use handfast_core::wire::native::link::{FromGateway, FromNode, Policy};
use handfast_core::wire::registration::Heartbeat;
use handfast_store::SqliteStore;

use super::client::Client;
use super::{World, later};
use crate::Gateway;
use crate::operator::NewCode;

/// Hears the next message that names a key, and answers the ping behind it.
async fn takes_key(client: &mut Client) -> [u8; 32] {
    client.say(&FromNode::Heartbeat(Heartbeat::default())).await;
    let key = client
        .hear(|message| match message {
            FromGateway::Policy(Policy::GatewayKey(key)) => *key.as_bytes(),
            other => panic!("{other:?}"),
        })
        .await
        .unwrap();
    let number = client
        .hear(|message| match message {
            FromGateway::Ping { number } => number,
            other => panic!("{other:?}"),
        })
        .await
        .unwrap();
    client.say(&FromNode::Pong { number }).await;
    key
}

/// Waits until so many nodes know the new key.
async fn known_to(gateway: &Gateway, nodes: u64) {
    for _ in 0..200 {
        let rotation = gateway.key_rotation().await.unwrap().expect("a rotation is under way");
        if rotation.know == nodes {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", gateway.key_rotation().await);
}

#[tokio::test]
async fn a_linked_node_is_told_the_new_key_and_counts_once_it_has_stored_it() {
    let world = World::new().await;
    let old = world.key();
    let mut client = world.linked(world.tcp().await).await;
    assert_eq!(world.gateway.key_rotation().await.unwrap(), None);
    let shown = world.gateway.fingerprint();
    let rotation = world.gateway.rotate_key(None).await.unwrap();
    assert_eq!((rotation.older, rotation.know, rotation.lack), (shown, 0, 1));
    assert_ne!(world.gateway.fingerprint(), shown);
    let told = takes_key(&mut client).await;
    assert_eq!(&told, world.key().as_bytes());
    assert_ne!(world.key(), old);
    known_to(&world.gateway, 1).await;
    // It links with the key that it was told.
    drop(client);
    Client::link(world.tcp().await, &world.keys, &world.key()).await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_away_links_with_the_older_key_until_the_overlap_is_finished() {
    let world = World::new().await;
    let old = world.key();
    world.gateway.rotate_key(Some(Span::from_secs(3_600))).await.unwrap();
    let mut client = Client::link(world.tcp().await, &world.keys, &old).await.unwrap();
    client.greet(None).await;
    assert_eq!(&takes_key(&mut client).await, world.key().as_bytes());
    known_to(&world.gateway, 1).await;
    drop(client);
    assert!(world.gateway.finish_key_rotation().await.unwrap());
    assert!(!world.gateway.finish_key_rotation().await.unwrap());
    assert_eq!(world.gateway.key_rotation().await.unwrap(), None);
    assert!(Client::link(world.tcp().await, &world.keys, &old).await.is_err());
    Client::link(world.tcp().await, &world.keys, &world.key()).await.unwrap();
}

#[tokio::test]
async fn codes_of_the_older_key_end_with_it_and_the_log_keeps_its_name() {
    let world = World::new().await;
    let gateway = &world.gateway;
    let before = gateway.audit_checkpoint(None).await.unwrap();
    gateway.mint_code(NewCode::default()).await.unwrap();
    gateway.rotate_key(None).await.unwrap();
    assert!(gateway.codes().await.unwrap().is_empty());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    gateway.mint_code(NewCode::default()).await.unwrap();
    assert_eq!(gateway.codes().await.unwrap().len(), 1);
    let after = gateway.audit_checkpoint(Some(before.checkpoint.size)).await.unwrap();
    assert_eq!(after.checkpoint.origin, before.checkpoint.origin);
    assert_eq!(after.key.to_string(), before.key.to_string());
}

#[tokio::test]
async fn while_an_overlap_runs_there_is_no_third_key_and_a_bad_overlap_is_refused() {
    let world = World::new().await;
    for seconds in [60, 401 * 86_400] {
        let refused = world.gateway.rotate_key(Some(Span::from_secs(seconds))).await.unwrap_err();
        assert!(refused.to_string().contains("1 hour to 400 days"), "{refused}");
    }
    world.gateway.rotate_key(None).await.unwrap();
    let refused = world.gateway.rotate_key(None).await.unwrap_err();
    assert!(refused.to_string().contains("rotate-key --finish"), "{refused}");
}

#[tokio::test]
async fn a_restart_in_the_overlap_keeps_both_keys_and_what_the_nodes_know() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    let open = || {
        let store = SqliteStore::open(&path).unwrap();
        Gateway::builder(store).store_key(Secret::new([7; 32]))
    };
    let world = World::of(open(), later()).await;
    let old = world.key();
    world.gateway.rotate_key(None).await.unwrap();
    // Without a listener, which would keep the gateway of before.
    world.gateway.knows_key(world.node_id, &world.key()).await;
    known_to(&world.gateway, 1).await;
    let before = world.gateway.key_rotation().await.unwrap();
    let World { gateway, keys, .. } = world;
    gateway.shut_down();
    drop(gateway);
    let mut again = None;
    for _ in 0..200 {
        // The store of before is closed once its last connection is gone.
        match SqliteStore::open(&path) {
            Ok(store) => {
                let builder = Gateway::builder(store).store_key(Secret::new([7; 32]));
                again = Some(builder.start().await.unwrap());
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    let again = again.expect("the store opens again");
    assert_eq!(again.key_rotation().await.unwrap(), before);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve_tcp(again.clone(), listener, std::future::pending()));
    for key in [old, *again.keys().channel.public()] {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let wire = super::Wire::Tcp(super::FramedTransport::new(stream));
        Client::link(wire, &keys, &key).await.unwrap();
    }
}
