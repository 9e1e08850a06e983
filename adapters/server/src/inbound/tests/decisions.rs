//! The decision table, line by line, as far as the gate and not core implements it.

use std::sync::Arc;

use handfast_core::Span;
use handfast_core::registry::inbound::InboundLimits;
use handfast_store::SenderChange;

use super::world::{Does, Odd, World, memory, stores};
use crate::inbound::{
    ChannelPolicy, Dropped, GateError, InboundSettings, Incoming, MessageAdmission,
};

#[tokio::test]
async fn a_stranger_is_challenged_with_one_code_until_it_is_let_in_with_it() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let first = world.challenge("whatsapp", "shop", "+57300").await;
        assert!(first.is_new && first.reply && first.text.contains(first.code.as_str()));
        let again = world.challenge("whatsapp", "shop", "57300@c.us").await;
        assert_eq!((again.code, again.is_new, again.reply), (first.code, false, false));
        let typed =
            format!(" {}-{} ", &first.code.as_str()[..4].to_lowercase(), &first.code.as_str()[4..]);
        assert_eq!(world.gate.approve(&typed, "test", None).await.unwrap(), first.sender);
        for _ in 0..2 {
            let MessageAdmission::Admit(admitted) = world.ask("whatsapp", "shop", " 57300").await
            else {
                panic!("it was let in")
            };
            assert_eq!(
                (admitted.channel(), admitted.account(), admitted.sender()),
                ("whatsapp", "shop", Some("+57300"))
            );
        }
        assert_eq!(world.gate.remembered(), 1);
        assert!(
            !world.is_admitted("whatsapp", "other shop", "57300").await,
            "an account is one of its own"
        );
    }
}

#[tokio::test]
async fn nobody_and_what_is_no_sender_are_dropped_and_leave_nothing() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let long = "1".repeat(100_000);
        for raw in ["", " ", "1203630@g.us", "status@broadcast", "5\u{200b}7", long.as_str()] {
            let admission = world.ask("whatsapp", "shop", raw).await;
            assert!(
                matches!(admission, MessageAdmission::Drop(Dropped::NotASender)),
                "{admission:?}"
            );
        }
        let nobody = Incoming { sender: None, ..Incoming::new("whatsapp", "shop", "") };
        assert!(matches!(
            world.gate.should_admit(nobody).await.unwrap(),
            MessageAdmission::Drop(Dropped::Nobody)
        ));
        assert!(world.all().await.is_empty());
        assert_eq!(
            world.counted(
                r#"pairing_inbound_dropped_total{channel="whatsapp",reason="not_a_sender"}"#
            ),
            6
        );
        assert_eq!(
            world.counted(r#"pairing_inbound_dropped_total{channel="whatsapp",reason="absent"}"#),
            1
        );
    }
}

#[tokio::test]
async fn where_nobody_is_challenged_everybody_is_let_in_and_nothing_is_written() {
    for (store, _home) in stores() {
        let settings = InboundSettings {
            public_channels: vec!["chat".to_owned()],
            ..InboundSettings::default()
        };
        let world = World::with(&store, settings);
        let MessageAdmission::Admit(admitted) = world.ask("chat", "a", " ana ").await else {
            panic!("it is public")
        };
        assert_eq!(admitted.sender(), Some("ana"));
        let off = Incoming {
            policy: Some(ChannelPolicy { auto_challenge: false }),
            sender: None,
            ..Incoming::new("nowhere", "a", "")
        };
        let MessageAdmission::Admit(admitted) = world.gate.should_admit(off).await.unwrap() else {
            panic!("nobody is challenged")
        };
        assert_eq!(admitted.sender(), None);
        let on = Incoming {
            policy: Some(ChannelPolicy { auto_challenge: true }),
            ..Incoming::new("chat", "a", "ana")
        };
        assert!(matches!(
            world.gate.should_admit(on).await.unwrap(),
            MessageAdmission::Challenge(_)
        ));
        assert_eq!((world.all().await.len(), world.gate.remembered()), (1, 0));
    }
}

#[tokio::test]
async fn a_channel_that_nobody_registered_is_an_error_unless_a_program_holds_it() {
    let world = World::new(&memory());
    world.gate.seed("telegram", "bot", vec!["@Ana".to_owned()], "test").await.unwrap();
    let message = Incoming::new("telegram", "bot", "@ANA");
    assert!(matches!(world.gate.should_admit(message).await, Err(GateError::Channel(_))));
    for _ in 0..2 {
        assert!(matches!(
            world.gate.should_admit_elsewhere(message).await,
            Ok(MessageAdmission::Admit(_))
        ));
    }
    assert!(
        matches!(world.gate.should_admit(message).await, Err(GateError::Channel(_))),
        "not even from memory"
    );
}

