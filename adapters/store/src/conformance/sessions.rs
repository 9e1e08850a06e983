//! Companions' sessions: stored, found, prolonged, ended.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::grant::session::SessionHash;
use handfast_core::registry::sessions::{Ended, Session, SessionId};
use handfast_core::{Span, UnixTime};

use super::{START, at, label, session};
use crate::{SaveError, SessionFilter, Store};

const MINUTE: Span = Span::from_secs(60);
const HOUR: Span = Span::from_secs(3600);

async fn opened(store: &dyn Store, session: Session) -> Session {
    store.insert_session(session.clone()).await.expect("insert");
    session
}

async fn read(store: &dyn Store, id: SessionId) -> Option<Session> {
    store.session(id).await.expect("read")
}

async fn listed(store: &dyn Store, filter: SessionFilter, now: UnixTime) -> Vec<SessionId> {
    let sessions = store.sessions(filter, None, usize::MAX, now).await.expect("list");
    sessions.into_iter().map(|session| session.id).collect()
}

pub async fn a_session_reads_back_as_it_was_inserted(store: Arc<dyn Store>) {
    let plain = session();
    let rich = Session {
        profile: label("🔑 desk's — \"quoted\"").into(),
        device_label: Some(label("unknown").into()),
        issued_at: UnixTime::from_secs(0),
        expires_at: UnixTime::from_secs(i64::MAX as u64),
        revoked_at: Some(at(5)),
        ..session()
    };
    for session in [plain, rich] {
        assert_eq!(read(&*store, session.id).await, None);
        assert_eq!(store.session_by_hash(&session.hash).await.unwrap(), None);
        opened(&*store, session.clone()).await;
        assert_eq!(read(&*store, session.id).await.as_ref(), Some(&session));
        assert_eq!(store.session_by_hash(&session.hash).await.unwrap().as_ref(), Some(&session));
        assert!(
            store.sessions(SessionFilter::All, None, 9, START).await.unwrap().contains(&session)
        );
    }
}

pub async fn only_the_very_hash_finds_a_session(store: Arc<dyn Store>) {
    let session = opened(&*store, session()).await;
    for place in [0, 15, 31] {
        let mut bytes = *session.hash.as_bytes();
        bytes[place] ^= 1;
        assert_eq!(store.session_by_hash(&SessionHash::from_bytes(bytes)).await.unwrap(), None);
    }
}

pub async fn no_two_sessions_have_one_id_or_one_hash(store: Arc<dyn Store>) {
    let first = opened(&*store, session()).await;
    for second in [Session { id: first.id, ..session() }, Session { hash: first.hash, ..session() }]
    {
        let inserted = store.insert_session(second).await;
        assert!(matches!(inserted, Err(SaveError::Conflict)), "{inserted:?}");
    }
    assert_eq!(store.sessions(SessionFilter::All, None, 9, START).await.unwrap(), [first]);
}

pub async fn a_session_is_prolonged_within_its_bounds(store: Arc<dyn Store>) {
    let session =
        opened(&*store, Session { issued_at: START, expires_at: at(60), ..session() }).await;
    let refresh = |now| store.refresh_session(session.id, MINUTE, HOUR, now);
    for (now, end) in [(at(0), at(60)), (at(30), at(90)), (at(10), at(90)), (at(89), at(149))] {
        assert_eq!(refresh(now).await.unwrap(), Some(Ok(end)));
        assert_eq!(
            read(&*store, session.id).await,
            Some(Session { expires_at: end, ..session.clone() })
        );
    }
    let long = Span::from_secs(3000);
    for (now, end) in [(at(148), at(3148)), (at(3147), at(3600)), (at(3599), at(3600))] {
        assert_eq!(
            store.refresh_session(session.id, long, HOUR, now).await.unwrap(),
            Some(Ok(end))
        );
    }
    assert_eq!(store.live_sessions(at(3599)).await.unwrap(), 1);
    assert_eq!(store.live_sessions(at(3600)).await.unwrap(), 0);
}

