use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::ExtensionChannel;
use super::{bare, extension, served};
use crate::inbound::adapter::{ChannelAdapter, Normalised};

/// Returns a channel with this answer, and the requests that it received.
async fn channel(answer: Value) -> (ExtensionChannel, Arc<Mutex<Vec<(String, Value)>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let config = served(bare("mail"), move |method, params| {
        seen.lock().unwrap().push((method.to_owned(), params.clone()));
        answer.clone()
    });
    let mut config = config.await;
    config.channels = vec!["mail".to_owned()];
    (ExtensionChannel::new(extension(config), "mail"), asked)
}

#[tokio::test]
async fn a_sender_is_spelled_as_the_extension_says() {
    let (channel, asked) = channel(json!({"normalized": "ann@example.com", "more": 1})).await;
    assert_eq!(
        channel.normalise(" Ann@Example.com").await,
        Ok(Normalised::Sender("ann@example.com".to_owned()))
    );
    assert_eq!(
        *asked.lock().unwrap(),
        [("mail.pairing.normalize_sender".to_owned(), json!({"raw": " Ann@Example.com"}))]
    );
    assert_eq!(channel.channel(), "mail");
}

#[tokio::test]
async fn null_and_empty_are_no_sender() {
    for nobody in [json!({"normalized": null}), json!({"normalized": ""})] {
        let (channel, _) = channel(nobody).await;
        assert_eq!(channel.normalise("x").await, Ok(Normalised::NotASender));
    }
}

#[tokio::test]
async fn whatever_else_is_answered_is_an_error_and_no_sender() {
    let fits = "x".repeat(128);
    let (long_enough, _) = channel(json!({"normalized": fits})).await;
    assert_eq!(long_enough.normalise("x").await, Ok(Normalised::Sender(fits)));
    for lie in [
        json!({}),
        json!(null),
        json!("ann"),
        json!([]),
        json!({"normalized": 1}),
        json!({"normalized": true}),
        json!({"normalized": ["ann"]}),
        json!({"normalized": "x".repeat(129)}),
        json!({"normalized": "an\nn"}),
        json!({"normalized": "an\u{200b}n"}),
        json!({"normalised": "ann"}),
        json!("RAW{\"id\":0,\"ok\":true,\"result\":{\"normalized\":\"ann\"}}"),
        json!("RAW{\"id\":1,\"ok\":false,\"error\":\"no\"}"),
        json!("RAWnull"),
    ] {
        let (channel, _) = channel(lie.clone()).await;
        let error = channel.normalise("x").await.unwrap_err();
        assert!(
            error.to_string().starts_with("channel mail: extension mail: it "),
            "{lie}: {error}"
        );
        assert!(!error.passing, "{lie}: it would be answered once more");
    }
    let gone =
        ExtensionChannel::new(extension(bare("mail")), "mail").normalise("x").await.unwrap_err();
    assert!(gone.passing, "{gone}");
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let answers = Arc::new(Mutex::new(vec![json!({"normalized": "ann"}), json!(null)]));
    let config = served(bare("mail"), move |_, _| answers.lock().unwrap().pop().unwrap()).await;
    let channel = ExtensionChannel::new(extension(config), "mail");
    assert!(channel.normalise("x").await.is_err());
    assert_eq!(channel.normalise("x").await, Ok(Normalised::Sender("ann".to_owned())));
}

#[tokio::test]
async fn replies_and_codes_are_sent_and_a_refusal_is_an_error() {
    let (good, asked) = channel(json!({"ok": true})).await;
    good.send_reply("acc", "ann", "hello").await.unwrap();
    good.send_qr("acc", "ann", &[0x89, b'P', b'N', b'G']).await.unwrap();
    let expected = [
        (
            "mail.pairing.send_reply".to_owned(),
            json!({"account": "acc", "to": "ann", "text": "hello"}),
        ),
        (
            "mail.pairing.send_qr_image".to_owned(),
            json!({"account": "acc", "to": "ann", "png_base64": "iVBORw=="}),
        ),
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
    let large = good.send_qr("acc", "ann", &vec![0; 1 << 20]).await.unwrap_err();
    assert!(large.problem.ends_with("the request is larger than 1 MiB"), "{large}");

    let (refusing, _) = channel(json!({"ok": false, "error": "no such mailbox"})).await;
    let error = refusing.send_reply("acc", "ann", "hello").await.unwrap_err();
    assert_eq!(error.to_string(), "channel mail: extension mail: it refused: no such mailbox");
    let (vague, _) = channel(json!({})).await;
    assert!(vague.send_reply("acc", "ann", "hello").await.is_err());
}

#[tokio::test]
async fn an_extension_with_several_channels_is_told_which_is_meant() {
    let mut config = served(
        bare("mail"),
        |_, params| json!({"normalized": params["channel"], "ok": params["channel"] == "post"}),
    )
    .await;
    config.channels = vec!["mail".to_owned(), "post".to_owned()];
    let extension = extension(config);
    let (mail, post) = (
        ExtensionChannel::new(extension.clone(), "mail"),
        ExtensionChannel::new(extension, "post"),
    );
    assert_eq!(mail.normalise("x").await, Ok(Normalised::Sender("mail".to_owned())));
    assert_eq!(post.normalise("x").await, Ok(Normalised::Sender("post".to_owned())));
    assert!(post.send_reply("a", "b", "c").await.is_ok());
    assert!(mail.send_reply("a", "b", "c").await.is_err());
}

#[tokio::test]
async fn an_overlong_sender_is_not_even_asked_about() {
    let (channel, asked) = channel(json!({"normalized": "ann"})).await;
    assert!(channel.normalise(&"x".repeat(5000)).await.is_err());
    assert!(asked.lock().unwrap().is_empty());
}
