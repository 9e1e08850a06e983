//! Strangers who try to be admitted, to take others' places, or to exhaust a limit.

use std::collections::HashSet;
use std::sync::Arc;

use handfast_core::registry::inbound::InboundLimits;
use handfast_store::{SenderChange, SenderFilter};

use super::world::{Moody, World, memory, stores};
use crate::inbound::{Dropped, InboundError, InboundSettings, Incoming, MessageAdmission};

#[tokio::test]
async fn two_hundred_thousand_strangers_leave_no_more_rows_than_may_wait_and_disturb_nobody() {
    const ACCOUNTS: usize = 20;
    for (store, _home) in stores() {
        let limits = InboundLimits { pending_total: 50, ..InboundLimits::DEFAULT };
        let world = World::with(&store, InboundSettings { limits, ..InboundSettings::default() });
        world.let_in("chat", "account 0", "friend").await;
        let mut challenged = 0;
        for number in 0..200_000 {
            let account = format!("account {}", number % ACCOUNTS);
            match world.ask("chat", &account, &format!("stranger {number}")).await {
                MessageAdmission::Challenge(_) => challenged += 1,
                MessageAdmission::Drop(Dropped::Full) => {}
                other => panic!("{other:?}"),
            }
            if number % 10_000 == 0 {
                assert!(world.is_admitted("chat", "account 0", "friend").await);
            }
        }
        assert_eq!(challenged, 50);
        assert_eq!(world.all().await.len(), 51);
        assert_eq!(world.gate.remembered(), 1, "nobody is remembered but who was let in");
        assert_eq!(
            world.counted(r#"pairing_inbound_challenged_total{channel="chat",result="capped"}"#),
            199_950
        );
    }
}

#[tokio::test]
async fn a_separator_inside_one_name_makes_it_no_other() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        world.let_in("chat", "a|b", "c").await;
        assert!(world.is_admitted("chat", "a|b", "c").await);
        for (account, sender) in
            [("a", "b|c"), ("a|", "b|c"), ("a|b|", "c"), ("a", "|b|c"), ("a|b", "|c")]
        {
            assert!(!world.is_admitted("chat", account, sender).await, "{account} {sender}");
        }
    }
}

#[tokio::test]
async fn look_alikes_are_the_same_sender_or_none() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let code = world.challenge("whatsapp", "shop", "+57300").await.code;
        for same in ["57300", " 57300 ", "57300@c.us", "+57300@s.whatsapp.net"] {
            assert_eq!(world.challenge("whatsapp", "shop", same).await.code, code, "{same}");
        }
        for none in [
            "57\u{200b}300",
            "５７３００",
            "57300@evil.example",
            "57300@c.us@c.us",
            "57300\u{202e}",
        ] {
            assert!(
                matches!(
                    world.ask("whatsapp", "shop", none).await,
                    MessageAdmission::Drop(Dropped::NotASender)
                ),
                "{none:?}"
            );
        }
        assert_eq!(world.all().await.len(), 1);
        world.let_in("chat", "a", "ana").await;
        for other in ["аna", "Ana", "ana.", "an\u{301}a"] {
            assert!(!world.is_admitted("chat", "a", other).await, "{other:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn codes_are_guessed_a_few_times_a_minute_and_then_right_ones_wait_too() {
    let store = memory();
    let world = World::with(
        &store,
        InboundSettings { approvals_per_minute: 3, ..InboundSettings::default() },
    );
    let code = world.challenge("chat", "a", "ana").await.code;
    let wrong = if code.as_str() == "AAAA2222" { "BBBB2222" } else { "AAAA2222" };
    for typo in ["", "AAAA222", "AAAA2220"] {
        assert!(matches!(world.gate.approve(typo, "test", None).await, Err(InboundError::BadCode)));
    }
    for _ in 0..3 {
        assert!(matches!(
            world.gate.approve(wrong, "test", None).await,
            Err(InboundError::NoSuchCode)
        ));
    }
    assert!(matches!(
        world.gate.approve(wrong, "test", None).await,
        Err(InboundError::RateLimited)
    ));
    assert!(matches!(
        world.gate.approve(code.as_str(), "test", None).await,
        Err(InboundError::RateLimited)
    ));
    tokio::time::advance(std::time::Duration::from_secs(21)).await;
    world.gate.approve(code.as_str(), "test", None).await.unwrap();
    for _ in 0..10 {
        let code = world.challenge("chat", "a", "bob").await.code;
        world.gate.approve(code.as_str(), "test", None).await.unwrap();
        world.gate.change("chat", Some("a"), "bob", SenderChange::Revoke).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_messages_at_once_yield_one_entry_and_one_code() {
    for (store, _home) in stores() {
        let world = Arc::new(World::new(&store));
        let tasks = (0..64).map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.challenge("chat", "a", "ana").await })
        });
        let challenges = futures_util::future::join_all(tasks).await;
        let codes: HashSet<_> =
            challenges.iter().map(|challenge| challenge.as_ref().unwrap().code).collect();
        let told = challenges.iter().filter(|challenge| challenge.as_ref().unwrap().reply).count();
        assert_eq!((codes.len(), told, world.all().await.len()), (1, 1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn strangers_at_once_stay_within_the_cap() {
    for (store, _home) in stores() {
        let world = Arc::new(World::new(&store));
        let tasks = (0..200).map(|number| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.ask("chat", "a", &format!("stranger {number}")).await })
        });
        let answers = futures_util::future::join_all(tasks).await;
        let challenged = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(MessageAdmission::Challenge(_))))
            .count();
        assert_eq!((challenged, world.all().await.len()), (3, 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_code_approved_four_times_at_once_succeeds_once() {
    for (store, _home) in stores() {
        let world = Arc::new(World::new(&store));
        let code = world.challenge("chat", "a", "ana").await.code;
        let tasks = (0..4).map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.gate.approve(code.as_str(), "test", None).await })
        });
        let answers = futures_util::future::join_all(tasks).await;
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count(), 1);
        assert_eq!(
            answers
                .iter()
                .filter(|answer| matches!(answer, Ok(Err(InboundError::NoSuchCode))))
                .count(),
            3
        );
        assert!(world.is_admitted("chat", "a", "ana").await);
    }
}

