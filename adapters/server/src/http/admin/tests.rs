//! The routes of pairing, as the command line calls them.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::{Extension, Router};
use handfast_core::registry::authority::{Authority, Role};
use handfast_store::MemoryStore;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Caller, admin_router, routes};
use crate::gateway::Gateway;
use crate::policy::settings::PairingSettings;

async fn gateway() -> (Gateway, Router) {
    let settings = PairingSettings {
        addresses: vec!["ws://192.0.2.1:8765".to_owned()],
        ..PairingSettings::default()
    };
    let gateway = Gateway::builder(MemoryStore::default()).pairing(settings).start().await.unwrap();
    let router = admin_router(&gateway);
    (gateway, router)
}

async fn call(router: &Router, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 65_536).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// Returns the seconds of a time.
fn secs(time: &Value) -> u64 {
    serde_json::from_value::<super::Time>(time.clone()).unwrap().as_secs()
}

#[tokio::test]
async fn pairing_is_opened_shown_and_closed() {
    let (gateway, router) = gateway().await;
    let (status, shown) = call(&router, "GET", "/api/v1/pairing", Value::Null).await;
    assert_eq!(
        (status, &shown["open"], &shown["wrong_pins"]),
        (StatusCode::OK, &json!(false), &json!(0))
    );
    assert_eq!(shown["fingerprint"], gateway.fingerprint().to_string());
    let (_, opened) =
        call(&router, "POST", "/api/v1/pairing", json!({"open": true, "for_seconds": 60})).await;
    assert_eq!(secs(&opened["closes_at"]) - secs(&opened["since"]), 60);
    let (_, closed) = call(&router, "POST", "/api/v1/pairing", json!({"open": false})).await;
    assert_eq!(closed["open"], json!(false));
    for wrong in [
        json!({}),
        json!({"open": false, "for_seconds": 3}),
        json!({"open": true, "for_seconds": 0}),
        json!({"open": true, "minutes": 5}),
    ] {
        let (status, body) = call(&router, "POST", "/api/v1/pairing", wrong).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("usage")));
    }
}

