//! Nodes that register over HTTP by a provisioning token.

use handfast_core::crypto::base64url;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::lifecycle::Decision;
use serde_json::json;

use super::*;
use crate::entropy;
use crate::operator::NewProvisioningToken;

const NODE: &str = "jarvis-0a1b2c3d";
const REGISTER: &str = "/api/v0/nodes/register";
const TOKEN: &str = "/api/v0/provisioning/token";
const OWN: &str = "/api/v0/nodes/self";

/// Mints a token as the operator at the gateway.
async fn minted(world: &World, node: &str) -> (String, String) {
    let new = NewProvisioningToken { node: node.to_owned(), ..NewProvisioningToken::default() };
    let token = world.gateway.mint_provisioning_token_by(&Authority::OWNER, new).await.unwrap();
    (crate::hex::hex(token.id.as_bytes()), token.text.to_string())
}

fn body(node: &str, token: &str) -> Value {
    json!({ "node_id": node, "provisioning_token": token, "room": "kitchen", "firmware": 7 })
}

async fn post(world: &World, source: IpAddr, body: &str) -> Answer {
    ask(world, source, "POST", REGISTER, Saying { body, ..Saying::default() }).await
}

async fn register(world: &World, node: &str, token: &str) -> Answer {
    post(world, HERE, &body(node, token).to_string()).await
}

/// Returns the status of an answer, and its `detail`.
fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
}

const NO_TOKEN: &str = "Invalid or expired provisioning token";

fn no_token() -> (u16, String) {
    (401, NO_TOKEN.to_owned())
}

async fn own(world: &World, key: &str) -> Answer {
    let headers = format!("X-API-Key: {key}\r\n");
    ask(world, HERE, "GET", OWN, Saying { headers: &headers, ..Saying::default() }).await
}

#[tokio::test]
async fn a_node_that_registers_is_listed_muted_and_revoked_like_every_node() {
    let world = world().await;
    let token = minted(&world, NODE).await.1;
    let answer = register(&world, NODE, &token).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let answer = answer.json();
    let key = answer["node_key"].as_str().unwrap();
    assert_eq!(
        answer,
        json!({"node_id": NODE, "node_key": key, "room": "kitchen", "user": null, "voice_mode": null})
    );
    let admin = world.session_as("admin").await;
    let listed = get(&world, "/api/v1/devices", &admin).await.json();
    let [device] = listed["items"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&device["friendly_name"], &device["room"]), (&json!(NODE), &json!("kitchen")));

    let shown = format!("{NODE}:{key}");
    let answer = own(&world, &shown).await;
    assert_eq!((answer.status, &answer.json()["node_id"]), (200, &json!(NODE)));
    let id = world.gateway.devices(handfast_store::Filter::All, None, 9).await.unwrap();
    let id = handfast_store::node_id(&id.into_iter().next().unwrap().map(|device| device.entry));
    world.gateway.decide(id, &Decision::Mute).await.unwrap();
    assert_eq!(told(&own(&world, &shown).await), (403, "This node is muted".to_owned()));
    world.gateway.decide(id, &Decision::Unmute).await.unwrap();
    assert_eq!(own(&world, &shown).await.status, 200);
    world.gateway.decide(id, &Decision::Unpair).await.unwrap();
    assert_eq!(told(&own(&world, &shown).await), (401, "Invalid API key".to_owned()));
    // Its name may register anew.
    let token = minted(&world, NODE).await.1;
    assert_eq!(register(&world, NODE, &token).await.status, 201);
    assert_eq!(own(&world, &shown).await.status, 401, "the older key stays out");
}

#[tokio::test]
async fn a_key_counts_for_its_own_name_alone_and_none_of_another_kind_does() {
    let world = world().await;
    let (one, two) = (minted(&world, "one").await.1, minted(&world, "two").await.1);
    let key = |answer: Answer| answer.json()["node_key"].as_str().unwrap().to_owned();
    let one = key(register(&world, "one", &one).await);
    let two = key(register(&world, "two", &two).await);
    assert_eq!(own(&world, &format!("two:{two}")).await.status, 200);
    let token = minted(&world, "three").await.1;
    for wrong in [
        format!("two:{one}"),
        format!("one:{two}"),
        format!("one{one}"),
        format!("one:{one}x"),
        format!("one:{}", &one[..one.len() - 1]),
        format!("three:{}", token.strip_prefix("prov_").unwrap()),
        String::new(),
    ] {
        assert_eq!(own(&world, &wrong).await.status, 401, "{wrong}");
    }
    assert_eq!(ask(&world, HERE, "GET", OWN, Saying::default()).await.status, 401);
}

