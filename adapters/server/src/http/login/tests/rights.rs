use std::sync::Arc;

use handfast_core::Label;
use handfast_core::crypto::base64url;
use handfast_core::grant::keyed_secret::{KEYED_SECRET_CHARS, KeyedSecret, SecretUse};
use handfast_core::registry::logins::{Login, LoginKind, LoginUse};
use handfast_store::{HeldStore, Logins as _};

use super::*;
use crate::gateway::operator_types::OperatorError;

async fn shared() -> (World, HeldStore) {
    let store = HeldStore::new(Arc::new(MemoryStore::default()));
    let builder = Gateway::builder(store.clone()).setup(settings()).logins(logins());
    (World::of(builder).await, store)
}

/// Returns a browser whose session was opened so many seconds ago.
async fn planted(world: &World, store: &HeldStore, role: Role, age: u64) -> Browser {
    let (id, key) = (crate::entropy::draw(), crate::entropy::draw());
    let secret = KeyedSecret::mint(SecretUse::OperatorSession, &id, &key);
    let made_at = world.unix().moved(-i64::try_from(age).unwrap());
    let login = Login {
        id: LoginId::from_bytes(*secret.id()),
        kind: LoginKind::Session,
        hash: secret.hash(),
        name: Label::parse("Ana").unwrap().into(),
        role,
        made_at,
        used_at: None,
        used_from: None,
        expires_at: made_at.after(span(7 * 86_400)),
        ends_at: made_at.after(span(7 * 86_400)),
        revoked_at: None,
    };
    assert!(store.insert_login(login, made_at).await.unwrap());
    let mut room = [0; KEYED_SECRET_CHARS];
    let cookie =
        format!("Cookie: handfast-{}={}\r\n", world.address.port(), secret.write(&mut room));
    let csrf = base64url::encode_32(secret.csrf_token().expose());
    let csrf = std::str::from_utf8(&csrf).unwrap().to_owned();
    Browser { cookie, csrf, id: LoginId::from_bytes(*secret.id()) }
}

