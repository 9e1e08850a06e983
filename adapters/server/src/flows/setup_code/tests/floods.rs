use std::time::{Duration, Instant};

use handfast_core::limits::{Limits, MESSAGES_A_MINUTE, MESSAGES_AT_ONCE};

use super::*;

#[tokio::test]
async fn two_hundred_silent_sockets_keep_no_companion_out() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(world.open("/pair").await);
    }
    let token = world.session().await;
    let _linked = world.links(&token).await;
    let most = usize::try_from(Limits::DEFAULT.waiting_per_source).unwrap();
    assert!(world.gateway.inner.seats.taken() <= most);
    drop(silent);
}

#[tokio::test]
async fn who_guesses_too_often_is_not_heard_and_nobody_else_is_hurt() {
    let limits = Limits { failures_per_minute: 5, ..Limits::DEFAULT };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(settings()).limits(limits)).await;
    let code = world.code();
    for _ in 0..5 {
        assert_eq!(world.shows_from(ELSEWHERE, "wrong.code").await.unwrap_err(), "unknown code");
    }
    assert_eq!(world.shows_from(ELSEWHERE, "wrong.code").await.unwrap_err(), "rate limited");
    // Who shows something good is let in all the same, and uses nothing up.
    let token = world.shows_from(ELSEWHERE, &code).await.unwrap();
    for _ in 0..10 {
        assert!(world.shows(&world.code()).await.is_ok());
        drop(world.links(&token).await);
    }
}

#[tokio::test]
async fn wrong_session_tokens_are_counted_and_cost_no_code_and_no_node_an_attempt() {
    let limits = Limits { failures_per_minute: 5, ..Limits::DEFAULT };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(settings()).limits(limits)).await;
    let token = world.session().await;
    let nobodys = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    let heard = async |token: &str| match world.resumes(token).await.1 {
        Heard::Text(text) => text,
        other => panic!("{other:?}"),
    };
    for wrong in [nobodys, "short", nobodys, "x", nobodys] {
        assert_eq!(heard(wrong).await, r#"{"error":"unknown session"}"#);
        // Who is known gives nobody an attempt.
        drop(world.links(&token).await);
    }
    for _ in 0..20 {
        assert_eq!(heard(nobodys).await, r#"{"error":"rate limited"}"#);
        drop(world.links(&token).await);
    }
    assert_eq!(world.shows("wrong.code").await.unwrap_err(), "unknown code");
    assert!(world.shows(&world.code()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companion_that_floods_is_read_at_its_rate_and_neither_another_nor_the_operator_waits_for_it()
 {
    let mut world = World::new().await;
    let (loud_token, calm_token) = (world.session().await, world.session().await);
    let loud_id = world.id_of(&loud_token).await;
    let (mut loud, mut calm) = (world.links(&loud_token).await, world.links(&calm_token).await);
    let begun = Instant::now();
    let flood = tokio::spawn(async move {
        for number in 0_u32.. {
            if loud.send(Message::Text(number.to_string().into())).await.is_err() {
                return;
            }
        }
    });
    let mut loud_heard = 0_u32;
    for number in 0..300 {
        say(&mut calm, "calm").await;
        loop {
            let (_, text) = world.heard.recv().await.unwrap();
            if text == "calm" {
                break;
            }
            assert_eq!(text, loud_heard.to_string(), "nothing of the flood is lost");
            loud_heard += 1;
        }
        if number % 100 == 0 {
            assert!(world.shows(&world.code()).await.is_ok(), "another one is let in");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let gained = begun.elapsed().as_secs_f64() * f64::from(MESSAGES_A_MINUTE) / 60.0;
    let most = MESSAGES_AT_ONCE + 1 + gained.ceil() as u32;
    println!("{loud_heard} messages of the flood were heard in {:?}", begun.elapsed());
    assert!(
        (MESSAGES_AT_ONCE..=most).contains(&loud_heard),
        "{loud_heard} were heard, and {most} may be"
    );
    // What is decided does not wait behind the flood.
    world.gateway.revoke_companion(loud_id).await.unwrap();
    while world.gateway.inner.hub.is_live(loud_id) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    flood.abort();
}
