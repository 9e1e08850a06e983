//! The document against the routes.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use handfast_store::MemoryStore;
use tower::ServiceExt;

use super::*;
use crate::gateway::Gateway;
use crate::http::admin::admin_router;
use crate::http::session_api;

async fn gateway() -> Gateway {
    Gateway::builder(MemoryStore::default()).start().await.unwrap()
}

/// Returns the documented operations: method, path, and what is said of it.
fn operations() -> Vec<(Method, String, Value)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap().clone();
    let of = |(path, item): (String, Value)| {
        let operations = item.as_object().unwrap().clone();
        operations
            .into_iter()
            .map(move |(method, what)| (method.to_uppercase().parse().unwrap(), path.clone(), what))
    };
    paths.into_iter().flat_map(of).collect()
}

/// Returns the paths of a router, as its debug text shows them.
fn paths_of(router: &axum::Router) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let parts = text.split('"').filter(|part| part.starts_with("/api/v1"));
    parts.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_path_of_the_api_is_documented_and_every_documented_one_is_served() {
    let gateway = gateway().await;
    let documented: BTreeSet<String> = operations().into_iter().map(|(_, path, _)| path).collect();
    let local = paths_of(&admin_router(&gateway));
    let public = paths_of(&session_api::router(&gateway));
    let served: BTreeSet<String> = local.union(&public).cloned().collect();
    assert!(served.len() > 50, "{served:?}");
    assert_eq!(served, documented);

    let router = admin_router(&gateway);
    for (method, path, what) in operations() {
        if what["x-handfast-role"] == "companion" {
            continue;
        }
        let ask = async |method: &Method| {
            let request = Request::builder().method(method).uri(sample(&path));
            let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
            answer.unwrap()
        };
        let answer = ask(&method).await;
        assert_ne!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        if answer.status() == StatusCode::NOT_FOUND {
            let body = to_bytes(answer.into_body(), 65_536).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["code"], "not_found", "{method} {path}");
        }
        assert_eq!(ask(&Method::PATCH).await.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[test]
fn every_operation_says_what_it_does_who_may_do_it_and_what_it_answers() {
    let mut ids = BTreeSet::new();
    for (method, path, what) in operations() {
        let named = format!("{method} {path}");
        let summary = what["summary"].as_str().unwrap_or_default();
        assert!(summary.ends_with(['.', ':']), "{named}: {summary}");
        assert!(what["tags"][0].is_string(), "{named}");
        assert!(ids.insert(what["operationId"].as_str().unwrap().to_owned()), "{named}");
        let role = what["x-handfast-role"].as_str();
        assert_eq!(role.is_none(), path == PATH, "{named}");
        let reached_over_http = !matches!(role, None | Some("local"));
        assert_eq!(!what["security"].as_array().unwrap().is_empty(), reached_over_http, "{named}");
        let answers = what["responses"].as_object().unwrap();
        assert!(answers["200"]["content"].is_object(), "{named}");
        assert!(!answers["200"]["description"].as_str().unwrap().is_empty(), "{named}");
        assert!(answers.contains_key("default"), "{named}");
        for parameter in what["parameters"].as_array().into_iter().flatten() {
            assert!(!parameter["description"].as_str().unwrap_or_default().is_empty(), "{named}");
        }
        if let Some(body) = what.get("requestBody") {
            assert!(body["content"]["application/json"]["schema"]["$ref"].is_string(), "{named}");
        }
    }
    for (id, role, fresh) in [
        ("get_status", "viewer", false),
        ("get_pairing_codes", "viewer", false),
        ("post_pairing_codes", "operator", false),
        ("post_devices_one_pair", "operator", false),
        ("post_deliveries_one_confirm", "operator", false),
        ("post_tokens", "owner", true),
        ("post_ca_rotate", "owner", true),
        ("post_clock", "local", false),
        ("post_logins", "local", false),
        ("get_session", "companion", false),
    ] {
        let found = operations().into_iter().find(|(_, _, what)| what["operationId"] == id);
        let (_, _, what) = found.unwrap_or_else(|| panic!("{id}"));
        assert_eq!(what["x-handfast-role"], role, "{id}");
        assert_eq!(what["x-handfast-fresh-login"] == true, fresh, "{id}");
    }
}

#[test]
fn every_type_and_each_of_its_members_is_described_and_every_reference_leads_somewhere() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name}");
        for (member, what) in schema["properties"].as_object().into_iter().flatten() {
            // What may be null is described beside its type.
            let described =
                what["description"].is_string() || what["oneOf"][0]["description"].is_string();
            assert!(described, "{name}.{member}");
        }
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