#[tokio::test]
async fn names_that_could_not_be_kept_are_errors() {
    let world = World::new(&memory());
    let long = "a".repeat(129);
    for (channel, account) in
        [("", "a"), ("chat", ""), (" chat", "a"), ("chat", "a\n"), (&long, "a"), ("chat", &long)]
    {
        let answer = world.gate.should_admit(Incoming::new(channel, account, "ana")).await;
        assert!(matches!(answer, Err(GateError::BadId(_))), "{channel:?} {account:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_blocked_sender_is_dropped_whatever_it_was_before() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        world.let_in("whatsapp", "shop", "57300").await;
        let asked = world.challenge("whatsapp", "other", "57300").await;
        assert!(world.is_admitted("whatsapp", "shop", "57300").await);
        world.gate.change("whatsapp", None, "+57300@c.us", SenderChange::Block).await.unwrap();
        for account in ["shop", "other", "a third"] {
            assert!(
                matches!(
                    world.ask("whatsapp", account, "57300").await,
                    MessageAdmission::Drop(Dropped::Blocked)
                ),
                "{account}"
            );
        }
        assert!(
            world.gate.approve(asked.code.as_str(), "test", None).await.is_err(),
            "its code died with it"
        );
        world.gate.change("whatsapp", None, "57300", SenderChange::Unblock).await.unwrap();
        assert!(matches!(
            world.ask("whatsapp", "shop", "57300").await,
            MessageAdmission::Challenge(_)
        ));
    }
}

#[tokio::test]
async fn a_code_is_told_again_when_that_is_due() {
    for (store, _home) in stores() {
        let limits = InboundLimits { told_every: Span::from_secs(0), ..InboundLimits::DEFAULT };
        let world = World::with(&store, InboundSettings { limits, ..InboundSettings::default() });
        let first = world.challenge("chat", "a", "ana").await;
        let again = world.challenge("chat", "a", "ana").await;
        assert_eq!((again.code, again.is_new, again.reply), (first.code, false, true));
        // The caller of this function holds the channel itself, and sends the text.
        assert_eq!(
            world.counted(
                r#"pairing_inbound_challenged_total{channel="chat",result="delivered_via_broker"}"#
            ),
            2
        );
    }
}

#[tokio::test]
async fn whose_time_is_over_waits_no_longer_and_gets_another_code() {
    for (store, _home) in stores() {
        let limits = InboundLimits { pending_for: Span::from_secs(0), ..InboundLimits::DEFAULT };
        let world = World::with(&store, InboundSettings { limits, ..InboundSettings::default() });
        let first = world.challenge("chat", "a", "ana").await;
        let second = world.challenge("chat", "a", "ana").await;
        assert!(second.is_new && second.code != first.code);
        assert!(world.gate.approve(first.code.as_str(), "test", None).await.is_err());
        assert!(world.gate.approve(second.code.as_str(), "test", None).await.is_err());
        assert!(!world.is_admitted("chat", "a", "ana").await);
        assert_ne!(world.counted("pairing_codes_expired_total"), 0);
    }
}

#[tokio::test]
async fn what_a_channel_tells_of_a_sender_is_kept_if_it_is_an_object_of_bounded_size() {
    use handfast_store::SenderStanding::Pending;
    let world = World::new(&memory());
    let long = format!(r#"{{"name":"{}"}}"#, "a".repeat(2000));
    let kept =
        [(r#"{"name":"Ana"}"#, r#"{"name":"Ana"}"#), ("[1]", "{}"), ("{", "{}"), (&long, "{}")];
    for (number, (meta, _)) in kept.iter().enumerate() {
        let (account, sender) = (number.to_string(), "ana");
        let message = Incoming { meta: Some(meta), ..Incoming::new("chat", &account, sender) };
        assert!(matches!(
            world.gate.should_admit(message).await.unwrap(),
            MessageAdmission::Challenge(_)
        ));
    }
    for (listed, (_, expected)) in world.all().await.iter().zip(kept) {
        let Pending { meta, .. } = &listed.standing else { panic!("it waits") };
        assert_eq!(meta, expected);
    }
}

#[tokio::test]
async fn a_channel_that_is_registered_anew_is_asked_anew() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let (odd, _sent) = Odd::new(Does::Fine, Does::Fine);
        world.gate.channels().register(odd);
        world.let_in("odd", "a", "Ana").await;
        assert!(world.is_admitted("odd", "a", "Ana").await);
        // A channel whose senders are case-sensitive.
        struct Named;
        world
            .gate
            .channels()
            .register(Arc::new(crate::inbound::channels::ReadyMade::named("odd", Named)));
        assert!(
            !world.is_admitted("odd", "a", "Ana").await,
            "what the old one said of Ana counts no more"
        );
        assert!(world.is_admitted("odd", "a", "ana").await);
        world.gate.channels().remove("odd");
        assert!(matches!(
            world.gate.should_admit(Incoming::new("odd", "a", "ana")).await,
            Err(GateError::Channel(_))
        ));

        #[async_trait::async_trait]
        impl crate::inbound::channels::Outbox for Named {
            async fn send_reply(&self, _: &str, _: &str, _: &str) -> Result<(), String> {
                Ok(())
            }

            async fn send_qr(&self, _: &str, _: &str, _: &[u8]) -> Result<(), String> {
                Ok(())
            }
        }
    }
}
