use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use handfast_core::NodeId;
use handfast_core::grant::scope::{Action, Address, ScopesBuf};
use handfast_store::MemoryStore;
use tower::ServiceExt;

use handfast_core::Instant;
use handfast_core::grant::capability::Held;

use super::*;
use crate::gateway::Gateway;
use crate::gateway::bearers::Bearers;

fn holder(byte: u8) -> BearerHolder {
    BearerHolder::Node(NodeId::from_bytes([byte; 16]))
}

fn scopes() -> ScopesBuf {
    ScopesBuf::parse("read:/lights/**\nwrite:/lights/kitchen\n").unwrap()
}

fn issue(bearers: &Bearers, who: BearerHolder, held: &[Held], now: Instant) -> String {
    bearers.issue((who, held), scopes(), None, now).unwrap().expose().to_owned()
}

async fn gateway() -> (Gateway, String) {
    let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
    let token = issue(&gateway.inner.pairing.bearers, holder(1), &[], gateway.inner.clock.now());
    (gateway, token)
}

/// A router that answers 200 for whatever is let through, with the number of bytes that the
/// extractor's scopes have.
fn router(gateway: &Gateway, require: Require) -> Router {
    async fn inside(permit: Bearer) -> String {
        permit.scopes().as_str().len().to_string()
    }
    Router::new().fallback(get(inside)).layer(require).with_state(gateway.clone())
}

async fn ask(
    router: &Router,
    path: &str,
    header: Option<&str>,
) -> (StatusCode, String, Option<String>) {
    let mut request = Request::builder().uri(path);
    if let Some(header) = header {
        request = request.header(AUTHORIZATION, header);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenge =
        response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), challenge)
}

#[tokio::test]
async fn a_bearer_lets_through_what_its_scopes_allow_and_nothing_else() {
    let (gateway, token) = gateway().await;
    let header = format!("Bearer {token}");
    let (reads, writes) = (
        router(&gateway, gateway.require(Action::Read)),
        router(&gateway, gateway.require(Action::Write)),
    );
    let of = async |router, path| ask(router, path, Some(&header)).await.0;
    assert_eq!(
        ask(&reads, "/lights/hall", Some(&header)).await.1,
        scopes().as_str().len().to_string()
    );
    assert_eq!(of(&reads, "/lights").await, StatusCode::OK);
    assert_eq!(of(&reads, "/lightsX").await, StatusCode::FORBIDDEN);
    assert_eq!(of(&reads, "/").await, StatusCode::FORBIDDEN);
    assert_eq!(of(&writes, "/lights/kitchen").await, StatusCode::OK);
    assert_eq!(of(&writes, "/lights/hall").await, StatusCode::FORBIDDEN);
    let fixed = router(&gateway, gateway.require_at(Action::Write, "/lights/kitchen").unwrap());
    assert_eq!(of(&fixed, "/anything/else").await, StatusCode::OK);
    assert!(gateway.require_at(Action::Read, "/lights/*").is_err());
}

#[tokio::test]
async fn without_a_bearer_or_with_one_that_is_unknown_nothing_is_let_through() {
    let (gateway, token) = gateway().await;
    let reads = router(&gateway, gateway.require(Action::Read));
    for missing in [None, Some("Bearer"), Some("Basic dXNlcjpwYXNz"), Some(token.as_str())] {
        let (status, body, challenge) = ask(&reads, "/lights", missing).await;
        assert_eq!(
            (status, challenge.as_deref()),
            (StatusCode::UNAUTHORIZED, Some("Bearer")),
            "{missing:?}"
        );
        assert!(body.contains("bearer_missing"), "{body}");
    }
    let other = token.chars().rev().collect::<String>();
    for unknown in ["Bearer x", "Bearer ", &format!("Bearer {other}"), &format!("Bearer {token}=")]
    {
        let (status, body, challenge) = ask(&reads, "/lights", Some(unknown)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{unknown}");
        assert!(
            body.contains("bearer_unknown") && challenge.unwrap().contains("invalid_token"),
            "{body}"
        );
    }
    let twice = Request::builder().uri("/lights").header(AUTHORIZATION, format!("Bearer {token}"));
    let twice = twice.header(AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap();
    assert_eq!(
        reads.oneshot(twice).await.unwrap().status(),
        StatusCode::UNAUTHORIZED,
        "two headers say nothing"
    );
}

#[tokio::test]
async fn a_path_that_leaves_its_place_is_no_address() {
    let (gateway, token) = gateway().await;
    let reads = router(&gateway, gateway.require(Action::Read));
    for path in [
        "/lights/../secret",
        "/lights/..",
        "/lights/./hall",
        "/lights//hall",
        "/lights/",
        "/lights/%2e%2e/secret",
        "/lights/..%2fsecret",
        "/lights/%252e%252e/secret",
        "/lights/*",
        "/lights/a%00b",
    ] {
        let (status, body, _) = ask(&reads, path, Some(&format!("Bearer {token}"))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(body.contains("bad_address"), "{body}");
    }
}

#[tokio::test]
async fn a_revoked_bearer_is_refused_at_once() {
    let (gateway, token) = gateway().await;
    let reads = router(&gateway, gateway.require(Action::Read));
    let header = format!("Bearer {token}");
    assert_eq!(ask(&reads, "/lights", Some(&header)).await.0, StatusCode::OK);
    gateway.inner.pairing.bearers.drop_holder(holder(1));
    assert_eq!(ask(&reads, "/lights", Some(&header)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_extractor_works_without_the_layer_and_asks_for_addresses() {
    async fn inside(permit: Bearer) -> String {
        let allows = |address| permit.allows(Action::Write, &Address::parse(address).unwrap());
        format!("{} {}", allows("/lights/kitchen"), allows("/lights/hall"))
    }
    let (gateway, token) = gateway().await;
    let router = Router::new().route("/any", get(inside)).with_state(gateway);
    assert_eq!(ask(&router, "/any", Some(&format!("bearer {token}"))).await.1, "true false");
    assert_eq!(ask(&router, "/any", None).await.0, StatusCode::UNAUTHORIZED);
}
