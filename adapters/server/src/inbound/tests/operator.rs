//! The operator's decisions about senders.

use handfast_core::UnixTime;
use handfast_store::{SenderChange, SenderFilter, SenderStanding};

use super::world::{World, stores};
use crate::inbound::{GateEvent, InboundError};

#[tokio::test]
async fn what_the_operator_names_is_spelled_as_the_channel_does() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let senders = ["+57300", "57300@c.us", " 57301 "].map(str::to_owned).to_vec();
        assert_eq!(world.gate.seed("whatsapp", "shop", senders.clone(), "seed").await.unwrap(), 2);
        assert_eq!(world.gate.seed("whatsapp", "shop", senders, "seed").await.unwrap(), 0);
        for raw in ["57300@s.whatsapp.net", "+57301"] {
            assert!(world.is_admitted("whatsapp", "shop", raw).await);
        }
        assert_eq!(
            world.gate.change("whatsapp", None, "57300@c.us", SenderChange::Revoke).await.unwrap(),
            1
        );
        assert!(!world.is_admitted("whatsapp", "shop", "57300").await);
        assert_eq!(
            world.gate.change("whatsapp", None, "57999", SenderChange::Reject).await.unwrap(),
            0
        );
        let all =
            SenderFilter { all: true, include_revoked: true, channel: Some("whatsapp".to_owned()) };
        let listed = world.gate.list(all.clone()).await.unwrap();
        let revoked = |standing: &SenderStanding| {
            matches!(standing, SenderStanding::Allowed { revoked_at: Some(_), .. })
        };
        assert_eq!(listed.iter().filter(|listed| revoked(&listed.standing)).count(), 1);
        assert!(
            world
                .gate
                .list(SenderFilter { channel: Some("chat".to_owned()), ..all })
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn one_sender_of_many_that_is_none_lets_in_nobody() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let refused = world
            .gate
            .seed("whatsapp", "shop", vec!["57300".to_owned(), "a group@g.us".to_owned()], "seed")
            .await;
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .starts_with(r#""a group@g.us" is no sender on whatsapp"#)
        );
        let many = vec!["57300".to_owned(); super::super::MOST_SEEDED + 1];
        assert!(matches!(
            world.gate.seed("whatsapp", "shop", many, "seed").await,
            Err(InboundError::Usage(_))
        ));
        assert!(world.all().await.is_empty());
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (store, _home) = stores().remove(0);
    let world = World::new(&store);
    let allow = |via: &str, until| SenderChange::Allow { via: via.to_owned(), until };
    let past = Some(UnixTime::from_secs(1));
    for (account, change) in
        [(None, allow("cli", None)), (Some("a"), allow("cli", past)), (Some("a"), allow("", None))]
    {
        let refused = world.gate.change("chat", account, "ana", change).await;
        assert!(matches!(refused, Err(InboundError::Usage(_))), "{refused:?}");
    }
    assert!(matches!(
        world.gate.approve("ABCD2345", &"a".repeat(65), None).await,
        Err(InboundError::Usage(_))
    ));
    assert!(matches!(
        world.gate.change("", None, "a", SenderChange::Block).await,
        Err(InboundError::BadId { .. })
    ));
    let refused = world.gate.change("chat", None, "\u{202e}ana", SenderChange::Block).await;
    assert!(matches!(refused, Err(InboundError::NotASender { .. })));
    assert!(world.all().await.is_empty());
}

#[tokio::test]
async fn what_happened_is_told_and_counted_once_it_is_durable() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let asked = world.challenge("chat", "a", "ana").await;
        world.challenge("chat", "a", "ana").await;
        world.gate.approve(asked.code.as_str(), "cli", None).await.unwrap();
        world.challenge("chat", "a", "bob").await;
        world.gate.change("chat", Some("a"), "bob", SenderChange::Reject).await.unwrap();
        world.gate.change("chat", Some("a"), "bob", SenderChange::Reject).await.unwrap();
        assert!(world.gate.approve("ABCD2345", "cli", None).await.is_err());
        let events = world.events.lock().unwrap().clone();
        let GateEvent::Asked { sender, code } = &events[0] else { panic!("{events:?}") };
        assert_eq!((sender, *code), (&asked.sender, asked.code));
        assert_eq!(events[1], GateEvent::Approved { sender: asked.sender, via: "cli".to_owned() });
        assert!(matches!(events[2], GateEvent::Asked { .. }));
        assert!(
            matches!(&events[3], GateEvent::Changed { change: "reject", .. }) && events.len() == 4,
            "{events:?}"
        );
        assert_eq!(world.counted(r#"pairing_approvals_total{channel="chat",result="ok"}"#), 1);
        assert_eq!(
            world.counted(r#"pairing_approvals_total{channel="chat",result="rejected"}"#),
            1
        );
        assert_eq!(
            world.counted(r#"pairing_approvals_total{channel="unknown",result="not_found"}"#),
            1
        );
        assert_eq!(world.counted(r#"pairing_approvals_total{channel="chat",result="expired"}"#), 0);
    }
}

#[tokio::test]
async fn a_listing_has_every_page() {
    for (store, _home) in stores() {
        let world = World::new(&store);
        let senders = (0..1234).map(|number| format!("sender {number}")).collect();
        assert_eq!(world.gate.seed("chat", "a", senders, "seed").await.unwrap(), 1234);
        let names: std::collections::BTreeSet<_> =
            world.all().await.into_iter().map(|listed| listed.name).collect();
        assert_eq!(names.len(), 1234);
    }
}
