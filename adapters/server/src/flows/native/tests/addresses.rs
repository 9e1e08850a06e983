//! The addresses that nodes are told, over real connections and with a real store.

use std::time::Duration;

use handfast_core::Span;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::{FromGateway, FromNode, Hello, Policy};
use handfast_core::wire::registration::Heartbeat;

use super::World;
use super::client::Client;

const NEW: [&str; 2] = ["tcp://10.0.0.2:7331", "ws://gateway.local:8765"];

fn new() -> Vec<String> {
    NEW.iter().map(|&text| text.to_owned()).collect()
}

/// Links as a node that keeps addresses.
async fn linked(world: &World) -> Client {
    let mut client = Client::link(world.tcp().await, &world.keys, &world.key()).await.unwrap();
    let features = Features::PING.with(Features::ADDRESSES);
    client.say(&FromNode::Hello(Hello { features, mark: None, holds: None })).await;
    client.say(&FromNode::Heartbeat(Heartbeat::default())).await;
    client
}

/// Hears the next list, and the number of the ping behind it.
async fn told(client: &mut Client) -> (String, u32) {
    let list = client
        .hear(|message| match message {
            FromGateway::Policy(Policy::GatewayAddress(list)) => list.as_str().to_owned(),
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
    (list, number)
}

async fn confirmed(world: &World) -> bool {
    world.gateway.moved_node(world.node_id).await.unwrap().confirmed
}

async fn until_confirmed(world: &World) {
    for _ in 0..500 {
        if confirmed(world).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", world.gateway.moved_node(world.node_id).await);
}

#[tokio::test]
async fn a_linked_node_is_told_at_once_and_counts_once_it_has_answered() {
    let world = World::new().await;
    let mut client = linked(&world).await;
    while !world.gateway.moved_node(world.node_id).await.unwrap().online {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Its answer follows its first heartbeat, for which there was nothing to tell.
    let (gateway, node_id) = (world.gateway.clone(), world.node_id);
    let pinged = tokio::spawn(async move { gateway.ping(node_id).await });
    let number = client
        .hear(|message| match message {
            FromGateway::Ping { number } => number,
            other => panic!("{other:?}"),
        })
        .await
        .unwrap();
    client.say(&FromNode::Pong { number }).await;
    pinged.await.unwrap().unwrap();
    assert_eq!(world.gateway.move_nodes(Some(world.node_id), &new()).await.unwrap(), 1);
    let (list, number) = told(&mut client).await;
    assert_eq!(list, NEW.join(" "));
    assert!(!confirmed(&world).await);
    client.say(&FromNode::Pong { number }).await;
    until_confirmed(&world).await;
    // The next link is told nothing more.
    drop(client);
    let mut client = linked(&world).await;
    world.gateway.move_nodes(None, &new()[..1]).await.unwrap();
    assert_eq!(told(&mut client).await.0, NEW[0]);
}

#[tokio::test]
async fn a_node_that_is_away_is_told_over_its_next_link() {
    let world = World::new().await;
    assert_eq!(world.gateway.move_nodes(None, &new()).await.unwrap(), 1);
    let before = world.gateway.moved_nodes(None, 9).await.unwrap();
    assert_eq!((before.len(), before[0].confirmed, before[0].online), (1, false, false));
    let mut client = linked(&world).await;
    let (list, number) = told(&mut client).await;
    assert_eq!(list, NEW.join(" "));
    client.say(&FromNode::Pong { number }).await;
    until_confirmed(&world).await;
}

#[tokio::test]
async fn an_answer_to_a_ping_that_was_not_sent_confirms_nothing() {
    let world = World::new().await;
    let mut client = linked(&world).await;
    client.say(&FromNode::Pong { number: u32::MAX - 1 }).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.gateway.move_nodes(None, &new()).await.unwrap();
    told(&mut client).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!confirmed(&world).await);
}

#[tokio::test]
async fn a_node_that_keeps_no_addresses_hears_of_none() {
    let world = World::new().await;
    world.gateway.move_nodes(None, &new()).await.unwrap();
    let mut client = world.linked(world.tcp().await).await;
    client.say(&FromNode::Heartbeat(Heartbeat::default())).await;
    // The key is told over every link, so it is the first message here.
    world.gateway.rotate_key(Some(Span::from_secs(3_600))).await.unwrap();
    client.say(&FromNode::Heartbeat(Heartbeat::default())).await;
    let heard =
        client.hear(|message| matches!(message, FromGateway::Policy(Policy::GatewayKey(_))));
    assert!(heard.await.unwrap());
}