#[tokio::test]
async fn a_token_registers_its_own_node_and_only_once() {
    let world = world().await;
    let token = minted(&world, NODE).await.1;
    assert_eq!(told(&register(&world, "jarvis-0a1b2c3e", &token).await), no_token());
    assert_eq!(register(&world, NODE, &token).await.status, 201, "the attempt spent nothing");
    assert_eq!(told(&register(&world, NODE, &token).await), no_token());
    let second = minted(&world, NODE).await.1;
    let already = (400, "Node already registered".to_owned());
    assert_eq!(told(&register(&world, NODE, &second).await), already);

    let (id, token) = minted(&world, "jarvis-2").await;
    let admin = world.session_as("admin").await;
    let path = format!("/api/v1/pairing/codes/{id}");
    let codes = get(&world, "/api/v1/pairing/codes", &admin).await.json();
    let listed = codes["items"].as_array().unwrap().iter().find(|code| code["id"] == json!(id));
    assert_eq!(listed.unwrap()["kind"], "provisioning");
    assert_eq!(listed.unwrap()["node_id"], "jarvis-2");
    assert!(!codes.to_string().contains(&token[30..]), "a list has no secrets");
    assert_eq!(ask(&world, HERE, "DELETE", &path, by(&admin)).await.status, 200);
    assert_eq!(told(&register(&world, "jarvis-2", &token).await), no_token());
}

#[tokio::test]
async fn of_registrations_at_once_exactly_one_gets_a_key() {
    let world =
        std::sync::Arc::new(limited(Limits { failures_per_minute: 100, ..Limits::DEFAULT }).await);
    let token = minted(&world, NODE).await.1;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (world, token) = (std::sync::Arc::clone(&world), token.clone());
        all.spawn(async move { register(&world, NODE, &token).await.status });
    }
    let statuses = all.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 401)), "{statuses:?}");
    assert_eq!(world.gateway.summary().await.unwrap().nodes.paired, 1);
}

#[tokio::test]
async fn wrong_tokens_and_keys_use_up_the_budget_of_their_source_alone() {
    let world = limited(Limits { failures_per_minute: 5, ..Limits::DEFAULT }).await;
    let token = minted(&world, NODE).await.1;
    for guess in 0..5 {
        let answer = match guess % 2 {
            0 => register(&world, NODE, &format!("prov_{guess}")).await,
            _ => own(&world, &format!("{NODE}:{guess}")).await,
        };
        assert_eq!(answer.status, 401);
    }
    let answer = register(&world, NODE, &token).await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 60"), "{}", answer.head);
    assert_eq!(own(&world, "a:b").await.status, 429);
    let elsewhere = post(&world, ELSEWHERE, &body(NODE, &token).to_string()).await;
    assert_eq!(elsewhere.status, 201, "{}", elsewhere.body);
}

#[tokio::test]
async fn a_node_that_registers_in_vain_with_a_right_token_uses_up_no_budget() {
    let world = limited(Limits { failures_per_minute: 2, ..Limits::DEFAULT }).await;
    let (first, second) = (minted(&world, NODE).await.1, minted(&world, NODE).await.1);
    assert_eq!(register(&world, NODE, &first).await.status, 201);
    for _ in 0..4 {
        assert_eq!(register(&world, NODE, &second).await.status, 400);
    }
}

