//! Operators' sessions and tokens: stored, used, ended with what they made.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::grant::keyed_secret::KeyedHash;
use handfast_core::registry::authority::Role;
use handfast_core::registry::codes::{Kind, Window};
use handfast_core::registry::logins::{LOGINS, Login, LoginId, LoginKind, LoginUse};
use handfast_core::registry::sessions::{Ended, Maker};
use handfast_core::wire::native::pair::Selector;

use super::clock_steps::step;
use super::{START, at, code, fresh, label};
use crate::{EndedWith, NotMinted, SaveError, Store, StoredCode};

/// Returns a session that is valid from [`START`] for a minute, at most an hour. Each call gives
/// another.
pub(crate) fn login() -> Login {
    let mut hash = [9; 32];
    hash[..16].copy_from_slice(&fresh());
    Login {
        id: LoginId::from_bytes(fresh()),
        kind: LoginKind::Session,
        hash: KeyedHash::from_bytes(hash),
        name: label("Ana").into(),
        role: Role::Operator,
        made_at: START,
        used_at: None,
        used_from: None,
        expires_at: at(60),
        ends_at: at(3600),
        revoked_at: None,
    }
}

async fn opened(store: &dyn Store, login: Login) -> Login {
    assert!(store.insert_login(login.clone(), START).await.expect("insert"));
    login
}

fn made_by(login: &Login, selector: &str) -> StoredCode {
    let kind = Kind::Code(Selector::parse(selector).expect("a selector"));
    StoredCode { maker: Maker::Login(login.id), ..code(kind) }
}

pub async fn a_login_reads_back_as_it_was_inserted(store: Arc<dyn Store>) {
    let token = Login {
        kind: LoginKind::Token,
        name: label("🔑 desk's \"script\"").into(),
        role: Role::Viewer,
        made_at: at(1),
        used_at: Some(at(2)),
        used_from: Some("2001:db8::7".parse().expect("an address")),
        revoked_at: Some(at(3)),
        ..login()
    };
    let session = opened(&*store, login()).await;
    let token = opened(&*store, token).await;
    assert_eq!(store.login(session.id).await.unwrap().as_ref(), Some(&session));
    assert_eq!(store.login(token.id).await.unwrap().as_ref(), Some(&token));
    assert_eq!(store.logins().await.unwrap(), [session.clone(), token]);
    assert_eq!(store.login(LoginId::from_bytes([0; 16])).await.unwrap(), None);
    let again = store.insert_login(Login { role: Role::Owner, ..session.clone() }, START).await;
    assert!(matches!(again, Err(SaveError::Conflict)), "{again:?}");
    assert_eq!(store.login(session.id).await.unwrap(), Some(session));
}

pub async fn a_use_moves_the_end_in_force_and_revives_nothing(store: Arc<dyn Store>) {
    let session = opened(&*store, login()).await;
    let used = LoginUse { at: at(30), from: Some([192, 0, 2, 7].into()), expires_at: at(90) };
    assert!(store.login_used(session.id, used).await.unwrap());
    let read = store.login(session.id).await.unwrap().expect("it is there");
    assert_eq!((read.used_at, read.used_from), (Some(at(30)), used.from));
    assert_eq!((read.expires_at, read.ends_at), (at(90), session.ends_at));
    assert_eq!(store.end_login(session.id, at(40)).await.unwrap(), (true, EndedWith::NOTHING));
    assert!(!store.login_used(session.id, used).await.unwrap(), "it is revoked");
    assert!(!store.login_used(LoginId::from_bytes([0; 16]), used).await.unwrap());
    let read = store.login(session.id).await.unwrap().expect("it is there");
    assert_eq!(read.admits(at(1)), Err(Ended::Revoked));
}

pub async fn a_login_is_revoked_once_and_for_good(store: Arc<dyn Store>) {
    let (session, other) = (opened(&*store, login()).await, opened(&*store, login()).await);
    assert!(store.end_login(session.id, at(9)).await.unwrap().0);
    assert!(!store.end_login(session.id, at(10)).await.unwrap().0);
    let read = store.login(session.id).await.unwrap().expect("it is there");
    assert_eq!(read.revoked_at, Some(at(9)));
    assert_eq!(store.login(other.id).await.unwrap(), Some(other));
    assert!(!store.end_login(LoginId::from_bytes([0; 16]), at(9)).await.unwrap().0);
}

pub async fn only_so_many_logins_are_valid_at_once(store: Arc<dyn Store>) {
    let first = opened(&*store, login()).await;
    for _ in 1..LOGINS {
        opened(&*store, login()).await;
    }
    assert!(!store.insert_login(login(), START).await.unwrap(), "no place is left");
    store.end_login(first.id, START).await.unwrap();
    assert!(store.insert_login(login(), START).await.unwrap(), "an ended one leaves its place");
    assert!(!store.insert_login(login(), START).await.unwrap());
    assert!(store.insert_login(login(), at(60)).await.unwrap(), "so do those that have expired");
}

