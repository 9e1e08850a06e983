//! Redemption of setup codes.
#![allow(missing_docs, reason = "the names say it")]

use std::collections::HashSet;
use std::sync::Arc;

use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sessions::{NotRedeemed, Session, redeem};
use handfast_core::{Span, UnixTime};
use tokio::task::JoinSet;

use super::reading::Chance;
use super::{START, at, entry, grant, keyed, load, session, setup_code};
use crate::{SaveError, SessionFilter, SetupCode, Store, StoreError, Version, Yield};

const DAY: u64 = 24 * 3600;

async fn spend(store: &dyn Store, code: SetupCode, now: UnixTime) -> Result<(), NotRedeemed> {
    store.redeem(code, Yield::Session(session()), now).await.expect("redeem")
}

async fn count(store: &dyn Store) -> usize {
    store.sessions(SessionFilter::All, None, usize::MAX, START).await.expect("list").len()
}

fn node(record: &Record, read_at: Option<Version>) -> Yield {
    let grant = Box::new(grant(record.node_id));
    Yield::Node {
        record: Box::new(record.clone()),
        profile: r#"{"a":1}"#.to_owned(),
        read_at,
        grant,
        ceiling: None,
    }
}

pub async fn a_code_yields_its_session_once(store: Arc<dyn Store>) {
    let (code, first) = (setup_code(60), session());
    assert_eq!(store.redeem(code, Yield::Session(first.clone()), START).await.unwrap(), Ok(()));
    assert_eq!(store.session_by_hash(&first.hash).await.unwrap(), Some(first.clone()));
    assert_eq!(spend(&*store, code, START).await, Err(NotRedeemed::AlreadyUsed));
    // The same nonce with another end, which no valid code has, is refused too.
    assert_eq!(
        spend(&*store, SetupCode { expires_at: at(900), ..code }, START).await,
        Err(NotRedeemed::AlreadyUsed)
    );
    assert_eq!(store.sessions(SessionFilter::All, None, 9, START).await.unwrap(), [first]);
}

pub async fn of_a_hundred_who_show_a_code_at_once_exactly_one_gets_a_session(
    store: Arc<dyn Store>,
) {
    let code = setup_code(60);
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { spend(&*store, code, START).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|lost| *lost == Err(NotRedeemed::AlreadyUsed)));
    assert_eq!(count(&*store).await, 1);
}

pub async fn a_code_whose_yield_cannot_be_written_is_not_spent(store: Arc<dyn Store>) {
    let (code, taken) = (setup_code(60), session());
    store.insert_session(taken.clone()).await.unwrap();
    for conflicting in
        [Session { id: taken.id, ..session() }, Session { hash: taken.hash, ..session() }]
    {
        let redeemed = store.redeem(code, Yield::Session(conflicting), START).await;
        assert!(matches!(redeemed, Err(SaveError::Conflict)), "{redeemed:?}");
    }
    let paired = keyed();
    store.insert(paired.clone(), "{}".to_owned(), START).await.unwrap();
    for read_at in [None, Some(Version(7))] {
        let redeemed = store.redeem(code, node(&paired, read_at), START).await;
        assert!(matches!(redeemed, Err(SaveError::Conflict)), "{redeemed:?}");
    }
    let keyless = super::record(Standing::Pending { expires: at(9) });
    let redeemed = store.redeem(code, node(&keyless, None), START).await;
    assert!(matches!(redeemed, Err(SaveError::Store(StoreError::Database(_)))), "{redeemed:?}");
    assert_eq!(spend(&*store, code, START).await, Ok(()));
    assert_eq!(count(&*store).await, 2);
}