pub async fn what_has_ended_is_not_prolonged(store: Arc<dyn Store>) {
    let refresh = |id| store.refresh_session(id, HOUR, HOUR, at(60));
    assert_eq!(refresh(session().id).await.unwrap(), None);
    let expired = opened(&*store, Session { expires_at: at(60), ..session() }).await;
    assert_eq!(refresh(expired.id).await.unwrap(), Some(Err(Ended::Expired)));
    let revoked = opened(&*store, Session { revoked_at: Some(at(100)), ..session() }).await;
    assert_eq!(refresh(revoked.id).await.unwrap(), Some(Err(Ended::Revoked)));
    for session in [expired, revoked] {
        assert_eq!(read(&*store, session.id).await, Some(session));
    }
}

pub async fn a_session_is_revoked_once_and_for_good(store: Arc<dyn Store>) {
    let session = opened(&*store, session()).await;
    assert!(store.revoke_session(session.id, at(9)).await.unwrap());
    assert!(!store.revoke_session(session.id, at(10)).await.unwrap());
    let revoked = Session { revoked_at: Some(at(9)), ..session };
    // This holds however the clock is set.
    assert_eq!(revoked.admits(START), Err(Ended::Revoked));
    assert_eq!(store.session_by_hash(&revoked.hash).await.unwrap().as_ref(), Some(&revoked));
    assert_eq!(store.live_sessions(START).await.unwrap(), 0);
    assert_eq!(read(&*store, revoked.id).await, Some(revoked));
    let expired = opened(&*store, Session { expires_at: at(9), ..super::session() }).await;
    assert!(
        store.revoke_session(expired.id, at(9)).await.unwrap(),
        "a clock that is set back would bring it back"
    );
    assert_eq!(read(&*store, expired.id).await.unwrap().admits(at(8)), Err(Ended::Revoked));
    assert!(!store.revoke_session(super::session().id, START).await.unwrap());
}

pub async fn of_all_who_revoke_a_session_at_once_exactly_one_does(store: Arc<dyn Store>) {
    let id = opened(&*store, session()).await.id;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.revoke_session(id, at(1)).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|revoked| *revoked).count(), 1);
}

pub async fn the_live_are_listed_and_counted_apart_from_those_that_ended(store: Arc<dyn Store>) {
    let live = opened(&*store, Session { expires_at: at(100), ..session() }).await.id;
    let expiring = opened(&*store, Session { expires_at: at(50), ..session() }).await.id;
    let revoked =
        opened(&*store, Session { expires_at: at(100), revoked_at: Some(at(40)), ..session() })
            .await
            .id;
    let mut everyone = vec![live, expiring, revoked];
    everyone.sort_unstable();
    // Also with a clock that is set back to before the revocation.
    for (now, mut expected) in [
        (at(60), vec![live]),
        (at(49), vec![live, expiring]),
        (at(30), vec![live, expiring]),
        (at(100), vec![]),
    ] {
        expected.sort_unstable();
        assert_eq!(store.live_sessions(now).await.unwrap(), expected.len() as u64);
        assert_eq!(listed(&*store, SessionFilter::Live, now).await, expected);
        assert_eq!(listed(&*store, SessionFilter::All, now).await, everyone);
    }
}

pub async fn pages_of_sessions_cover_everything_once_and_in_order(store: Arc<dyn Store>) {
    let mut expected = Vec::new();
    for number in 0..57 {
        let revoked_at = (number % 5 == 0).then(|| at(1));
        let session = opened(&*store, Session { revoked_at, ..session() }).await;
        expected.push((session.id, revoked_at.is_none()));
    }
    expected.sort_unstable();
    for (filter, size) in [
        (SessionFilter::All, 1),
        (SessionFilter::All, 10),
        (SessionFilter::Live, 7),
        (SessionFilter::Live, 100),
    ] {
        let such = |(_, is_live): &&(SessionId, bool)| *is_live || filter == SessionFilter::All;
        let mut seen = Vec::new();
        loop {
            let page = store.sessions(filter, seen.last().copied(), size, at(2)).await.unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(|session| session.id));
        }
        assert_eq!(seen, expected.iter().filter(such).map(|(id, _)| *id).collect::<Vec<_>>());
    }
    assert_eq!(store.sessions(SessionFilter::All, None, 0, START).await.unwrap(), []);
}
