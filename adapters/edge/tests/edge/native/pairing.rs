//! Pairing by every method, over every kind of wire.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{NativeMemory, PairMethod, Trust};
use handfast_core::wire::native::pair::Selector;
use handfast_edge::native::NativeCommand;

use super::board::{Cells, Told, Wire, fingerprint, kept, own, story, story_over};
use super::gateway::Gateway;

#[tokio::test(start_paused = true)]
async fn a_node_pairs_by_pin_and_links_with_its_keys() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pair(PairMethod::Pin);
        assert_eq!(hand.told().await, Told::Gateway(Trust::Code));
        assert_eq!(hand.told().await, Told::TypeThePin(5));
        hand.types(&gateway.pin());
        assert_eq!(hand.told().await, Told::Confirmed);
        let Told::Granted(id) = hand.told().await else { panic!("no grant") };
        assert_eq!(hand.told().await, Told::Linked(id));
        let NativeMemory::Paired(paired) = kept(&cells).await else { panic!("nothing kept") };
        assert_eq!((paired.gateway, paired.node_id), (gateway.key(), id));
        let registered = gateway.registry().records[&id].keys.unwrap().channel;
        assert_eq!(registered, *own(&cells).await.channel.public());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_pin_costs_a_guess_and_the_right_one_still_pairs() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pair(PairMethod::Pin);
        hand.until(&Told::TypeThePin(5)).await;
        hand.types("000000");
        assert_eq!(hand.told().await, Told::WrongCode(4));
        hand.types("111111");
        assert_eq!(hand.told().await, Told::WrongCode(3));
        hand.types(&gateway.pin());
        assert_eq!(hand.told().await, Told::Confirmed);
        hand.until_linked().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn five_wrong_pins_end_it_and_nothing_is_kept() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pair(PairMethod::Pin);
        hand.until(&Told::TypeThePin(5)).await;
        for left in (1..5).rev() {
            hand.types("000000");
            assert_eq!(hand.told().await, Told::WrongCode(left));
        }
        hand.types("000000");
        assert_eq!(hand.told().await, Told::News("PairingRefused(Locked)".to_owned()));
        assert_eq!(kept(&cells).await, NativeMemory::Blank);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_come_in_pieces_of_any_size_pair_as_well() {
    for room in [1, 2, 3, 7, 63, 64, 65, 500] {
        let (gateway, cells) = (Gateway::new(), Cells::erased());
        story_over(&gateway, Wire::Clean(room), &cells, async |mut hand| {
            hand.pairs_by_pin(&gateway).await
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_on_the_line_before_the_first_frame_does_no_harm() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story_over(&gateway, Wire::Noisy, &cells, async |mut hand| hand.pairs_by_pin(&gateway).await)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_waits_for_its_approval_and_links_once_it_has_come() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        hand.pair(PairMethod::Approval);
        assert_eq!(hand.told().await, Told::Gateway(Trust::FirstUse));
        hand.until(&Told::Waits).await;
        tokio::task::yield_now().await;
        assert_eq!(kept(&cells).await, NativeMemory::Asked { gateway: gateway.key() });
        gateway.approve();
        hand.until_linked().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_code_that_was_minted_pairs_with_the_gateway_that_minted_it() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    gateway.mint("K7QF", "847291");
    let wish = |secret| PairMethod::Code {
        selector: Selector::parse("K7QF").unwrap(),
        code: Code::parse(secret).unwrap(),
    };
    story(&gateway, &cells, async |mut hand| {
        hand.pair(wish("000000"));
        hand.until(&Told::WrongCode(4)).await;
        hand.types("847291");
        hand.until_linked().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_not_the_expected_one_learns_nothing() {
    let (gateway, cells) = (Gateway::new(), Cells::erased());
    story(&gateway, &cells, async |mut hand| {
        let other = Fingerprint::parse("AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO").unwrap();
        hand.say(NativeCommand::Pair(PairMethod::Pin, Some(other)));
        assert_eq!(hand.told().await, Told::OtherGateway);
        assert!(gateway.registry().pins.is_empty());
        hand.say(NativeCommand::Pair(PairMethod::Pin, Some(fingerprint(&gateway))));
        hand.until(&Told::Gateway(Trust::Pinned)).await;
    })
    .await;
}
