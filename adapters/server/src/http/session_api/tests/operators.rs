use std::time::Duration;

use handfast_core::registry::logins::LoginKind;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_session_with_every_permission_does_nothing_that_is_the_owners_alone() {
    let world = world().await;
    let token = world.session_as("admin").await;
    let document = get(&world, "/api/v1/openapi.json", &token).await.json();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, what) in item.as_object().unwrap() {
            let is_read = method == "get";
            if what["x-handfast-role"] != "owner" && what["x-handfast-fresh-login"] != true {
                continue;
            }
            assert!(!is_read, "{path} is read by whoever reads");
            let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
            let path = parts.collect::<Vec<_>>().join("/");
            let says = Saying { body: r#"{"role":"owner"}"#, ..by(&token) };
            let answer = ask(&world, HERE, &method.to_uppercase(), &path, says).await;
            assert_eq!(answer.code(), (403, "not_allowed".to_owned()), "{method} {path}");
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
    assert!(world.gateway.logins(LoginKind::Token).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_session_may_reach_its_permissions_say() {
    let world = world().await;
    let mut token = std::collections::HashMap::new();
    for profile in ["admin", "reader", "one", "none"] {
        token.insert(profile, world.session_as(profile).await);
    }
    let nobody = "/api/v1/devices/00000000/mute";
    for (method, path, may) in [
        (
            "GET",
            "/api/v1/devices",
            &[("admin", 200), ("reader", 200), ("one", 200), ("none", 403)][..],
        ),
        ("GET", "/api/v1/status", &[("admin", 200), ("reader", 200), ("one", 403), ("none", 403)]),
        (
            "GET",
            "/api/v1/sessions",
            &[("admin", 200), ("reader", 200), ("one", 403), ("none", 403)],
        ),
        ("GET", "/api/v1/pairing", &[("admin", 200), ("reader", 403), ("one", 403), ("none", 403)]),
        (
            "GET",
            "/api/v1/pairing/codes",
            &[("admin", 200), ("reader", 403), ("one", 403), ("none", 403)],
        ),
        ("GET", "/api/v1/events", &[("reader", 403), ("one", 403), ("none", 403)]),
        ("POST", "/api/v1/setup", &[("reader", 403), ("one", 403), ("none", 403)]),
        // No session may replace the key of setup codes.
        ("POST", "/api/v1/setup/rotate", &[("admin", 403)]),
        ("GET", "/api/v1/inbound", &[("admin", 200), ("reader", 403), ("one", 403), ("none", 403)]),
        ("POST", nobody, &[("admin", 404), ("reader", 403), ("one", 403), ("none", 403)]),
        (
            "GET",
            "/api/v1/no-such-route",
            &[("admin", 404), ("reader", 404), ("one", 403), ("none", 403)],
        ),
        ("PUT", "/api/v1/devices", &[("admin", 405), ("reader", 403), ("one", 403)]),
    ] {
        for (profile, status) in may {
            let answer = ask(&world, HERE, method, path, by(&token[profile])).await;
            assert_eq!(answer.status, *status, "{profile} {method} {path} {}", answer.body);
            if answer.status == 403 {
                assert_eq!(answer.code().1, "not_allowed");
            }
        }
    }
    for path in [
        "/api/v1/devices/..%2fevents",
        "/api/v1/devices/../events",
        "/api/v1//events",
        "/api/v1/%2e%2e/x",
    ] {
        assert_eq!(
            get(&world, path, &token["reader"]).await.code(),
            (400, "bad_address".to_owned()),
            "{path}"
        );
    }
    assert_eq!(get(&world, "/api/v1", &token["reader"]).await.status, 403);
    assert_eq!(get(&world, "/api/v1", &token["admin"]).await.status, 404);
    // A pattern for everything covers the application's addresses, not the gateway's.
    let everything = world.session().await;
    assert_eq!(
        get(&world, "/api/v1/devices", &everything).await.code(),
        (403, "not_allowed".to_owned())
    );
}

#[tokio::test]
async fn a_session_sends_nodes_nothing_that_its_own_scopes_do_not_allow() {
    let world = world().await;
    let token = world.session_as("admin").await;
    let says = Saying { body: r#"{"address": "/lights/1", "text": "on"}"#, ..by(&token) };
    let answer = ask(&world, HERE, "POST", "/api/v1/devices/lamp/send", says).await;
    assert_eq!(answer.code(), (403, "wider_than_yours".to_owned()), "{}", answer.body);
    assert!(answer.body.contains("write:/lights/1"), "{}", answer.body);
}

#[tokio::test]
async fn a_session_that_was_revoked_reaches_nothing_from_the_next_request_on() {
    let world = world().await;
    let token = world.session_as("admin").await;
    assert_eq!(get(&world, "/api/v1/devices", &token).await.status, 200);
    world.gateway.revoke_companion(world.id_of(&token).await).await.unwrap();
    assert_eq!(
        get(&world, "/api/v1/devices", &token).await.code(),
        (401, "bearer_unknown".to_owned())
    );
}

#[tokio::test]
async fn what_a_session_listens_to_ends_with_it() {
    let world = world().await;
    let token = world.session_as("admin").await;
    let id = world.id_of(&token).await;
    let mut stream = world.tcp(HERE).await;
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("listening") {
        assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
    }
    world.gateway.revoke_companion(id).await.unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut heard)).await;
    rest.expect("it ends at once").unwrap();
}

#[tokio::test]
async fn a_body_has_at_most_64_kib_whatever_it_says_of_its_length() {
    let world = world().await;
    let token = world.session_as("admin").await;
    let long = json!({"profile": "x".repeat(64 * 1024)}).to_string();
    let answer =
        ask(&world, HERE, "POST", "/api/v1/pairing", Saying { body: &long, ..by(&token) }).await;
    assert_eq!(answer.code(), (413, "usage".to_owned()));

    let mut stream = world.tcp(HERE).await;
    let head = format!(
        "POST /api/v1/pairing HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunked = format!("{head}{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 413"));
}