#[tokio::test]
async fn a_viewers_cookie_changes_nothing_and_reads_no_secret() {
    let world = world().await;
    let (viewer, operator) =
        (Browser::of(&world, Role::Viewer).await, Browser::of(&world, Role::Operator).await);
    operator.post(&world, "/api/v1/pairing", r#"{"open":true,"for_seconds":60}"#).await;
    let minted = operator.post(&world, "/api/v1/pairing/codes", r#"{"kind":"typed"}"#).await.json();
    let code = minted["code"].as_str().unwrap().to_owned();
    world.challenge("stranger").await;
    for path in [
        "/api/v1/status",
        "/api/v1/pairing",
        "/api/v1/pairing/codes",
        "/api/v1/inbound",
        "/api/v1/sessions",
        "/api/v1/operators",
        "/api/v1/tokens",
        "/api/v1/paired",
    ] {
        let answer = viewer.get(&world, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.body.contains(&code), "{path}");
    }
    let waiting = viewer.get(&world, "/api/v1/inbound").await.json();
    assert!(waiting["items"][0]["code"].is_null(), "{waiting}");
    for (path, body) in [
        ("/api/v1/pairing", r#"{"open":false}"#),
        ("/api/v1/pairing/codes", "{}"),
        ("/api/v1/setup", "{}"),
        ("/api/v1/devices/reject", r#"{"all":true}"#),
        ("/api/v1/devices/00000000/pair", "{}"),
        ("/api/v1/tokens", r#"{"role":"owner"}"#),
        ("/api/v1/paired/revoke-all", ""),
        ("/api/v1/nodes/00000000/dispatches", r#"{"capability":"x"}"#),
        ("/api/v1/clock", "{}"),
        ("/api/v1/deliveries/00000000000000000000000000000000/confirm", ""),
    ] {
        let answer = viewer.post(&world, path, body).await;
        assert_eq!(answer.code(), (403, "not_allowed".to_owned()), "{path}: {answer:?}");
    }
    let mut stream = open(&world, HERE, "GET", "/api/v1/messages", (&viewer.cookie, "")).await;
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("listening") {
        assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
    }
    assert!(world.gateway.pairing_status().await.unwrap().open);
}

#[tokio::test]
async fn an_operator_may_not_what_is_the_owners_and_nobody_sets_the_clock_from_afar() {
    let world = world().await;
    let (operator, owner) =
        (Browser::of(&world, Role::Operator).await, Browser::of(&world, Role::Owner).await);
    let other = crate::hex::hex(operator.id.as_bytes());
    for (path, body) in [
        ("/api/v1/tokens".to_owned(), r#"{"role":"viewer"}"#),
        ("/api/v1/ca/rotate".to_owned(), "{}"),
        ("/api/v1/sessions/revoke-all".to_owned(), ""),
        (format!("/api/v1/operators/{other}/revoke"), ""),
    ] {
        let refused = operator.post(&world, &path, body).await;
        assert_eq!(refused.code(), (403, "not_allowed".to_owned()), "{path}");
        let done = owner.post(&world, &path, body).await;
        assert_eq!(done.status, 200, "{path}: {done:?}");
    }
    let refused = owner.post(&world, "/api/v1/clock", "{}").await;
    assert_eq!(refused.code(), (403, "not_allowed".to_owned()));
    // A login comes from the gateway's own terminal alone.
    let refused = owner.post(&world, "/api/v1/logins", "{}").await;
    assert_eq!(refused.code(), (404, "usage".to_owned()));
    let ended = operator.get(&world, "/api/v1/status").await;
    assert_eq!(ended.code(), (401, "login_needed".to_owned()), "the owner ended it");
}

#[tokio::test]
async fn destructive_acts_need_a_login_of_the_last_ten_minutes() {
    let (world, store) = shared().await;
    let fresh = planted(&world, &store, Role::Owner, 599 - 30).await;
    assert_eq!(fresh.post(&world, "/api/v1/sessions/revoke-all", "").await.status, 200);
    let owner = planted(&world, &store, Role::Owner, 600).await;
    for path in ["/api/v1/sessions/revoke-all", "/api/v1/ca/rotate", "/api/v1/tokens"] {
        let refused = owner.post(&world, path, r#"{"role":"viewer"}"#).await;
        assert_eq!(refused.code(), (403, "fresh_login".to_owned()), "{path}");
        let error = &refused.json()["error"];
        assert_eq!(error["hint"], "POST /api/v1/logins");
        assert!(error["message"].as_str().unwrap().contains("make a link at the gateway"));
    }
    let daily = owner.post(&world, "/api/v1/pairing", r#"{"open":true,"for_seconds":60}"#).await;
    assert_eq!(daily.status, 200, "{daily:?}");
}

#[tokio::test]
async fn a_session_ends_by_disuse_and_at_its_latest_end() {
    let (world, store) = shared().await;
    let idle = Browser::of(&world, Role::Viewer).await;
    let old = planted(&world, &store, Role::Viewer, 7 * 86_400).await;
    let login = store.login(idle.id).await.unwrap().unwrap();
    assert_eq!(login.expires_at, login.made_at.after(span(12 * 3600)));
    assert_eq!(login.ends_at, login.made_at.after(span(7 * 86_400)));
    let over = LoginUse { at: login.made_at, from: None, expires_at: world.unix() };
    assert!(store.login_used(idle.id, over).await.unwrap());
    for browser in [idle, old] {
        let answer = browser.get(&world, "/api/v1/status").await;
        assert_eq!(answer.code(), (401, "login_needed".to_owned()));
        let seen = store.login(browser.id).await.unwrap().unwrap();
        assert!(seen.revoked_at.is_some(), "setting the clock back does not revive it");
    }
}

#[tokio::test]
async fn codes_end_with_the_session_that_made_them_and_what_they_yielded_does_not() {
    let world = public_world().await;
    let browser = Browser::of(&world, Role::Operator).await;
    let made = browser.post(&world, "/api/v1/setup", "{}").await.json();
    let left = browser.post(&world, "/api/v1/setup", "{}").await.json();
    let minted = browser.post(&world, "/api/v1/pairing/codes", "{}").await.json();
    browser.post(&world, "/api/v1/pairing", r#"{"open":true,"for_seconds":60}"#).await;
    let codes = browser.get(&world, "/api/v1/pairing/codes").await.json();
    let me = format!("login {}", crate::hex::hex(browser.id.as_bytes()));
    assert_eq!(codes["items"][0]["made_by"], me, "{codes}");
    assert_eq!(codes["items"][0]["id"], minted["id"]);
    let token = world.shows(made["bootstrap_token"].as_str().unwrap()).await.unwrap();

    let gone = browser.post(&world, "/logout", "").await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert!(gone.headers("set-cookie").iter().all(|set| set.contains("Max-Age=0")));
    let answer = browser.get(&world, "/api/v1/status").await;
    assert_eq!(answer.code(), (401, "login_needed".to_owned()));
    assert!(world.gateway.codes().await.unwrap().is_empty());
    assert!(!world.gateway.pairing_status().await.unwrap().open);
    assert!(world.shows(left["bootstrap_token"].as_str().unwrap()).await.is_err());
    let _session_of_a_companion_goes_on = world.links(&token).await;
}

#[tokio::test]
async fn a_token_counts_once_it_is_confirmed_or_used_and_until_it_is_revoked() {
    let (world, store) = shared().await;
    let made = world.gateway.make_token(Some("ci"), Role::Operator, None).await.unwrap();
    assert_eq!(made.login.expires_at, made.login.made_at.after(span(60)), "nobody has it yet");
    let headers = format!("Authorization: Bearer {}\r\n", &*made.text);
    let get = async |path: &str| ask(&world, HERE, "GET", path, (&headers, "")).await;
    assert_eq!(get("/api/v1/status").await.status, 200);
    let used = store.login(made.login.id).await.unwrap().unwrap();
    assert_eq!(used.expires_at, used.ends_at, "its use confirms it");
    // It needs no page, and no CSRF token.
    let opened = ask(&world, HERE, "POST", "/api/v1/pairing", (&headers, r#"{"open":true}"#)).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let me = get("/api/v1/operator").await;
    assert_eq!(me.code(), (400, "usage".to_owned()));
    world.gateway.revoke_login(made.login.id).await.unwrap();
    assert_eq!(get("/api/v1/status").await.code(), (401, "login_needed".to_owned()));

    let owner = world.gateway.make_token(None, Role::Owner, None).await.unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", &*owner.text);
    let refused =
        ask(&world, HERE, "POST", "/api/v1/tokens", (&headers, r#"{"role":"owner"}"#)).await;
    assert_eq!(refused.code(), (403, "fresh_login".to_owned()), "no token makes another");
    let lost = world.gateway.make_token(None, Role::Viewer, None).await.unwrap();
    let delivery = handfast_core::registry::delivery::DeliveryId::from_bytes;
    world.gateway.cancel_delivery(delivery(*lost.login.id.as_bytes())).await.unwrap();
    let headers = format!("Authorization: Bearer {}\r\n", &*lost.text);
    let answer = ask(&world, HERE, "GET", "/api/v1/status", (&headers, "")).await;
    assert_eq!(answer.code(), (401, "login_needed".to_owned()));
    let late = world.gateway.make_token(None, Role::Viewer, None).await.unwrap();
    world.gateway.confirm_delivery(delivery(*late.login.id.as_bytes())).await.unwrap();
    let confirmed = store.login(late.login.id).await.unwrap().unwrap();
    assert_eq!(confirmed.expires_at, confirmed.ends_at);
}

#[tokio::test]
async fn the_audit_log_names_the_session_of_the_operator_who_decided() {
    let world = world().await;
    let operator = Browser::of(&world, Role::Operator).await;
    operator.post(&world, "/api/v1/pairing", r#"{"open":true,"for_seconds":60}"#).await;
    world.gateway.make_token(None, Role::Viewer, None).await.unwrap();
    world.gateway.revoke_login(operator.id).await.unwrap();
    let lines = world.gateway.inner.store.audit_lines(0, 99).await.unwrap();
    let entry = |what: &str| {
        let what = format!(r#""what":"{what}""#);
        lines.iter().find(|line| line.contains(&what)).unwrap_or_else(|| panic!("{what} {lines:?}"))
    };
    let id = crate::hex::hex(operator.id.as_bytes());
    for what in ["log-in", "open-pairing"] {
        let by = format!(r#""who":"login","by":"{id}","from":"{HERE}""#);
        assert!(entry(what).contains(&by), "{}", entry(what));
    }
    assert!(entry("log-in").contains(r#""how":"operator""#));
    assert!(entry("end-login").contains(&format!(r#""login":"{id}""#)));
    assert!(entry("make-access-token").contains(r#""how":"viewer""#));
}

#[tokio::test]
async fn a_login_link_that_was_not_shown_is_cancelled_and_one_that_was_used_is_not() {
    let world = world().await;
    let (lost, used) = (
        world.gateway.make_login_link(None, Role::Viewer).unwrap(),
        world.gateway.make_login_link(None, Role::Viewer).unwrap(),
    );
    let secret = |url: &str| url.split_once('#').unwrap().1.to_owned();
    world.gateway.cancel_delivery(lost.id).await.unwrap();
    let refused = spend(&world, HERE, &secret(&lost.url)).await;
    assert_eq!(refused.code(), (401, "login_used".to_owned()));
    assert_eq!(spend(&world, HERE, &secret(&used.url)).await.status, 200);
    let late = world.gateway.cancel_delivery(used.id).await.unwrap_err();
    assert!(matches!(late, OperatorError::Delivery { .. }), "{late}");
}

const fn span(seconds: u64) -> handfast_core::Span {
    handfast_core::Span::from_secs(seconds)
}
