use handfast_core::limits::Limits;

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
