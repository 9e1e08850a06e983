//! The alarm about nodes whose state was copied.

use handfast_core::registry::record::Record;
use handfast_core::wire::native::link::{CloneMark, FromGateway, FromNode, Policy};

use super::*;
use crate::events::Event;
use crate::gateway::clone_marks::CloneMarks;

/// Links, stores the mark that is offered, and confirms it.
async fn takes_mark(world: &World, own: &OwnKeys, shows: Option<CloneMark>) -> (Client, CloneMark) {
    let mut client = links(world, own, shows).await;
    let mark = hears(&mut client, |message| match message {
        FromGateway::Mark(mark) => Some(mark),
        _ => None,
    })
    .await;
    client.say(&FromNode::MarkStored(mark)).await;
    is_confirmed(world, mark).await;
    (client, mark)
}

async fn is_confirmed(world: &World, mark: CloneMark) {
    let (value, _) = mark.as_bytes().split_first_chunk().unwrap();
    let value = u64::from_be_bytes(*value);
    loop {
        let kept = world.gateway.inner.store.clone_counter(world.node_id).await.unwrap();
        if kept.is_some_and(|kept| kept.counter.confirmed == Some(value)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

async fn is_muted(client: &mut Client) -> bool {
    hears(client, |message| match message {
        FromGateway::Policy(policy) => Some(policy == Policy::Mute),
        FromGateway::Mark(_) => Some(false),
        _ => None,
    })
    .await
}

/// A mark of this gateway with another value.
async fn mark_of(world: &World, value: u64) -> CloneMark {
    let record: Record = world.gateway.load(world.node_id).await.unwrap().record;
    let keys = world.gateway.inner.clone_marks.keys();
    CloneMark::make(&keys[0], &record.keys.unwrap().channel, value)
}

#[tokio::test]
async fn a_node_that_shows_a_mark_of_nobody_after_it_had_one_is_in_quarantine_until_it_is_released()
{
    let world = World::new().await;
    let mut events = world.gateway.inner.pairing.feed.subscribe();
    let (client, mark) = takes_mark(&world, &world.keys, None).await;
    drop(client);
    let foreign = CloneMark::from_bytes([7; 24]);
    let mut copy = links(&world, &world.keys, Some(foreign)).await;
    assert!(is_muted(&mut copy).await);
    let alarm = loop {
        if let Event::CloneAlarm { node_id, older, newer } = events.recv().await.unwrap() {
            break (node_id, older.is_some(), newer.address);
        }
    };
    assert_eq!(alarm, (world.node_id, true, [127, 0, 0, 1].into()));
    assert_eq!(world.gateway.quarantined().await.unwrap().len(), 1);
    // The right mark ends no quarantine: both machines hold the key.
    let mut owner = links(&world, &world.keys, Some(mark)).await;
    assert!(is_muted(&mut owner).await);
    world.gateway.release_node(world.node_id).await.unwrap();
    assert!(world.gateway.release_node(world.node_id).await.is_err(), "it is in none any more");
    let (_owner, next) = takes_mark(&world, &world.keys, Some(mark)).await;
    assert_ne!(next, mark);
    assert!(world.gateway.quarantined().await.unwrap().is_empty());
}

#[tokio::test]
async fn links_that_are_cut_before_the_mark_is_confirmed_raise_no_alarm() {
    let world = World::new().await;
    let offered = async |shows| {
        let mut client = links(&world, &world.keys, shows).await;
        hears(&mut client, |message| match message {
            FromGateway::Mark(mark) => Some(mark),
            FromGateway::Policy(_) => panic!("it is muted"),
            _ => None,
        })
        .await
    };
    let first = offered(None).await;
    for _ in 0..20 {
        // Whether the node had stored it or not, it is the same one.
        assert_eq!(offered(None).await, first);
    }
    // The first link that shows it confirms it, although no confirmation came.
    let _client = links(&world, &world.keys, Some(first)).await;
    is_confirmed(&world, first).await;
    assert!(world.gateway.quarantined().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_gateway_that_is_older_than_its_nodes_says_so_and_alarms_nobody() {
    let world = World::new().await;
    let (client, _) = takes_mark(&world, &world.keys, None).await;
    drop(client);
    assert_eq!(world.gateway.older_than_nodes(), None);
    let later = mark_of(&world, 41).await;
    let mut events = world.gateway.inner.pairing.feed.subscribe();
    let _node = links(&world, &world.keys, Some(later)).await;
    loop {
        match events.recv().await.unwrap() {
            Event::GatewayIsOlder { node_id } => break assert_eq!(node_id, world.node_id),
            Event::CloneAlarm { .. } => panic!("nobody copied it"),
            _ => {}
        }
    }
    let sign = world.gateway.older_than_nodes().expect("status says so");
    assert_eq!(sign.node_id, world.node_id);
    assert!(world.gateway.quarantined().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_key_of_marks_alarms_nobody_and_the_older_ones_still_tell_a_copy() {
    let world = World::new().await;
    let (client, mark) = takes_mark(&world, &world.keys, None).await;
    drop(client);
    for older in 1..=3 {
        assert_eq!(world.gateway.rotate_mark_key().await.unwrap(), older);
    }
    // The mark of an older key counts, and what is made now is made under the new one.
    drop(links(&world, &world.keys, Some(mark)).await);
    let made = mark_of(&world, 41).await;
    let holder = world.keys.channel.public();
    assert_eq!(made.read(&world.gateway.inner.clone_marks.keys()[..1], holder), Some(41));
    // The store has the keys in the same order, so a restart reads every mark that is out.
    let (inner, seal) = (&world.gateway.inner, &world.gateway.inner.pairing.seal);
    let again = CloneMarks::open(&*inner.store, seal).await.unwrap();
    assert_eq!((again.keys().len(), made.read(&again.keys()[..1], holder)), (4, Some(41)));
    assert!(world.gateway.quarantined().await.unwrap().is_empty());
    let mut copy = links(&world, &world.keys, Some(CloneMark::from_bytes([7; 24]))).await;
    assert!(is_muted(&mut copy).await);
    assert_eq!(world.gateway.quarantined().await.unwrap().len(), 1);
}

#[tokio::test]
async fn so_many_keys_of_marks_are_kept_and_no_more() {
    let world = World::new().await;
    let made = mark_of(&world, 41).await;
    let holder = world.keys.channel.public();
    let reads = || made.read(&world.gateway.inner.clone_marks.keys(), holder);
    for older in [1, 2, 3, 4, 5, 6, 7] {
        assert_eq!(world.gateway.rotate_mark_key().await.unwrap(), older);
        assert_eq!(reads(), Some(41));
    }
    assert_eq!(world.gateway.rotate_mark_key().await.unwrap(), 7);
    assert_eq!(reads(), None);
}
