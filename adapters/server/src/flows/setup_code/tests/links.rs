use handfast_core::Span;
use handfast_core::limits::Limits;

use super::*;
use crate::events::Event;

fn ended() -> Heard {
    Heard::Close(1008, "Session ended".to_owned())
}

#[tokio::test]
async fn frames_of_the_application_go_both_ways_in_order() {
    let mut world = World::new().await;
    let token = world.session().await;
    let mut socket = world.links(&token).await;
    let id = world.id_of(&token).await;
    let frames = ["hello", "", "{\"type\":\"ping\"}", "{\"session_token\":\"x\"}"];
    for frame in frames {
        say(&mut socket, frame).await;
    }
    for frame in frames {
        let (companion, heard) = world.heard.recv().await.unwrap();
        assert_eq!(
            (companion.session, companion.profile.as_str(), heard.as_str()),
            (id, "companion-v1", frame)
        );
    }
    for frame in frames {
        assert!(world.gateway.send_companion(id, frame.to_owned()));
    }
    for frame in frames {
        assert_eq!(hear(&mut socket).await, Heard::Text(frame.to_owned()));
    }
    assert!(!world.gateway.send_companion(SessionId::from_bytes([9; 16]), "x".to_owned()));
    assert!(
        !world.gateway.send_companion(id, "x".repeat(64 * 1024)),
        "more than waits for one companion"
    );
    socket.close(None).await.unwrap();
    world.is_at_rest().await;
    assert!(!world.gateway.send_companion(id, "x".to_owned()));
}

#[tokio::test]
async fn a_binary_frame_ends_a_companions_link() {
    let world = World::new().await;
    let mut socket = world.links(&world.session().await).await;
    socket.send(Message::Binary(vec![1].into())).await.unwrap();
    assert_eq!(hear(&mut socket).await, Heard::Close(1008, "Protocol violation".to_owned()));
}

#[tokio::test]
async fn a_revoked_session_ends_its_link_at_once_and_lets_nobody_in_again() {
    let world = World::new().await;
    let (token, other) = (world.session().await, world.session().await);
    let (mut socket, mut bystander) = (world.links(&token).await, world.links(&other).await);
    let mut events = world.gateway.inner.pairing.feed.subscribe();
    let id = world.id_of(&token).await;
    world.gateway.revoke_companion(id).await.unwrap();
    assert_eq!(hear(&mut socket).await, ended());
    assert_eq!(events.recv().await.unwrap(), Event::SessionRevoked { session: id });
    assert_eq!(events.recv().await.unwrap(), Event::CompanionUnlinked { session: id });
    assert_eq!(
        world.resumes(&token).await.1,
        Heard::Text(r#"{"error":"unknown session"}"#.to_owned())
    );
    assert!(world.gateway.send_companion(world.id_of(&other).await, "still here".to_owned()));
    assert_eq!(hear(&mut bystander).await, Heard::Text("still here".to_owned()));
}

#[tokio::test]
async fn an_application_that_takes_its_time_does_not_hold_up_a_revocation() {
    struct Slow;
    #[async_trait::async_trait]
    impl Application for Slow {
        async fn companion(&self, _: &CompanionInfo, _: &str) {
            std::future::pending::<()>().await;
        }
    }
    let gateway = Gateway::builder(MemoryStore::default())
        .setup(settings())
        .application(Slow)
        .start()
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(gateway.clone(), listener, None, std::future::pending()));
    let world = World { gateway, address, heard: mpsc::unbounded_channel().1 };
    let token = world.session().await;
    let mut socket = world.links(&token).await;
    say(&mut socket, "take your time").await;
    world.gateway.revoke_companion(world.id_of(&token).await).await.unwrap();
    assert_eq!(hear(&mut socket).await, ended());
}

#[tokio::test]
async fn a_newer_connection_of_a_session_replaces_the_older() {
    let mut world = World::new().await;
    let token = world.session().await;
    let id = world.id_of(&token).await;
    let mut older = world.links(&token).await;
    let mut newer = world.links(&token).await;
    assert_eq!(
        hear(&mut older).await,
        Heard::Close(1008, "Replaced by a newer connection".to_owned())
    );
    say(&mut newer, "mine now").await;
    assert_eq!(world.heard.recv().await.unwrap().1, "mine now");
    assert!(world.gateway.inner.hub.is_live(id));
    newer.close(None).await.unwrap();
    world.is_at_rest().await;
}

#[tokio::test]
async fn a_link_ends_with_its_session_unless_that_was_prolonged() {
    let mut world = World::new().await;
    let (_, short) = world.short_session(2).await;
    let (kept, kept_token) = world.short_session(2).await;
    let (mut short, mut prolonged) = (world.links(&short).await, world.links(&kept_token).await);
    let until = world.gateway.refresh_companion(kept.id).await.unwrap();
    assert!(until > kept.expires_at.after(Span::from_secs(3600)));
    assert_eq!(hear(&mut short).await, ended());
    // The other one had the same time, and has been looked at again by now, or is before its frame
    // is read.
    while world.unix() <= kept.expires_at {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    say(&mut prolonged, "still here").await;
    assert_eq!(world.heard.recv().await.unwrap().1, "still here");
    let text = world.metrics().await;
    assert!(text.contains("pairing_sessions_total{event=\"expired\"} 1"), "{text}");
}

#[tokio::test]
async fn companions_take_the_places_that_are_left_and_a_newer_connection_needs_none() {
    let limits = Limits { linked_total: 1, ..Limits::DEFAULT };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(settings()).limits(limits)).await;
    let (one, other) = (world.session().await, world.session().await);
    let _first = world.links(&one).await;
    let _again = world.links(&one).await;
    assert_eq!(world.resumes(&other).await.1, Heard::Close(1013, "Server at capacity".to_owned()));
    assert!(world.gateway.inner.hub.is_live(world.id_of(&one).await));
}

#[tokio::test]
async fn a_gateway_that_shuts_down_says_goodbye_to_its_companions() {
    let world = World::new().await;
    let mut linked = world.links(&world.session().await).await;
    let mut silent = world.open("/pair").await;
    world.gateway.shut_down();
    for socket in [&mut linked, &mut silent] {
        assert_eq!(hear(socket).await, Heard::Close(1001, "Server is shutting down".to_owned()));
    }
    drop((linked, silent));
    world.is_at_rest().await;
}

#[tokio::test]
async fn a_companion_that_answers_no_ping_is_let_go() {
    let limits = Limits {
        ping_every: Span::from_millis(50),
        pong_within: Span::from_millis(50),
        ..Limits::DEFAULT
    };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(settings()).limits(limits)).await;
    let _mute = world.links(&world.session().await).await;
    // Nobody reads the socket, so nobody answers.
    world.is_at_rest().await;
}
