use std::sync::atomic::Ordering;

use serde_json::json;

use super::*;
use crate::flows::native::tests::attacks::failing::Failing;
use crate::flows::setup_code::tests::{Heard, hear, say};
use crate::operator::setup_codes::NewSetup;

const SESSION: &str = "/api/v1/session";
const REFRESH: &str = "/api/v1/session/refresh";

#[tokio::test]
async fn a_session_says_whose_it_is_is_prolonged_and_ends_itself() {
    let world = world().await;
    let new = NewSetup {
        for_device: Some("phone".to_owned()),
        profile: Some("one".to_owned()),
        ..NewSetup::default()
    };
    let token =
        world.shows(&world.gateway.start_setup(&new).unwrap().bootstrap_token).await.unwrap();
    let shown = get(&world, SESSION, &token).await;
    let session = world.id_of(&token).await;
    let id = crate::hex::hex(session.as_bytes());
    let expires_at = shown.json()["expires_at"].clone();
    let expected = json!({
        "id": id, "profile": "one", "device_label": "phone", "expires_at": expires_at,
        "permissions": {"read": ["/gateway/devices"], "write": []},
    });
    assert_eq!((shown.status, shown.json()), (200, expected));
    let now = world.unix().as_secs();
    assert!((now + 86_390..=now + 86_400).contains(&secs(&expires_at)));

    let (short, short_token) = world.short_session(60).await;
    let prolonged = ask(&world, HERE, "POST", REFRESH, by(&short_token)).await;
    assert!(
        secs(&prolonged.json()["expires_at"]) > short.expires_at.as_secs() + 3600,
        "{prolonged:?}"
    );

    let mut socket = world.open("/pair").await;
    say(&mut socket, &json!({"session_token": token}).to_string()).await;
    assert!(matches!(hear(&mut socket).await, Heard::Text(_)));
    assert_eq!(
        ask(&world, HERE, "DELETE", SESSION, by(&token)).await.json(),
        json!({"revoked": true})
    );
    assert_eq!(hear(&mut socket).await, Heard::Close(1008, "Session ended".to_owned()));
    for (method, path) in [("GET", SESSION), ("POST", REFRESH), ("DELETE", SESSION)] {
        assert_eq!(
            ask(&world, HERE, method, path, by(&token)).await.code(),
            (401, "bearer_unknown".to_owned())
        );
    }
}

#[tokio::test]
async fn without_a_session_there_is_nothing_and_no_other_method_or_path() {
    let world = world().await;
    let token = world.session().await;
    for (method, path) in [
        ("GET", SESSION),
        ("POST", REFRESH),
        ("DELETE", SESSION),
        ("GET", "/api/v1/devices"),
        ("GET", "/api/v1/x"),
    ] {
        let answer = ask(&world, HERE, method, path, Saying::default()).await;
        assert_eq!(answer.code(), (401, "bearer_missing".to_owned()), "{path}");
        assert!(answer.head.contains("www-authenticate: bearer"));
    }
    let (_, gone) = world.short_session(0).await;
    assert_eq!(get(&world, SESSION, &gone).await.status, 401);
    for (method, path) in [("PUT", SESSION), ("GET", REFRESH), ("POST", SESSION)] {
        assert_eq!(
            ask(&world, HERE, method, path, by(&token)).await.code(),
            (405, "usage".to_owned()),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_web_page_of_another_origin_changes_nothing() {
    let world = world().await;
    let token = world.session().await;
    let own = format!("Origin: http://{}\r\n", world.address);
    for (headers, status) in [
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: https://console.example\r\n", 200),
        (own.as_str(), 200),
    ] {
        let answer = ask(&world, HERE, "POST", REFRESH, Saying { headers, ..by(&token) }).await;
        assert_eq!(answer.status, status, "{headers}");
        assert!(!answer.head.contains("access-control"));
    }
    let answer =
        ask(&world, HERE, "DELETE", SESSION, Saying { headers: "Origin: null\r\n", ..by(&token) })
            .await;
    assert_eq!(answer.code(), (403, "origin_not_allowed".to_owned()));
    assert_eq!(get(&world, SESSION, &token).await.status, 200);
}

#[tokio::test]
async fn wrong_tokens_are_counted_by_source_and_hurt_nobody_elsewhere() {
    let world = limited(Limits { failures_per_minute: 5, ..Limits::DEFAULT }).await;
    let token = world.session().await;
    let nobodys = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    for wrong in [nobodys, "short", "x", nobodys, nobodys] {
        assert_eq!(ask(&world, ELSEWHERE, "GET", SESSION, by(wrong)).await.status, 401);
    }
    for path in [SESSION, "/api/v1/devices", "/metrics"] {
        let answer = ask(&world, ELSEWHERE, "GET", path, by(nobodys)).await;
        assert_eq!(answer.code(), (429, "rate_limited".to_owned()), "{path}");
        assert!(answer.head.contains("retry-after"));
        assert_ne!(
            ask(&world, ELSEWHERE, "GET", path, by(&token)).await.status,
            429,
            "who is known is never kept out"
        );
    }
    for _ in 0..10 {
        assert_eq!(get(&world, SESSION, &token).await.status, 200, "who is known uses nothing up");
    }
    assert_eq!(ask(&world, HERE, "GET", SESSION, Saying::default()).await.status, 401);
}

#[tokio::test]
async fn a_store_that_fails_lets_nobody_in() {
    let store = Failing::for_good();
    let world = World::over(store.clone(), profiles()).await;
    let token = world.session_as("admin").await;
    for (method, path) in [
        ("GET", SESSION),
        ("POST", REFRESH),
        ("DELETE", SESSION),
        ("GET", "/api/v1/devices"),
        ("GET", "/metrics"),
    ] {
        store.left.store(1, Ordering::SeqCst);
        assert_eq!(
            ask(&world, HERE, method, path, by(&token)).await.code(),
            (503, "store".to_owned()),
            "{method} {path}"
        );
    }
    store.left.store(2, Ordering::SeqCst);
    assert_eq!(
        ask(&world, HERE, "POST", REFRESH, by(&token)).await.code(),
        (503, "store".to_owned())
    );
    store.left.store(2, Ordering::SeqCst);
    let answer = ask(&world, HERE, "GET", "/metrics", by(&token)).await;
    assert_eq!(answer.status, 503);
    store.left.store(-1, Ordering::SeqCst);
    assert_eq!(get(&world, SESSION, &token).await.status, 200);
    // The session has ended, whether or not that can be stored.
    store.left.store(2, Ordering::SeqCst);
    let ended = ask(&world, HERE, "DELETE", SESSION, by(&token)).await;
    assert_eq!(ended.code(), (503, "cut_not_stored".to_owned()));
    store.left.store(-1, Ordering::SeqCst);
    assert_eq!(get(&world, SESSION, &token).await.status, 401);
}