#[tokio::test]
async fn a_body_that_is_none_is_refused_without_repeating_its_secrets() {
    let world = world().await;
    let answer = post(&world, HERE, r#"{"node_id":"n","provisioning_token":"s3cret"}"#).await;
    assert_eq!(answer.status, 422);
    let missing = json!([{"type": "missing", "loc": ["body", "room"], "msg": "Field required"}]);
    assert_eq!(answer.json()["detail"], missing);
    let answer = post(&world, HERE, r#"{"provisioning_token":"s3cret""#).await;
    assert_eq!(answer.status, 422);
    assert!(!answer.body.contains("s3cret"), "{}", answer.body);
    let large = body(NODE, &"x".repeat(4096)).to_string();
    assert_eq!(post(&world, HERE, &large).await.status, 413);
    assert_eq!(ask(&world, HERE, "GET", REGISTER, Saying::default()).await.status, 404);
    assert_eq!(world.gateway.summary().await.unwrap().nodes.paired, 0);
}

#[tokio::test]
async fn a_token_is_minted_by_those_who_may_and_no_wider_than_they_may() {
    let world = world().await;
    let mint = async |token: &str, body: &str| {
        let saying = Saying { bearer: Some(token), body, ..Saying::default() };
        ask(&world, HERE, "POST", TOKEN, saying).await
    };
    let admin = world.session_as("admin").await;
    let body_of = json!({ "node_id": NODE, "household_id": "h", "permissions": {} }).to_string();
    let minted = mint(&admin, &body_of).await;
    assert_eq!(minted.status, 201, "{}", minted.body);
    let minted = minted.json();
    assert_eq!((&minted["node_id"], &minted["expires_in"]), (&json!(NODE), &json!(600)));
    assert!(minted["token"].as_str().unwrap().starts_with("prov_"));
    assert!(minted["expires_at"].as_str().unwrap().ends_with('Z'));
    for (profile, status) in [("reader", 403), ("one", 403), ("none", 403)] {
        let session = world.session_as(profile).await;
        assert_eq!(mint(&session, &body_of).await.status, status, "{profile}");
    }
    assert_eq!(ask(&world, HERE, "POST", TOKEN, Saying::default()).await.status, 401);
    assert_eq!(mint(&admin, "{}").await.code(), (400, "usage".to_owned()));
    let wide = json!({ "node_id": NODE, "permissions": { "write": ["/lights/**"] } }).to_string();
    assert_eq!(mint(&admin, &wide).await.code(), (403, "wider_than_yours".to_owned()));

    // Nothing bounds a node without a native key, so a session's token does not register one.
    let token = minted["token"].as_str().unwrap();
    assert_eq!(register(&world, NODE, token).await.status, 403);
    let keys = OwnKeys::generate(&entropy::draw());
    let native = base64url::encode_32(keys.channel.public().as_bytes());
    let mut with_key = body(NODE, token);
    with_key["native_key"] = std::str::from_utf8(&native).unwrap().into();
    assert_eq!(post(&world, HERE, &with_key.to_string()).await.status, 201);
}

#[tokio::test]
async fn a_token_ends_with_the_session_that_minted_it() {
    let world = world().await;
    let admin = world.session_as("admin").await;
    let body_of = json!({ "node_id": NODE, "permissions": {} }).to_string();
    let saying = Saying { bearer: Some(&admin), body: &body_of, ..Saying::default() };
    let minted = ask(&world, HERE, "POST", TOKEN, saying).await.json();
    world.gateway.revoke_companion(world.id_of(&admin).await).await.unwrap();
    let token = minted["token"].as_str().unwrap();
    assert_eq!(told(&register(&world, NODE, token).await), no_token());
}

#[tokio::test]
async fn neither_tokens_nor_keys_are_at_rest() {
    use handfast_core::registry::codes::CodeId;
    let world = world().await;
    let (id, token) = minted(&world, NODE).await;
    let id = u128::from_str_radix(&id, 16).unwrap().to_be_bytes();
    let stored = world.gateway.inner.store.code(CodeId::from_bytes(id)).await.unwrap().unwrap();
    let secret = token.rsplit_once('.').unwrap().1;
    let mut bytes = [0; 32];
    let secret = base64url::decode(secret, &mut bytes).unwrap();
    assert!(stored.sealed.len() == 32 && stored.sealed != secret);
    register(&world, NODE, &token).await;
    let spent = world.gateway.inner.store.code(CodeId::from_bytes(id)).await.unwrap().unwrap();
    assert_eq!(spent.sealed, Vec::<u8>::new());
}
