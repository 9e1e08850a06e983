//! The first message, which decides the kind of a connection.

use handfast_core::Span;
use handfast_core::limits::Limits;
use handfast_store::Filter;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::Served;

#[tokio::test]
async fn a_pair_request_is_answered_with_a_fresh_uuid_and_waits_unapproved_with_its_address() {
    let served = Served::start().await;
    let node_id = served.ask("Kitchen Pi").await;
    assert_eq!(node_id.as_bytes()[6] >> 4, 4, "version 4");
    let device = served.gateway.device_by_prefix(&node_id.to_string()).await.unwrap();
    assert_eq!(device.entry.record.address.to_string(), "127.0.0.1");
    assert_eq!(device.entry.profile, r#"{"board":"test"}"#);
    assert!(device.entry.record.standing.token().is_none());
}

#[tokio::test]
async fn the_same_request_finds_its_pending_entry_again() {
    let served = Served::start().await;
    let first = served.ask("Kitchen Pi").await;
    assert_eq!(served.ask("Kitchen Pi").await, first);
    assert_ne!(served.ask("Garden Pi").await, first);
}

#[tokio::test]
async fn the_node_does_not_choose_its_id_and_unknown_fields_are_skipped() {
    let served = Served::start().await;
    let mut client = served.connect_to("/pair?x=1").await;
    client
        .say(json!({"type": "pair_request", "node_id": "caa4270d-912f-4099-ac2d-45e9d0253e3e", "firmware": [1, {"a": null}]}))
        .await;
    let pending = client.hear().await;
    assert_ne!(pending["node_id"], "caa4270d-912f-4099-ac2d-45e9d0253e3e");
    let device =
        served.gateway.device_by_prefix(pending["node_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(device.entry.record.name.as_str(), "unknown");
    assert_eq!(device.entry.profile, "{}");
}

#[tokio::test]
async fn a_binary_frame_first_ends_the_connection_without_a_frame() {
    let served = Served::start().await;
    let mut client = served.connect().await;
    client.send(Message::binary(vec![1, 2, 3])).await;
    client.expect_close(1008, "First frame must be JSON auth or pair_request").await;
}

#[tokio::test]
async fn malformed_json_first_ends_the_connection_without_a_frame() {
    let served = Served::start().await;
    for malformed in ["", "{", "nonsense", "{\"type\":\"auth\",}", "{\"type\":\"pair_request\"} x"]
    {
        let mut client = served.connect().await;
        client.text(malformed).await;
        client.expect_close(1008, "Malformed JSON").await;
    }
}

#[tokio::test]
async fn any_other_type_first_is_an_error() {
    let served = Served::start().await;
    for other in [
        json!({"type": "heartbeat"}),
        json!({"type": "audio_start"}),
        json!({"type": ""}),
        json!({}),
        json!({"type": 7}),
    ] {
        let mut client = served.connect().await;
        client.say(other).await;
        assert_eq!(
            client.hear().await,
            json!({"type": "error", "message": "First message must be auth or pair_request"})
        );
        client.expect_close(1008, "Protocol violation").await;
    }
}

#[tokio::test]
async fn json_that_is_no_object_and_fields_of_wrong_types_are_clear_errors_and_change_nothing() {
    let served = Served::start().await;
    for (frame, named) in [
        ("[]", "object"),
        ("7", "object"),
        (r#"{"type":"pair_request","friendly_name":7}"#, "friendly_name"),
        (r#"{"type":"pair_request","friendly_name":"\ud800"}"#, "friendly_name"),
        (r#"{"type":"pair_request","friendly_name":"\u001b[31mred"}"#, "friendly_name"),
        (r#"{"type":"pair_request","room":["a"]}"#, "room"),
        (r#"{"type":"pair_request","hardware_profile":"x"}"#, "hardware_profile"),
        (r#"{"type":"auth","node_id":7,"token":"x"}"#, "node_id"),
        (r#"{"type":"auth","node_id":"x","token":{}}"#, "token"),
    ] {
        let mut client = served.connect().await;
        client.text(frame).await;
        let error = client.hear().await;
        assert_eq!(error["type"], "error", "{frame}");
        assert!(error["message"].as_str().unwrap().contains(named), "{frame}: {error}");
        client.expect_close(1008, "Protocol violation").await;
    }
    let mut client = served.connect().await;
    client.say(json!({"type": "pair_request", "hardware_profile": {"x": "y".repeat(4096)}})).await;
    assert_eq!(client.hear().await["type"], "error");
    assert!(served.gateway.devices(Filter::All, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn silence_ends_with_authentication_timeout() {
    let served =
        Served::with(Limits { first_message: Span::from_millis(300), ..Limits::DEFAULT }).await;
    served.connect().await.expect_close(1008, "Authentication timeout").await;
}

#[tokio::test]
async fn a_frame_over_a_mebibyte_ends_with_1009() {
    let served = Served::start().await;
    let mut client = served.connect().await;
    client.text(&format!("{{\"x\":\"{}\"}}", "y".repeat(1_048_576))).await;
    client.expect_close(1009, "Message too big").await;
}

#[tokio::test]
async fn what_breaks_the_rules_of_websocket_is_told_so() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let served = Served::start().await;
    let mut client = served.connect().await;
    client
        .send(Message::Frame(Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true)))
        .await;
    client.expect_close(1007, "Text is not UTF-8").await;
    let mut client = served.connect().await;
    client.send(Message::Frame(Frame::message(vec![1], OpCode::Data(Data::Continue), true))).await;
    client.expect_close(1002, "Protocol error").await;
}

#[tokio::test]
async fn any_origin_and_offered_subprotocols_are_accepted_and_ignored() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let served = Served::start().await;
    let mut request =
        format!("ws://{}/any/path?and=query", served.address).into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://elsewhere.example".parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert!(response.headers().get("sec-websocket-protocol").is_none());
    assert!(response.headers().get("sec-websocket-extensions").is_none());
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn deep_nesting_harms_nobody() {
    let served = Served::start().await;
    for depth in [200, 400_000] {
        let mut client = served.connect().await;
        client
            .text(&format!(
                "{{\"type\":\"pair_request\",\"x\":{}{}}}",
                "[".repeat(depth),
                "]".repeat(depth)
            ))
            .await;
        client.expect_close(1008, "Malformed JSON").await;
    }
    served.ask("Kitchen Pi").await;
}