pub async fn logins_that_ended_long_ago_are_forgotten(store: Arc<dyn Store>) {
    let (old, session) = (opened(&*store, login()).await, opened(&*store, login()).await);
    store.end_login(old.id, at(1)).await.unwrap();
    let used = LoginUse { at: at(2), from: None, expires_at: at(3000) };
    assert!(store.login_used(session.id, used).await.unwrap());
    let later = at(30 * 24 * 3600 + 60);
    let fresh = Login { made_at: later, expires_at: later, ends_at: later, ..login() };
    assert!(store.insert_login(fresh.clone(), later).await.unwrap());
    let left: Vec<LoginId> = store.logins().await.unwrap().iter().map(|it| it.id).collect();
    assert_eq!(left, [session.id, fresh.id]);
}

pub async fn codes_and_the_window_end_with_the_login_that_made_them(store: Arc<dyn Store>) {
    let (ending, other) = (opened(&*store, login()).await, opened(&*store, login()).await);
    let (code, stays) = (made_by(&ending, "K7QF"), made_by(&other, "ABCD"));
    assert_eq!(store.mint(code.clone(), START).await.unwrap(), Ok(()));
    assert_eq!(store.mint(stays.clone(), START).await.unwrap(), Ok(()));
    assert_eq!(store.code(code.id).await.unwrap().as_ref(), Some(&code), "it names its maker");
    let window = Window::open_by(START, Some(at(300)), Maker::Login(ending.id));
    store.set_window(window).await.unwrap();
    assert_eq!(store.window().await.unwrap(), window);
    let (revoked, with) = store.end_login(ending.id, at(5)).await.unwrap();
    let expected = EndedWith { codes: 1, window: true, ..EndedWith::NOTHING };
    assert!(revoked && with == expected, "{with:?}");
    assert_eq!(store.window().await.unwrap().opened, None);
    let codes = store.codes(at(6)).await.unwrap();
    assert_eq!(codes.iter().map(|code| code.id).collect::<Vec<_>>(), [stays.id]);
    let late = store.mint(made_by(&ending, "EFGH"), at(6)).await.unwrap();
    assert_eq!(late, Err(NotMinted::MakerEnded));
}

pub async fn what_an_expired_login_made_is_ended_by_the_sweep(store: Arc<dyn Store>) {
    let session = opened(&*store, login()).await;
    let code = made_by(&session, "K7QF");
    store.mint(code.clone(), START).await.unwrap().expect("minted");
    store.set_window(Window::open_by(START, None, Maker::Login(session.id))).await.unwrap();
    assert_eq!(store.end_orphans(at(59)).await.unwrap(), EndedWith::NOTHING);
    let expected = EndedWith { codes: 1, window: true, ..EndedWith::NOTHING };
    assert_eq!(store.end_orphans(at(60)).await.unwrap(), expected);
    assert_eq!(store.end_orphans(at(60)).await.unwrap(), EndedWith::NOTHING);
    assert_eq!(store.codes(at(61)).await.unwrap(), []);
}

pub async fn the_times_of_a_login_move_with_the_run_that_set_them(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let earlier = opened(&*store, login()).await;
    store.begin_run().await.unwrap();
    let session = opened(&*store, login()).await;
    let used = LoginUse { at: at(30), from: None, expires_at: at(90) };
    assert!(store.login_used(earlier.id, used).await.unwrap());
    store.take_over(step(at(30), at(530))).await.unwrap();
    let read = async |id| store.login(id).await.unwrap().expect("it is there");
    let moved = read(session.id).await;
    assert_eq!((moved.made_at, moved.expires_at, moved.ends_at), (at(500), at(560), at(4100)));
    let half = read(earlier.id).await;
    assert_eq!((half.made_at, half.ends_at), (START, at(3600)), "of an earlier run");
    assert_eq!((half.used_at, half.expires_at), (Some(at(530)), at(590)), "of this run");
}

pub async fn a_false_time_ends_the_logins_that_were_made_by_it(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let ahead = Login { made_at: at(9000), expires_at: at(9100), ends_at: at(9900), ..login() };
    let (ahead, right) = (opened(&*store, ahead).await, opened(&*store, login()).await);
    store.begin_run().await.unwrap();
    store.take_over(step(at(9000), at(30))).await.unwrap();
    let read = async |id| store.login(id).await.unwrap().expect("it is there");
    assert!(read(ahead.id).await.revoked_at.is_some());
    assert_eq!(read(right.id).await, right);
}
