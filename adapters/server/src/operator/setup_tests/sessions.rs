use handfast_core::Span;
use handfast_core::registry::sessions::{Ended, NotRedeemed};
use handfast_store::SessionFilter;

use super::*;

async fn opened(gateway: &Gateway) -> handfast_core::registry::sessions::Session {
    let code = read(gateway, &started(gateway), gateway.inner.clock.unix()).unwrap();
    let token = gateway.redeem(code).await.unwrap().unwrap();
    gateway.session_of(&token).await.unwrap().unwrap()
}

#[tokio::test]
async fn of_a_hundred_who_spend_a_code_at_once_one_has_a_session() {
    let gateway = gateway().await;
    let code = read(&gateway, &started(&gateway), gateway.inner.clock.unix()).unwrap();
    let all = (0..100).map(|_| {
        let (gateway, code) = (gateway.clone(), code.clone());
        tokio::spawn(async move { gateway.redeem(code).await.unwrap().map(drop) })
    });
    let outcomes = futures_util::future::join_all(all).await;
    let won = outcomes.iter().filter(|outcome| outcome.as_ref().unwrap().is_ok()).count();
    let lost = outcomes
        .iter()
        .filter(|outcome| *outcome.as_ref().unwrap() == Err(NotRedeemed::AlreadyUsed))
        .count();
    assert_eq!((won, lost), (1, 99));
    assert_eq!(gateway.companions(SessionFilter::All).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_code_whose_asker_goes_away_is_redeemed_all_the_same() {
    let gateway = gateway().await;
    let code = read(&gateway, &started(&gateway), gateway.inner.clock.unix()).unwrap();
    let mut events = gateway.inner.pairing.feed.subscribe();
    {
        let mut redeeming = std::pin::pin!(gateway.redeem(code));
        assert!(futures_util::FutureExt::now_or_never(redeeming.as_mut()).is_none());
    }
    let event = events.recv().await.unwrap();
    assert!(matches!(event, crate::Event::SessionOpened { .. }), "{event:?}");
    assert_eq!(gateway.companions(SessionFilter::Live).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_is_found_by_the_beginning_of_its_id_and_ended_for_good() {
    let gateway = gateway().await;
    let (one, other) = (opened(&gateway).await, opened(&gateway).await);
    let id = crate::hex::hex(one.id.as_bytes());
    assert_eq!(gateway.companion_by_prefix(&id.to_uppercase()).await.unwrap(), one);
    assert!(matches!(gateway.companion_by_prefix("").await, Err(OperatorError::NoSuchSession(_))));
    assert!(matches!(
        gateway.companion_by_prefix("zz").await,
        Err(OperatorError::NoSuchSession(_))
    ));
    assert!(gateway.revoke_companion(one.id).await.unwrap());
    assert!(!gateway.revoke_companion(one.id).await.unwrap(), "it is told only once");
    assert!(matches!(
        gateway.refresh_companion(one.id).await,
        Err(OperatorError::NoSuchSession(_))
    ));
    let live = gateway.companions(SessionFilter::Live).await.unwrap();
    assert_eq!(live, [other]);
    assert_eq!(gateway.companions(SessionFilter::All).await.unwrap().len(), 2);
    assert_eq!(gateway.revoke_all_companions().await.unwrap(), 1);
    assert_eq!(gateway.companions(SessionFilter::Live).await.unwrap(), []);
}

#[tokio::test]
async fn a_session_is_prolonged_but_never_beyond_what_one_may_live_in_all() {
    let (ttl, longest) = (Duration::from_secs(100), Duration::from_secs(150));
    let gateway = gateway_with(
        MemoryStore::default(),
        SetupSettings { session_ttl: ttl, session_longest: longest, ..settings() },
    )
    .await;
    let session = opened(&gateway).await;
    assert_eq!(session.expires_at, session.issued_at.after(Span::from_secs(100)));
    let until = gateway.refresh_companion(session.id).await.unwrap();
    assert!(until >= session.expires_at && until <= session.issued_at.after(Span::from_secs(150)));
    let store = &gateway.inner.store;
    let later = session.issued_at.after(Span::from_secs(90));
    let refreshed = store
        .refresh_session(session.id, Span::from_secs(100), Span::from_secs(150), later)
        .await
        .unwrap();
    assert_eq!(refreshed, Some(Ok(session.issued_at.after(Span::from_secs(150)))));
    let after = session.issued_at.after(Span::from_secs(150));
    let dead = store
        .refresh_session(session.id, Span::from_secs(100), Span::from_secs(150), after)
        .await
        .unwrap();
    assert_eq!(dead, Some(Err(Ended::Expired)));
}
