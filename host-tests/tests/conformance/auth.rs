//! Authentication: tokens, refusals, and the hashing pool.

use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::token::{HashJob, Token};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{AskMethod, Asked, Record, Standing};
use handfast_core::{Label, NodeId, UnixTime};
use handfast_server::Gateway;
use handfast_store::{MemoryStore, Store};
use serde_json::json;

use super::Served;

const NOBODY: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
const NO_TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

#[tokio::test]
async fn the_right_token_is_welcomed_with_node_id_and_room() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    for _ in 0..2 {
        let mut client = served.connect().await;
        client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": token})).await;
        assert_eq!(
            client.hear().await,
            json!({"type": "auth_ok", "node_id": node_id.to_string(), "room": "Kitchen"})
        );
        client.expect_open().await;
    }
}

#[tokio::test]
async fn bad_unknown_empty_and_missing_credentials_are_all_invalid() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let id = node_id.to_string();
    for auth in [
        json!({"type": "auth", "node_id": id, "token": NO_TOKEN}),
        json!({"type": "auth", "node_id": NOBODY, "token": token}),
        json!({"type": "auth", "node_id": id, "token": ""}),
        json!({"type": "auth", "node_id": "", "token": token}),
        json!({"type": "auth", "node_id": id}),
        json!({"type": "auth", "token": token}),
        json!({"type": "auth"}),
        json!({"type": "auth", "node_id": id.to_uppercase(), "token": token}),
        json!({"type": "auth", "node_id": id, "token": format!("{token} ")}),
    ] {
        let mut client = served.connect().await;
        client.say(auth).await;
        client.expect_auth_fail("invalid credentials").await;
    }
}

#[tokio::test]
async fn the_right_token_of_an_unapproved_node_is_refused_as_such() {
    let node_id = NodeId::parse(NOBODY).unwrap();
    let token = || Token::parse(NO_TOKEN).unwrap();
    let record = Record {
        node_id,
        name: Label::parse("imported").unwrap().into(),
        room: Label::parse("attic").unwrap().into(),
        address: [192, 0, 2, 1].into(),
        keys: None,
        asked_at: UnixTime::from_secs(1),
        asked: Asked::by(AskMethod::Token),
        standing: Standing::Unapproved { token: HashJob { node_id, token: token() }.run().hash },
    };
    let store = MemoryStore::default();
    store.insert(record, "{}".to_owned(), UnixTime::from_secs(1)).await.unwrap();
    let served = Served::over(Gateway::builder(store).start().await.unwrap()).await;
    let mut client = served.connect().await;
    client.say(json!({"type": "auth", "node_id": NOBODY, "token": NO_TOKEN})).await;
    client.expect_auth_fail("node is not yet approved").await;
    let mut client = served.connect().await;
    client
        .say(json!({"type": "auth", "node_id": NOBODY, "token": NO_TOKEN.replace('H', "h")}))
        .await;
    client.expect_auth_fail("invalid credentials").await;
}

#[tokio::test]
async fn a_muted_node_hears_that_it_is_muted_but_only_with_its_token() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    served.gateway.decide(node_id, &Decision::Mute).await.unwrap();
    for _ in 0..2 {
        let mut client = served.connect().await;
        client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": token})).await;
        assert_eq!(client.hear().await, json!({"type": "muted"}));
        client.expect_close(1008, "Node is muted").await;
    }
    let mut client = served.connect().await;
    client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": NO_TOKEN})).await;
    client.expect_auth_fail("invalid credentials").await;
    served.gateway.decide(node_id, &Decision::Unmute).await.unwrap();
    served.linked(node_id, &token).await.expect_open().await;
}

#[tokio::test]
async fn a_reissued_token_kills_the_old_one_and_its_link_once_it_is_confirmed_or_used() {
    for is_used in [false, true] {
        let served = Served::start().await;
        let (node_id, old) = served.paired("Kitchen Pi").await;
        let mut link = served.linked(node_id, &old).await;
        let issued = served.gateway.pair(node_id, Purpose::Reissue).await.unwrap();
        let new = issued.credential.token().unwrap().expose().to_owned();
        link.expect_open().await;
        let mut used = None;
        match is_used {
            true => used = Some(served.linked(node_id, &new).await),
            false => served.gateway.confirm_delivery(issued.delivery.unwrap().id).await.unwrap(),
        }
        link.expect_auth_fail("invalid credentials").await;
        let mut client = served.connect().await;
        client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": old})).await;
        client.expect_auth_fail("invalid credentials").await;
        match &mut used {
            Some(link) => link.expect_open().await,
            None => served.linked(node_id, &new).await.expect_open().await,
        }
    }
}

#[tokio::test]
async fn what_a_node_sends_right_behind_its_auth_is_not_lost() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut client = served.connect().await;
    client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": token})).await;
    client.text("{").await;
    assert_eq!(client.hear().await["type"], "auth_ok");
    assert_eq!(client.hear().await["message"], "Malformed JSON");
}

#[tokio::test]
async fn a_known_node_is_not_told_from_an_unknown_one_by_what_is_computed() {
    // Both go through the pool, and both are refused there once they have failed too often; a node
    // known from before is not.
    let limits = handfast_core::limits::Limits {
        failures_per_minute: 3,
        ..handfast_core::limits::Limits::DEFAULT
    };
    let served = Served::with(limits).await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    drop(served.linked(node_id, &token).await);
    for id in [node_id.to_string(), NOBODY.to_owned()] {
        let (mut hashed, mut refused) = (0, false);
        while !refused {
            let mut client = served.connect().await;
            client.say(json!({"type": "auth", "node_id": id, "token": NO_TOKEN})).await;
            match client.next().await {
                tokio_tungstenite::tungstenite::Message::Text(text) => {
                    assert_eq!(
                        text.as_str(),
                        r#"{"type":"auth_fail","reason":"invalid credentials"}"#
                    );
                    hashed += 1;
                    assert!(hashed < 100, "{id} is never turned away");
                }
                tokio_tungstenite::tungstenite::Message::Close(Some(frame)) => {
                    assert_eq!(u16::from(frame.code), 1013);
                    refused = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    served.linked(node_id, &token).await.expect_open().await;
}
