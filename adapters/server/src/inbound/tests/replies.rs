//! Texts to senders.

use handfast_core::registry::inbound::InboundLimits;

use super::world::{Does, Odd, World, memory};
use crate::inbound::{InboundError, InboundSettings, Incoming, MessageAdmission};

const CHALLENGED: &str = r#"pairing_inbound_challenged_total{channel="odd",result="#;

fn challenged(world: &World, result: &str) -> u64 {
    world.counted(&format!(r#"{CHALLENGED}"{result}"}}"#))
}

/// Waits for counters of a background task, on a clock that advances only when nothing else runs.
async fn until(world: &World, result: &str, count: u64) {
    while challenged(world, result) < count {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_writes_a_hundred_times_is_told_once() {
    let world = World::new(&memory());
    let (odd, mut sent) = Odd::new(Does::Fine, Does::Fine);
    world.gate.channels().register(odd);
    for _ in 0..100 {
        assert!(world.gate.receive(Incoming::new("odd", "a", "Ana")).await.unwrap().is_none());
    }
    let (account, to, text) = sent.recv().await.unwrap();
    assert_eq!((account.as_str(), to.as_str()), ("a", "ana"));
    until(&world, "delivered_via_adapter", 1).await;
    assert_eq!(
        (challenged(&world, "delivered_via_adapter"), challenged(&world, "throttled")),
        (1, 99)
    );

    let code = world.challenge("odd", "a", "ana").await.code;
    assert!(text.contains(code.as_str()));
    world.gate.approve(code.as_str(), "test", None).await.unwrap();
    assert_eq!(sent.recv().await.unwrap().2, "You are let in.");
    let admitted = world.gate.receive(Incoming::new("odd", "a", "ANA")).await.unwrap().unwrap();
    assert_eq!(admitted.sender(), Some("ana"));
    assert!(sent.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_never_sends_holds_up_nobody_and_no_more_than_its_places() {
    let limits = InboundLimits { pending_of_account: 1000, ..InboundLimits::DEFAULT };
    let world = World::with(&memory(), InboundSettings { limits, ..InboundSettings::default() });
    let (odd, mut sent) = Odd::new(Does::Fine, Does::NeverEnds);
    world.gate.channels().register(odd);
    for number in 0..100 {
        let sender = format!("stranger {number}");
        assert!(world.gate.receive(Incoming::new("odd", "a", &sender)).await.unwrap().is_none());
    }
    assert_eq!(challenged(&world, "publish_failed"), 36, "more than 64 are not begun");
    until(&world, "publish_failed", 100).await;
    let begun = std::iter::from_fn(|| sent.try_recv().ok()).count();
    assert_eq!(begun, 64);
    assert!(world.gate.receive(Incoming::new("odd", "a", "one more")).await.unwrap().is_none());
    until(&world, "publish_failed", 101).await;
    assert!(sent.try_recv().is_ok(), "the places are free again");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_fails_or_panics_is_counted_and_changes_nothing_else() {
    for sending in [Does::Fails, Does::Panics] {
        let world = World::new(&memory());
        let (odd, _sent) = Odd::new(Does::Fine, sending);
        world.gate.channels().register(odd);
        assert!(world.gate.receive(Incoming::new("odd", "a", "ana")).await.unwrap().is_none());
        until(&world, "publish_failed", 1).await;
        let code = world.challenge("odd", "a", "ana").await.code;
        world.gate.approve(code.as_str(), "test", None).await.unwrap();
        assert!(matches!(world.ask("odd", "a", "ana").await, MessageAdmission::Admit(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_picture_is_sent_if_it_is_one_and_the_channel_can() {
    let png = b"\x89PNG\r\n\x1a\nrest";
    let world = World::new(&memory());
    let (odd, mut sent) = Odd::new(Does::Fine, Does::Fine);
    world.gate.channels().register(odd);
    world.gate.send_qr("odd", "a", "Ana", png).await.unwrap();
    assert_eq!(
        sent.recv().await.unwrap(),
        ("a".to_owned(), "ana".to_owned(), "12 bytes".to_owned())
    );
    assert!(matches!(
        world.gate.send_qr("odd", "a", "Ana", b"GIF89a").await,
        Err(InboundError::BadPng)
    ));
    let large = [png.as_slice(), &vec![0; crate::inbound::MOST_PNG_BYTES]].concat();
    assert!(matches!(
        world.gate.send_qr("odd", "a", "Ana", &large).await,
        Err(InboundError::BadPng)
    ));
    assert!(matches!(
        world.gate.send_qr("none", "a", "Ana", png).await,
        Err(InboundError::NoChannel(_))
    ));
    assert!(matches!(
        world.gate.send_qr("chat", "a", "Ana", png).await,
        Err(InboundError::Adapter(_))
    ));
    for sending in [Does::Panics, Does::NeverEnds] {
        let (odd, _sent) = Odd::new(Does::Fine, sending);
        world.gate.channels().register(odd);
        assert!(matches!(
            world.gate.send_qr("odd", "a", "Ana", png).await,
            Err(InboundError::Adapter(_))
        ));
    }
}
