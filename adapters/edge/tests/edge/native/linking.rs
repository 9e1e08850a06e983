//! Links and the causes of their end.

use core::time::Duration;

use handfast_core::Span;
use handfast_core::flow::native::node::NativeMemory;
use handfast_edge::native::NativeCommand;
use handfast_edge::transport::Broken;

use super::board::{Cells, Told, Wire, console, kept, live, own, story, story_over};
use super::gateway::Gateway;
use crate::node::Fuse;

#[tokio::test(start_paused = true)]
async fn a_linked_node_tells_how_it_is_every_minute() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        gateway.observed();
        tokio::time::sleep(Duration::from_secs(10 * 60)).await;
        let observed = gateway.observed();
        assert!((10..=50).contains(&observed), "{observed}");
        assert_eq!(gateway.live(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_links_again_when_its_gateway_was_restarted() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let id = hand.pairs_by_pin(&gateway).await;
        for _ in 0..3 {
            // At a moment when no heartbeat is due.
            tokio::time::sleep(Duration::from_secs(45)).await;
            gateway.restart();
            assert_eq!(hand.told().await, Told::NoConnection(Broken::Eof));
            assert_eq!(hand.until_linked().await, id);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_restarts_while_the_pin_is_typed_shows_another() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pair(handfast_core::flow::native::node::PairMethod::Pin);
        hand.until(&Told::TypeThePin(5)).await;
        let first = gateway.pin();
        gateway.restart();
        hand.until(&Told::NoConnection(Broken::Eof)).await;
        // The first PIN is no longer awaited, and must not be stored for later.
        hand.types(&first);
        hand.pairs_by_pin(&gateway).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_links_without_its_owner() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    let id = story(&gateway, &cells, async |mut hand| hand.pairs_by_pin(&gateway).await).await;
    let key = *own(&cells).await.channel.public();
    for _ in 0..2 {
        story(&gateway, &cells, async |mut hand| assert_eq!(hand.told().await, Told::Linked(id)))
            .await;
    }
    assert_eq!(*own(&cells).await.channel.public(), key, "the keys are made once");
}

#[tokio::test(start_paused = true)]
async fn an_unpaired_node_forgets_at_once_and_keeps_its_keys() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        gateway.unpair();
        hand.until(&Told::Unpaired).await;
        assert_eq!(hand.told().await, Told::Forgotten);
        assert_eq!(kept(&cells).await, NativeMemory::Blank);
        let _ = own(&cells).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_forgets_leaves_the_link_and_nothing_of_the_pairing_in_flash() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        hand.say(NativeCommand::Forget);
        assert_eq!(hand.told().await, Told::Forgotten);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(gateway.live(), 0);
        let key = *gateway.key().as_bytes();
        assert!(!cells.bytes().windows(16).any(|window| window == &key[..16]));
        hand.pairs_by_pin(&gateway).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn to_stop_ends_the_link_and_the_pump() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    let fuse = Fuse::of(None);
    let (owner, mut hand) = console(&fuse);
    let story = async {
        hand.pairs_by_pin(&gateway).await;
        hand.say(NativeCommand::Stop);
    };
    tokio::join!(live(&gateway, Wire::Clean(4096), &cells, fuse, owner), story);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gateway.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_answers_is_asked_again_with_growing_waits() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    let id = story(&gateway, &cells, async |mut hand| hand.pairs_by_pin(&gateway).await).await;
    story_over(&gateway, Wire::Dead, &cells, async |mut hand| {
        let mut longest = Span::from_secs(0);
        for _ in 0..10 {
            let Told::RetryIn(wait) = hand.told().await else { panic!("neither linked nor lost") };
            longest = longest.max(wait);
        }
        assert!(longest > Span::from_secs(40), "{longest:?}");
    })
    .await;
    story(&gateway, &cells, async |mut hand| assert_eq!(hand.told().await, Told::Linked(id))).await;
}
