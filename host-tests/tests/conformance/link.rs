//! Properties of a link after authentication.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::limits::Limits;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::{NodeId, Span};
use handfast_server::{Application, Gateway};
use handfast_store::MemoryStore;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{Served, eventually};

#[tokio::test]
async fn malformed_frames_are_answered_and_the_link_stays_open_each_time() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    for _ in 0..3 {
        link.expect_open().await;
    }
    link.text("[]").await;
    assert_eq!(link.hear().await["message"], "Message must be a JSON object");
    link.say(json!({"type": "heartbeat", "occupancy": 7})).await;
    assert_eq!(link.hear().await["message"], "occupancy must be true, false or null");
    link.expect_open().await;
}

#[tokio::test]
async fn a_heartbeat_updates_the_sensors_and_null_keeps_the_last_value() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    // Unknown types, a second auth and a second request are skipped.
    link.say(json!({"type": "dance"})).await;
    link.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": "wrong"})).await;
    link.say(json!({"type": "pair_request", "friendly_name": "k\u{fc}che"})).await;
    link.say(
        json!({"type": "heartbeat", "occupancy": true, "noise_level": 0.42, "wake_word_fp": false}),
    )
    .await;
    link.say(json!({"type": "heartbeat", "occupancy": null, "noise_level": null})).await;
    link.expect_open().await;
    let device = served.gateway.device_by_prefix(&node_id.to_string()).await.unwrap();
    let observed = device.entry.observed.unwrap();
    assert!(device.online && observed.last_seen.as_secs() > 0);
    assert_eq!(
        (observed.occupancy, observed.noise_level, observed.wake_word_fp),
        (Some(true), Some(0.42), Some(false))
    );
}

#[tokio::test]
async fn a_heartbeat_with_a_number_that_only_python_writes_is_used_but_for_that_number() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    link.say(json!({"type": "heartbeat", "noise_level": -3.5})).await;
    for number in ["-Infinity", "Infinity", "NaN"] {
        link.text(&format!(r#"{{"type": "heartbeat", "occupancy": true, "noise_level": {number}, "wake_word_fp": true}}"#)).await;
    }
    // Only malformed frames are answered.
    link.expect_open().await;
    let observed = served
        .gateway
        .device_by_prefix(&node_id.to_string())
        .await
        .unwrap()
        .entry
        .observed
        .unwrap();
    assert_eq!(
        (observed.occupancy, observed.noise_level, observed.wake_word_fp),
        (Some(true), Some(-3.5), Some(true))
    );

    let mut asks = served.connect().await;
    asks.text(r#"{"type":"pair_request","friendly_name":"Attic Pi","room":"Attic","hardware_profile":{"floor":-Infinity,"name":"NaN"}}"#)
        .await;
    let pending = asks.hear().await;
    let device =
        served.gateway.device_by_prefix(pending["node_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(device.entry.profile, r#"{"floor":null,"name":"NaN"}"#);
}

#[tokio::test]
async fn a_node_is_online_while_it_is_linked_and_offline_after() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    assert!(!served.online(node_id).await);
    let link = served.linked(node_id, &token).await;
    assert!(served.online(node_id).await);
    drop(link);
    served.until_offline(node_id).await;
}

#[tokio::test]
async fn muting_and_unpairing_reach_a_silent_link_at_once() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    served.gateway.decide(node_id, &Decision::Mute).await.unwrap();
    assert_eq!(link.hear().await, json!({"type": "muted"}));
    link.expect_close(1008, "Node is muted").await;

    served.gateway.decide(node_id, &Decision::Unmute).await.unwrap();
    let mut link = served.linked(node_id, &token).await;
    served.gateway.decide(node_id, &Decision::Unpair).await.unwrap();
    link.expect_auth_fail("invalid credentials").await;
    let mut client = served.connect().await;
    client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": token})).await;
    client.expect_auth_fail("invalid credentials").await;
}

#[tokio::test]
async fn a_decision_reaches_the_link_even_if_whoever_made_it_has_gone() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    // Dropped after its first step, as a handler is when the operator disconnects.
    let dropped = tokio::time::timeout(
        std::time::Duration::ZERO,
        served.gateway.decide(node_id, &Decision::Mute),
    )
    .await;
    let _ = dropped;
    assert_eq!(link.hear().await, json!({"type": "muted"}));
}

#[tokio::test]
async fn deciding_once_more_tells_the_link_once_more() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    served.gateway.decide(node_id, &Decision::Mute).await.unwrap();
    served.gateway.decide(node_id, &Decision::Mute).await.unwrap();
    served.gateway.decide(node_id, &Decision::Unpair).await.unwrap();
    assert!(served.gateway.decide(node_id, &Decision::Unpair).await.is_err());
    let mut client = served.connect().await;
    client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": token})).await;
    client.expect_auth_fail("invalid credentials").await;
}