pub async fn a_code_pairs_a_node_by_its_keys_once(store: Arc<dyn Store>) {
    let (code, record) = (setup_code(60), keyed());
    assert_eq!(store.redeem(code, node(&record, None), START).await.unwrap(), Ok(()));
    assert_eq!(load(&*store, record.node_id).await, Some((record.clone(), Version(1))));
    assert_eq!(entry(&*store, record.node_id).await.profile, r#"{"a":1}"#);
    assert_eq!(store.grants(record.node_id).await.unwrap().len(), 1);
    let second = keyed();
    assert_eq!(
        store.redeem(code, node(&second, None), START).await.unwrap(),
        Err(NotRedeemed::AlreadyUsed)
    );
    assert_eq!(load(&*store, second.node_id).await, None);
    assert_eq!(spend(&*store, code, START).await, Err(NotRedeemed::AlreadyUsed));
    // Another code replaces the node's record.
    assert_eq!(
        store.redeem(setup_code(60), node(&record, Some(Version(1))), START).await.unwrap(),
        Ok(())
    );
    assert_eq!(load(&*store, record.node_id).await, Some((record, Version(2))));
}

pub async fn an_expired_code_yields_nothing(store: Arc<dyn Store>) {
    let code = setup_code(60);
    assert_eq!(spend(&*store, code, at(60)).await, Err(NotRedeemed::Expired));
    assert_eq!(count(&*store).await, 0);
    assert_eq!(spend(&*store, code, at(59)).await, Ok(()));
}

pub async fn a_clock_that_is_set_back_revives_no_code(store: Arc<dyn Store>) {
    let spent: Vec<_> = (0..5).map(|number| setup_code(60 + number)).collect();
    for code in &spent {
        assert_eq!(spend(&*store, *code, START).await, Ok(()));
    }
    // A later call forgets what has expired.
    assert_eq!(spend(&*store, setup_code(1000), at(500)).await, Ok(()));
    for code in &spent {
        assert!(spend(&*store, *code, START).await.is_err(), "{code:?}");
    }
    // The mark is the latest end of the forgotten codes, and no later.
    assert_eq!(spend(&*store, setup_code(64), START).await, Err(NotRedeemed::Expired));
    assert_eq!(spend(&*store, setup_code(65), START).await, Ok(()));
    assert_eq!(count(&*store).await, 7);
}

pub async fn beginning_anew_forgets_the_codes_and_a_mark_that_a_clock_had_set_too_far_ahead(
    store: Arc<dyn Store>,
) {
    assert_eq!(store.setup_mark().await.unwrap(), UnixTime::default());
    assert_eq!(spend(&*store, setup_code(1000), START).await, Ok(()));
    // The clock is ahead, and the first code is forgotten.
    assert_eq!(spend(&*store, setup_code(9000), at(5000)).await, Ok(()));
    assert_eq!(store.setup_mark().await.unwrap(), at(1000));
    assert_eq!(spend(&*store, setup_code(900), START).await, Err(NotRedeemed::Expired));
    store.forget_setup_codes().await.unwrap();
    assert_eq!(store.setup_mark().await.unwrap(), UnixTime::default());
    assert_eq!(spend(&*store, setup_code(900), START).await, Ok(()));
}

pub async fn spent_codes_and_old_sessions_do_not_pile_up(store: Arc<dyn Store>) {
    let codes: Vec<_> = (0..100).map(|_| setup_code(10)).collect();
    for code in &codes {
        let short = Session { expires_at: at(10), ..session() };
        store.redeem(*code, Yield::Session(short), START).await.unwrap().unwrap();
    }
    let month = 30 * DAY;
    // At the last moment at which they are listed, and then at most 32 per call.
    for (seconds, left) in
        [(month + 10, 101), (month + 11, 70), (month + 12, 39), (month + 13, 8), (month + 14, 5)]
    {
        let code = SetupCode { expires_at: at(seconds + 60), ..setup_code(0) };
        assert_eq!(
            store
                .redeem(
                    code,
                    Yield::Session(Session { expires_at: at(2 * month), ..session() }),
                    at(seconds)
                )
                .await
                .unwrap(),
            Ok(())
        );
        assert_eq!(count(&*store).await, left);
    }
    for code in codes {
        assert!(spend(&*store, code, START).await.is_err());
    }
}

/// Makes random calls with a clock that also goes back, on this store and on lists that forget only
/// what a call forgets.
pub async fn a_long_random_life_of_companions_is_that_of_a_simple_model(store: Arc<dyn Store>) {
    let mut chance = Chance(0x5e55_1035);
    let (mut now, mut mark) = (START, UnixTime::default());
    let (mut codes, mut sessions): (Vec<SetupCode>, Vec<Session>) = (Vec::new(), Vec::new());
    let (mut spent, mut ever): (Vec<SetupCode>, HashSet<_>) = (Vec::new(), HashSet::new());
    for round in 0..600 {
        now = match chance.below(30) {
            0 => UnixTime::from_secs(now.as_secs() - 40),
            _ => now.after(Span::from_secs(chance.below(8))),
        };
        match chance.below(6) {
            0..3 => {
                let code = match chance.below(3) {
                    0 if !codes.is_empty() => {
                        codes[codes.len() - 1 - chance.below(codes.len().min(12) as u64) as usize]
                    }
                    _ => SetupCode {
                        expires_at: now.after(Span::from_secs(chance.below(40))),
                        ..setup_code(0)
                    },
                };
                codes.push(code);
                let fresh = Session {
                    issued_at: now,
                    expires_at: now.after(Span::from_secs(chance.below(90))),
                    ..session()
                };
                let expected = redeem(
                    code.expires_at,
                    mark,
                    spent.iter().any(|other| other.nonce == code.nonce),
                    now,
                );
                let here = store.redeem(code, Yield::Session(fresh.clone()), now).await.unwrap();
                assert_eq!(here, expected, "round {round}");
                if here.is_ok() {
                    assert!(ever.insert(code.nonce), "round {round}: spent twice");
                    sessions.push(fresh);
                    spent.push(code);
                    let over = spent.iter().filter(|code| code.expires_at <= now);
                    assert!(over.clone().count() <= 32);
                    mark = over.map(|code| code.expires_at).max().unwrap_or_default().max(mark);
                    spent.retain(|code| code.expires_at > now);
                }
            }
            what => {
                let Some(place) = sessions.len().checked_sub(1 + chance.below(9) as usize) else {
                    continue;
                };
                let session = &mut sessions[place];
                if what == 3 {
                    let is_open = session.revoked_at.is_none();
                    assert_eq!(
                        store.revoke_session(session.id, now).await.unwrap(),
                        is_open,
                        "round {round}"
                    );
                    session.revoked_at = if is_open { Some(now) } else { session.revoked_at };
                } else {
                    let (ttl, longest) = (Span::from_secs(50), Span::from_secs(120));
                    let how = handfast_core::registry::sessions::Prolonging {
                        ttl,
                        longest,
                        ends: None,
                        by: None,
                    };
                    let expected = session.refreshed(&how, now).map(|(end, _)| end);
                    let here = store.refresh_session(session.id, ttl, longest, now).await.unwrap();
                    assert_eq!(here, Some(expected), "round {round}");
                    session.expires_at = expected.unwrap_or(session.expires_at);
                }
            }
        }
        let mut live: Vec<_> =
            sessions.iter().filter(|session| session.admits(now).is_ok()).cloned().collect();
        live.sort_by_key(|session| session.id);
        assert_eq!(store.live_sessions(now).await.unwrap(), live.len() as u64, "round {round}");
        assert_eq!(
            store.sessions(SessionFilter::Live, None, usize::MAX, now).await.unwrap(),
            live,
            "round {round}"
        );
    }
    sessions.sort_by_key(|session| session.id);
    assert_eq!(store.sessions(SessionFilter::All, None, usize::MAX, now).await.unwrap(), sessions);
    assert!(ever.len() > 100);
}
