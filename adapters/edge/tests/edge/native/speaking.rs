//! What a board says on its link, besides heartbeats.

use core::time::Duration;

use handfast_core::grant::scope::ScopesBuf;
use handfast_edge::native::{NativeCommand, NotSent};

use super::board::{Cells, Hand, Told, story};
use super::gateway::{Gateway, Heard, Sent};

/// Returns a gateway whose nodes may do this.
fn gateway_with(scopes: &str) -> Gateway {
    let gateway = Gateway::new();
    gateway.registry().scopes = Some(ScopesBuf::parse(scopes).unwrap());
    gateway
}

/// Says a command, and returns what the gateway heard within a second, less what it always hears.
async fn hears(gateway: &Gateway, hand: &Hand, command: NativeCommand) -> Vec<Heard> {
    gateway.registry().heard.clear();
    hand.say(command);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let heard = std::mem::take(&mut gateway.registry().heard);
    let said = |heard: &Heard| {
        matches!(heard, Heard::App(..) | Heard::Subscribed(_) | Heard::RenewalAsked)
    };
    heard.into_iter().filter(said).collect()
}

#[tokio::test(start_paused = true)]
async fn a_board_sends_a_reading_to_an_address_that_its_scopes_allow() {
    let (gateway, cells) = (gateway_with("write:/home/kitchen/**"), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        let heard = hears(&gateway, &hand, NativeCommand::Send(1)).await;
        let sent = Heard::App("/home/kitchen/temperature".to_owned(), b"21.5".to_vec());
        assert_eq!(heard, [sent]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_scope_allows_is_reported_as_refused() {
    let (gateway, cells) = (gateway_with("write:/home/kitchen/**"), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        assert_eq!(hears(&gateway, &hand, NativeCommand::Send(2)).await, []);
        loop {
            let Told::News(news) = hand.told().await else { continue };
            if news.contains("NotAllowed") {
                assert!(news.contains("/home/attic/lamp"), "{news}");
                break;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_board_subscribes_and_asks_for_a_new_grant() {
    let (gateway, cells) = (gateway_with("read:/home/kitchen/**"), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        let heard = hears(&gateway, &hand, NativeCommand::Subscribe(1)).await;
        assert_eq!(heard, [Heard::Subscribed("/home/kitchen/**".to_owned())]);
        let heard = hears(&gateway, &hand, NativeCommand::Renew).await;
        assert_eq!(heard, [Heard::RenewalAsked]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_is_reported_and_not_kept_for_later() {
    let (gateway, cells) = (gateway_with("write:/home/**"), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        for command in [NativeCommand::Send(1), NativeCommand::Subscribe(1), NativeCommand::Renew] {
            hand.say(command);
            assert_eq!(hand.told().await, Told::NotSent(NotSent::NoLink));
        }
        hand.pairs_by_pin(&gateway).await;
        assert_eq!(hears(&gateway, &hand, NativeCommand::Send(9)).await, []);
        hand.until(&Told::NotSent(NotSent::NoMessage)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_board_hands_the_gateways_addresses_to_its_owner_before_it_confirms_them() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pairs_by_pin(&gateway).await;
        gateway.send(Sent::Addresses("tcp://10.0.0.2:7331 ws://gateway.local:8765")).await;
        hand.until(&Told::News("at tcp://10.0.0.2:7331 ws://gateway.local:8765".to_owned())).await;
        for _ in 0..600 {
            if gateway.registry().heard.contains(&Heard::KnowsAddresses) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?}", gateway.registry().heard);
    })
    .await;
}
