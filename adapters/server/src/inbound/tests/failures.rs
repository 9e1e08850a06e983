//! Failures, none of which admits a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use handfast_core::Span;
use handfast_core::registry::inbound::InboundLimits;
use handfast_store::Inbound;

use super::world::{Does, Moody, Odd, World, memory};
use crate::inbound::{
    ChannelPolicy, GateError, InboundError, InboundSettings, Incoming, MessageAdmission,
};

#[tokio::test]
async fn a_store_that_fails_is_an_error_and_nobody_is_let_in() {
    let moody = Arc::new(Moody::new(memory()));
    let store: Arc<dyn Inbound> = Arc::<Moody>::clone(&moody);
    // Nothing is cached, so that each message reads the store.
    let world =
        World::with(&store, InboundSettings { remembered: 0, ..InboundSettings::default() });
    world.let_in("chat", "a", "friend").await;
    let code = world.challenge("chat", "a", "stranger").await.code;

    moody.facts_fail.store(true, Ordering::SeqCst);
    for sender in ["friend", "stranger", "another"] {
        let message = Incoming::new("chat", "a", sender);
        assert!(
            matches!(world.gate.should_admit(message).await, Err(GateError::Store(_))),
            "{sender}"
        );
        assert!(matches!(world.gate.receive(message).await, Err(GateError::Store(_))), "{sender}");
    }
    assert_eq!(world.counted(r#"pairing_inbound_total{channel="chat",decision="failed"}"#), 6);

    moody.facts_fail.store(false, Ordering::SeqCst);
    moody.challenges_fail.store(true, Ordering::SeqCst);
    let message = Incoming::new("chat", "a", "another");
    assert!(matches!(world.gate.should_admit(message).await, Err(GateError::Store(_))));
    for _ in 0..20 {
        let refused = world.gate.approve(code.as_str(), "test", None).await;
        assert!(
            matches!(refused, Err(InboundError::Store(_))),
            "a failure is no guess: {refused:?}"
        );
    }
    moody.challenges_fail.store(false, Ordering::SeqCst);
    moody.codes_are_taken.store(true, Ordering::SeqCst);
    assert!(matches!(world.gate.should_admit(message).await, Err(GateError::NoFreeCode)));
    moody.codes_are_taken.store(false, Ordering::SeqCst);
    assert!(matches!(world.gate.should_admit(message).await, Ok(MessageAdmission::Challenge(_))));
    assert!(world.is_admitted("chat", "a", "friend").await, "it goes on as soon as the store does");
}

#[tokio::test]
async fn a_failure_to_tell_a_code_again_is_an_error_too() {
    let moody = Arc::new(Moody::new(memory()));
    let store: Arc<dyn Inbound> = Arc::<Moody>::clone(&moody);
    let limits = InboundLimits { told_every: Span::from_secs(0), ..InboundLimits::DEFAULT };
    let world = World::with(&store, InboundSettings { limits, ..InboundSettings::default() });
    world.challenge("chat", "a", "ana").await;
    moody.challenges_fail.store(true, Ordering::SeqCst);
    assert!(matches!(
        world.gate.should_admit(Incoming::new("chat", "a", "ana")).await,
        Err(GateError::Store(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_does_not_name_its_senders_is_an_error_and_nothing_of_it_is_kept() {
    for naming in [Does::Fails, Does::Panics, Does::NeverEnds] {
        let world = World::new(&memory());
        world.let_in("odd", "a", "ana").await;
        let (odd, _sent) = Odd::new(naming, Does::Fine);
        world.gate.channels().register(odd);
        let message = Incoming::new("odd", "a", "ana");
        assert!(
            matches!(world.gate.should_admit(message).await, Err(GateError::Adapter(_))),
            "{naming:?}"
        );
        assert!(
            matches!(world.gate.receive(message).await, Err(GateError::Adapter(_))),
            "{naming:?}"
        );
        let change = handfast_store::SenderChange::Block;
        assert!(matches!(
            world.gate.change("odd", None, "ana", change).await,
            Err(InboundError::Adapter(_))
        ));
        assert_eq!(world.gate.remembered(), 0);

        let public = Incoming { policy: Some(ChannelPolicy { auto_challenge: false }), ..message };
        let MessageAdmission::Admit(admitted) = world.gate.should_admit(public).await.unwrap()
        else {
            panic!("it is public")
        };
        assert_eq!(admitted.sender(), None, "but nobody says who it is");

        let (odd, _sent) = Odd::new(Does::Fine, Does::Fine);
        world.gate.channels().register(odd);
        assert!(world.is_admitted("odd", "a", "Ana").await, "a failure was no answer");
    }
}