#[tokio::test]
async fn a_goodbye_is_answered() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    link.send(Message::Close(None)).await;
    assert!(matches!(link.next().await, Message::Close(_)));
}

struct Panicking;

impl handfast_server::Observer for Panicking {
    fn event(&self, _: &handfast_server::Event) {
        panic!("an observer's own problem");
    }
}

#[tokio::test]
async fn an_observer_that_panics_harms_nobody() {
    let served = Served::over(
        Gateway::builder(MemoryStore::default()).observer(Panicking).start().await.unwrap(),
    )
    .await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    served.gateway.decide(node_id, &Decision::Mute).await.unwrap();
    assert_eq!(link.hear().await, json!({"type": "muted"}));
}

#[tokio::test]
async fn the_newest_connection_of_a_node_wins() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut older = served.linked(node_id, &token).await;
    let mut newer = served.linked(node_id, &token).await;
    older.expect_close(1008, "Replaced by a newer connection").await;
    newer.expect_open().await;
    assert!(served.online(node_id).await);
}

#[tokio::test]
async fn a_connection_that_has_not_proven_itself_replaces_nobody() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    let mut thief = served.connect().await;
    thief
        .say(json!({"type": "auth", "node_id": node_id.to_string(), "token": "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}))
        .await;
    thief.expect_auth_fail("invalid credentials").await;
    link.expect_open().await;
}

#[tokio::test]
async fn the_gateway_pings_and_drops_a_peer_that_does_not_answer() {
    let limits = Limits {
        ping_every: Span::from_millis(30),
        pong_within: Span::from_millis(60),
        ..Limits::DEFAULT
    };
    let served = Served::with(limits).await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut alive = served.linked(node_id, &token).await;
    // Reading answers pings; the link still stands after several of them.
    let reading = tokio::time::timeout(std::time::Duration::from_millis(400), alive.next()).await;
    assert!(reading.is_err() && served.online(node_id).await);
    // A client that never reads answers no ping.
    served.until_offline(node_id).await;
}

struct Recorder(mpsc::UnboundedSender<(NodeId, Vec<u8>)>);

#[async_trait]
impl Application for Recorder {
    async fn text(&self, node_id: NodeId, frame: &str) {
        let _ = self.0.send((node_id, frame.as_bytes().to_vec()));
    }

    async fn binary(&self, node_id: NodeId, frame: &[u8]) {
        let _ = self.0.send((node_id, frame.to_vec()));
    }
}

#[tokio::test]
async fn frames_of_the_application_reach_whoever_embeds_the_gateway_and_answers_come_back() {
    let (sender, mut frames) = mpsc::unbounded_channel();
    let gateway = Gateway::builder(MemoryStore::default())
        .application(Recorder(sender))
        .start()
        .await
        .unwrap();
    let served = Arc::new(Served::over(gateway).await);
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    link.text(r#"{"type":"audio_start","rate":16000}"#).await;
    link.send(Message::binary(vec![0, 255, 7])).await;
    assert_eq!(
        frames.recv().await.unwrap(),
        (node_id, br#"{"type":"audio_start","rate":16000}"#.to_vec())
    );
    assert_eq!(frames.recv().await.unwrap(), (node_id, vec![0, 255, 7]));
    assert!(served.gateway.send_text(node_id, r#"{"type":"play"}"#.to_owned()));
    assert!(served.gateway.send_binary(node_id, vec![9]));
    assert_eq!(link.hear().await, json!({"type": "play"}));
    assert_eq!(link.next().await, Message::binary(vec![9]));
    assert!(!served.gateway.send_text(NodeId::from_bytes([0; 16]), String::new()));
}

#[tokio::test]
async fn a_shutdown_says_goodbye_to_every_link() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let mut link = served.linked(node_id, &token).await;
    served.gateway.shut_down();
    link.expect_close(1001, "Server is shutting down").await;
    eventually(async || !served.online(node_id).await).await;
}
