use std::sync::atomic::Ordering;

use handfast_core::limits::Limits;
use handfast_store::SessionFilter;

use super::*;
use crate::flows::native::tests::attacks::failing::Failing;

#[tokio::test]
async fn a_store_that_fails_lets_nobody_in_spends_nothing_and_costs_no_attempt() {
    let store = Failing::for_good();
    let key = handfast_core::secret::Secret::new([7; 32]);
    let limits = Limits { failures_per_minute: 1, ..Limits::DEFAULT };
    let world =
        World::of(Gateway::builder(store.clone()).store_key(key).setup(settings()).limits(limits))
            .await;
    let (token, code) = (world.session().await, world.code());
    for _ in 0..3 {
        store.left.store(1, Ordering::SeqCst);
        assert_eq!(world.shows(&code).await.unwrap_err(), "internal");
        // At the first look, and at the second.
        for calls in [1, 2] {
            store.left.store(calls, Ordering::SeqCst);
            let (mut socket, heard) = world.resumes(&token).await;
            assert_eq!(heard, Heard::Text(r#"{"error":"internal"}"#.to_owned()));
            assert_eq!(hear(&mut socket).await, Heard::Close(1011, "Internal error".to_owned()));
        }
        store.left.store(-1, Ordering::SeqCst);
        world.is_at_rest().await;
    }
    assert_eq!(world.gateway.companions(SessionFilter::All).await.unwrap().len(), 1);
    let _linked = world.links(&token).await;
    assert!(world.shows(&code).await.is_ok(), "the code was not spent");
}

#[tokio::test]
async fn a_link_whose_session_cannot_be_looked_up_at_its_end_is_cut() {
    let store = Failing::for_good();
    let world = World::over(store.clone(), settings()).await;
    let (_, token) = world.short_session(2).await;
    let mut socket = world.links(&token).await;
    store.left.store(1, Ordering::SeqCst);
    assert_eq!(hear(&mut socket).await, Heard::Close(1011, "Internal error".to_owned()));
    store.left.store(-1, Ordering::SeqCst);
    world.is_at_rest().await;
}