#[tokio::test]
async fn a_revocation_counts_at_once_at_every_gate_of_the_store() {
    for (store, _home) in stores() {
        let (here, there) = (World::new(&store), World::new(&store));
        here.let_in("whatsapp", "shop", "57300").await;
        here.let_in("whatsapp", "shop", "57301").await;
        for change in [SenderChange::Revoke, SenderChange::Block] {
            for world in [&here, &there] {
                assert!(world.is_admitted("whatsapp", "shop", "57300").await);
                assert_eq!(world.gate.remembered(), 1);
            }
            let word = format!("{change:?}");
            assert_ne!(
                there.gate.change("whatsapp", Some("shop"), "57300", change).await.unwrap(),
                0,
                "{word}"
            );
            for world in [&here, &there] {
                assert!(!world.is_admitted("whatsapp", "shop", "57300").await, "{word}");
            }
            let allow = SenderChange::Allow { via: "test".to_owned(), until: None };
            here.gate.change("whatsapp", Some("shop"), "57300", allow).await.unwrap();
        }
        let listed =
            here.gate.list(SenderFilter { all: true, ..SenderFilter::default() }).await.unwrap();
        assert_eq!(listed.len(), 2);
    }
}

#[tokio::test]
async fn a_block_that_comes_while_a_message_is_under_way_holds_from_the_next_one_on() {
    for (store, _home) in stores() {
        World::new(&store).let_in("chat", "a", "ana").await;
        let held_back = Some(tokio::sync::Semaphore::new(0));
        let moody = Arc::new(Moody { held_back, ..Moody::new(Arc::clone(&store)) });
        let slow: Arc<dyn handfast_store::Inbound> = Arc::<Moody>::clone(&moody);
        let world = Arc::new(World::new(&slow));
        let under_way = tokio::spawn({
            let world = Arc::clone(&world);
            async move { world.ask("chat", "a", "ana").await }
        });
        // The gate has read that Ana is allowed, and now Ana is blocked.
        moody.read.acquire().await.unwrap().forget();
        world.gate.change("chat", Some("a"), "ana", SenderChange::Block).await.unwrap();
        let held_back = moody.held_back.as_ref().unwrap();
        held_back.add_permits(1);
        assert!(
            matches!(under_way.await.unwrap(), MessageAdmission::Admit(_)),
            "it came before the block"
        );
        held_back.add_permits(1);
        let message = Incoming::new("chat", "a", "ana");
        assert!(matches!(
            world.gate.should_admit(message).await.unwrap(),
            MessageAdmission::Drop(Dropped::Blocked)
        ));
    }
}
