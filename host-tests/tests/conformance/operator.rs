//! Answers of the operator's interface, in the library's types.

use handfast_core::Refusal;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{Mode, Standing};
use handfast_server::OperatorError;

use super::Served;

#[tokio::test]
async fn approving_twice_is_a_clear_error_and_the_first_token_stays() {
    let served = Served::start().await;
    let (node_id, token) = served.paired("Kitchen Pi").await;
    let error = served.gateway.pair(node_id, Purpose::Approve).await.unwrap_err();
    assert!(matches!(error, OperatorError::Refused { refusal: Refusal::AlreadyPaired, .. }));
    assert!(error.to_string().contains("paired already"));
    served.linked(node_id, &token).await.expect_open().await;
}

#[tokio::test]
async fn of_many_who_approve_at_once_exactly_one_gets_a_token() {
    let served = Served::start().await;
    let node_id = served.ask("Kitchen Pi").await;
    let all: Vec<_> = (0..8)
        .map(|_| {
            let gateway = served.gateway.clone();
            tokio::spawn(async move { gateway.pair(node_id, Purpose::Approve).await.ok() })
        })
        .collect();
    let mut tokens = Vec::new();
    for one in all {
        tokens.extend(one.await.unwrap());
    }
    assert_eq!(tokens.len(), 1);
    served
        .linked(node_id, tokens[0].credential.token().unwrap().expose())
        .await
        .expect_open()
        .await;
}

#[tokio::test]
async fn an_unknown_node_and_an_ambiguous_prefix_are_clear_errors() {
    let served = Served::start().await;
    assert!(matches!(
        served.gateway.device_by_prefix("0000").await,
        Err(OperatorError::NotFound(_))
    ));
    let mut first_digits = std::collections::HashMap::new();
    let ambiguous = loop {
        let node_id = served.ask(&format!("Pi {}", first_digits.len())).await.to_string();
        if first_digits.insert(node_id[..1].to_owned(), ()).is_some() {
            break node_id[..1].to_owned();
        }
    };
    assert!(matches!(
        served.gateway.device_by_prefix(&ambiguous).await,
        Err(OperatorError::Ambiguous { .. })
    ));
}

#[tokio::test]
async fn unmuting_restores_the_mode_from_before() {
    let served = Served::start().await;
    let (node_id, _) = served.paired("Kitchen Pi").await;
    for decision in [Decision::SetMode(Mode::SafeChat), Decision::Mute, Decision::Unmute] {
        served.gateway.decide(node_id, &decision).await.unwrap();
    }
    let device = served.gateway.device_by_prefix(&node_id.to_string()).await.unwrap();
    assert!(matches!(device.entry.record.standing, Standing::Paired { mode: Mode::SafeChat, .. }));
}

#[tokio::test]
async fn a_rejected_node_hears_when_it_may_ask_again_and_its_id_stays_out() {
    let served = Served::start().await;
    let first = served.ask("Kitchen Pi").await;
    served.gateway.decide(first, &Decision::Reject).await.unwrap();
    let mut client = served.connect().await;
    client
        .say(serde_json::json!({"type": "pair_request", "friendly_name": "Kitchen Pi", "room": "Kitchen", "hardware_profile": {"v": 2}}))
        .await;
    let told = client.hear().await;
    assert!(
        told["type"] == "error" && told["message"].as_str().unwrap().contains("ask again in"),
        "{told}"
    );
    client.expect_close(1008, "Request turned down").await;
    // Under another name it is another request.
    assert_ne!(served.ask("Hall Pi").await, first);
    assert!(served.gateway.pair(first, Purpose::Approve).await.is_err());
}
