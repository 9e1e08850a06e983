//! Pings, and answers that nobody asked for.

use handfast_core::limits::PINGS_A_MINUTE;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::Hello;

use super::*;
use crate::flows::setup_code::tests::{HERE, World, settings};
use crate::http::session_api::tests::{ask, by};
use crate::operator::PingError;
use crate::policy::setup_settings::SetupSettings;

#[tokio::test]
async fn a_ping_tells_how_long_a_linked_node_takes_or_why_there_is_no_answer() {
    let served = Served::open().await;
    let lamp = served.paired("lamp").await;
    let (gateway, node_id) = (served.gateway.clone(), lamp.node_id);
    assert_eq!(gateway.ping(node_id).await, Err(PingError::NotLinked(node_id)));
    let mut link = served.link(&lamp).await;
    let pinged = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.ping(node_id).await }
    });
    let number = loop {
        let heard = link.hear(|message| match message {
            FromGateway::Ping { number } => Some(number),
            _ => None,
        });
        if let Some(number) = heard.await.unwrap() {
            break number;
        }
    };
    // Neither another number nor a second answer counts.
    link.say(&FromNode::Pong { number: number.wrapping_add(1) }).await;
    link.say(&FromNode::Pong { number }).await;
    link.say(&FromNode::Pong { number }).await;
    assert!(pinged.await.unwrap().is_ok());

    let mut plain = served.called(&lamp).await.unwrap();
    let hello = Hello { features: Features::NONE, mark: None, holds: None };
    plain.say(&FromNode::Hello(hello)).await;
    loop {
        match gateway.ping(node_id).await {
            Err(PingError::NotSupported(_)) => break,
            // The older link ends when the newer one is proven.
            Err(
                PingError::NotLinked(_)
                | PingError::Elsewhere { .. }
                | PingError::NoAnswer(_)
                | PingError::TooOften(_),
            ) => {}
            Ok(time) => panic!("a node that takes no pings answered in {time:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_session_that_floods_a_node_with_pings_wakes_it_so_often_a_minute_and_no_more() {
    let profile = ("pinger".to_owned(), scopes("admin:/gateway/paired/**\n"));
    let setup = SetupSettings { profiles: vec![profile], ..settings() };
    let builder = Gateway::builder(MemoryStore::default()).setup(setup).pairing(lets_in(""));
    let world = World::of(builder).await;
    let token = world.session_as("pinger").await;
    let own = keys();
    let offer = match world.gateway.settle(&asks(&own, "lamp", Method::Approval), None).await {
        OwnedVerdict::Offered(offer) => offer,
        other => panic!("{other:?}"),
    };
    let node_id = offer.node_id;
    world.gateway.inner.store.activate(node_id, offer.id, unix()).await.unwrap();
    let path = format!("/api/v1/paired/{node_id}/ping");
    // What is not sent wakes nobody, and counts for nothing.
    for _ in 0..2 * PINGS_A_MINUTE {
        let refused = ask(&world, HERE, "POST", &path, by(&token)).await;
        assert_eq!(refused.code(), (409, "refused".to_owned()));
    }
    let wire = Wire::websocket(world.address).await;
    let mut link = Client::link(wire, &own, world.gateway.keys().channel.public()).await.unwrap();
    link.greet(None).await;
    until(|| world.gateway.inner.hub.is_live(node_id)).await;
    let answers = tokio::spawn(async move {
        while let Ok(ping) = link
            .hear(|message| match message {
                FromGateway::Ping { number } => Some(number),
                _ => None,
            })
            .await
        {
            if let Some(number) = ping {
                link.say(&FromNode::Pong { number }).await;
            }
        }
    });
    let (begun, mut woken) = (std::time::Instant::now(), 0);
    for _ in 0..3 * PINGS_A_MINUTE {
        let answer = ask(&world, HERE, "POST", &path, by(&token)).await;
        match answer.status {
            200 => woken += 1,
            _ => assert_eq!(answer.code(), (429, "rate_limited".to_owned())),
        }
    }
    let gained = begun.elapsed().as_secs_f64() * f64::from(PINGS_A_MINUTE) / 60.0;
    let most = PINGS_A_MINUTE + gained.ceil() as u32;
    assert!((PINGS_A_MINUTE..=most).contains(&woken), "{woken}");
    // The operator's own pings are not limited.
    for _ in 0..3 * PINGS_A_MINUTE {
        world.gateway.ping(node_id).await.unwrap();
    }
    answers.abort();
}