#[tokio::test]
async fn a_code_is_minted_shown_once_listed_without_its_secret_and_withdrawn() {
    let (_, router) = gateway().await;
    let asked = json!({"permissions": {"read": ["/public/**"]}, "expires_seconds": 60, "uses": 2, "label": "guests"});
    let (status, minted) = call(&router, "POST", "/api/v1/pairing/codes", asked).await;
    assert_eq!(status, StatusCode::OK);
    let code = minted["code"].as_str().unwrap();
    assert!(minted["invitation"].as_str().unwrap().ends_with(code));
    assert!(code.starts_with(minted["selector"].as_str().unwrap()));
    let (_, listed) = call(&router, "GET", "/api/v1/pairing/codes", Value::Null).await;
    assert_eq!(listed["items"][0]["permissions"], json!({"read": ["/public/**"], "write": []}));
    assert_eq!(
        (&listed["items"][0]["uses_left"], &listed["items"][0]["label"]),
        (&json!(2), &json!("guests"))
    );
    assert!(!listed.to_string().contains(&code[5..]));
    let path = format!("/api/v1/pairing/codes/{}", minted["id"].as_str().unwrap());
    assert_eq!(
        call(&router, "DELETE", &path, Value::Null).await.1,
        json!({"items": [], "next": null, "total": 0})
    );
    assert_eq!(call(&router, "DELETE", &path, Value::Null).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_permission_that_is_none_is_named_and_no_code_is_left_behind() {
    let (_, router) = gateway().await;
    let wrong = json!({"permissions": {"read": ["/a/../b"]}});
    let (status, body) = call(&router, "POST", "/api/v1/pairing/codes", wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body["error"]["message"],
        "the permission to read \"/a/../b\" is none: the path has a segment . or .."
    );
    let (status, _) =
        call(&router, "POST", "/api/v1/pairing/codes", json!({"addresses": ["http://host"]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        call(&router, "GET", "/api/v1/pairing/codes", Value::Null).await.1,
        json!({"items": [], "next": null, "total": 0})
    );
}

#[tokio::test]
async fn nobody_is_revoked_by_a_name_that_nobody_has() {
    let (_, router) = gateway().await;
    assert_eq!(
        call(&router, "GET", "/api/v1/paired", Value::Null).await.1,
        json!({"items": [], "next": null})
    );
    let (status, body) =
        call(&router, "POST", "/api/v1/paired/My%20Phone/revoke", Value::Null).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    assert!(body["error"]["message"].as_str().unwrap().contains("\"My Phone\""));
    let (_, all) = call(&router, "POST", "/api/v1/paired/revoke-all", Value::Null).await;
    assert_eq!(all, json!({"revoked": 0, "failed": []}));
}

#[tokio::test]
async fn events_come_a_line_each_and_end_with_the_gateway() {
    let (gateway, router) = gateway().await;
    let request = Request::builder().uri("/api/v1/events").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    gateway.open_pairing(None).await.unwrap();
    gateway.close_pairing().await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let mut next = async || {
        let line = futures_util::StreamExt::next(&mut body).await?.unwrap();
        Some(serde_json::from_slice::<Value>(&line).unwrap()["event"].as_str().unwrap().to_owned())
    };
    for expected in ["listening", "window_opened", "window_closed"] {
        assert_eq!(next().await.as_deref(), Some(expected));
    }
    gateway.shut_down();
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_viewer_hears_that_a_pin_is_shown_and_not_which_and_an_operator_does() {
    let (gateway, _) = gateway().await;
    let secret = handfast_core::crypto::code::Code::parse("847291").unwrap();
    let shown = crate::Event::PairingRequest {
        name: "phone".to_owned(),
        room: "hall".to_owned(),
        fingerprint: gateway.fingerprint(),
        pin: crate::events::Pin::new(secret),
        expires_in: 300,
        address: [127, 0, 0, 1].into(),
        opened_by: handfast_core::registry::authority::Maker::Operator,
    };
    for (role, expected) in [
        (Role::Viewer, Value::Null),
        (Role::Operator, json!("847291")),
        (Role::Owner, json!("847291")),
    ] {
        let router =
            routes(&gateway).layer(Extension(Caller::new(Authority::Operator(role), None)));
        let request = Request::builder().uri("/api/v1/events").body(Body::empty()).unwrap();
        let mut body = router.oneshot(request).await.unwrap().into_body().into_data_stream();
        let mut line = async || {
            let line = futures_util::StreamExt::next(&mut body).await.unwrap().unwrap();
            serde_json::from_slice::<Value>(&line).unwrap()
        };
        assert_eq!(line().await["event"], "listening");
        gateway.event(shown.clone());
        let heard = line().await;
        assert_eq!(
            (&heard["friendly_name"], &heard["pin"]),
            (&json!("phone"), &expected),
            "{role:?}"
        );
    }
}

#[tokio::test]
async fn a_request_of_which_nobody_says_by_whose_right_it_comes_makes_nothing() {
    let (_, router) = gateway().await;
    let (gateway, _) = gateway().await;
    let bare = routes(&gateway);
    for path in
        ["/api/v1/pairing/codes", "/api/v1/pairing", "/api/v1/setup", "/api/v1/inbound/seed"]
    {
        assert_eq!(
            call(&bare, "POST", path, json!({"open": true})).await.0,
            StatusCode::INTERNAL_SERVER_ERROR,
            "{path}"
        );
    }
    assert!(
        gateway.codes().await.unwrap().is_empty() && !gateway.pairing_status().await.unwrap().open
    );
    assert_eq!(call(&router, "POST", "/api/v1/pairing/codes", json!({})).await.0, StatusCode::OK);
}
