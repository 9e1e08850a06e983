use serde_json::{Value, json};

use super::super::{AdminAnswer, AdminRouter, Extension, ExtensionConfig};
use super::{bare, extension, served};

fn with_admin(mut config: ExtensionConfig, admin: &[&str]) -> Extension {
    config.admin = admin.iter().map(|prefix| (*prefix).to_owned()).collect();
    extension(config)
}

#[test]
fn the_longest_prefix_that_ends_with_a_segment_wins() {
    let router = AdminRouter::new(&[
        with_admin(bare("a"), &["pai", "mail", "x.y"]),
        with_admin(bare("b"), &["mail.queue", "mail.queue.list.all"]),
        with_admin(bare("c"), &["x/y"]),
    ]);
    let found =
        |method: &str| router.find(method).map(|extension| extension.config().name.as_str());
    for (method, name) in [
        ("mail", Some("a")),
        ("mail.send", Some("a")),
        ("mail/send", Some("a")),
        ("mail.queue", Some("b")),
        ("mail.queue.list", Some("b")),
        ("mail.queued", Some("a")),
        ("mail/queue", Some("a")),
        ("x.y.z", Some("a")),
        ("x/y/z", Some("c")),
        ("x", None),
        ("x.yz", None),
        ("pai.x", Some("a")),
        ("pair.x", None),
        ("mails", None),
        ("Mail", None),
        ("mail.", None),
        (".mail", None),
        ("mail..send", None),
        ("mail./send", None),
        ("mail send", None),
        ("mail.s\u{e9}nd", None),
        ("", None),
        ("pairing.approve", None),
        ("handfast.x", None),
    ] {
        assert_eq!(found(method), name, "{method}");
    }
    assert!(router.find(&format!("mail.{}", "x".repeat(300))).is_none());
}

async fn asked(answer: Value) -> AdminAnswer {
    let router = AdminRouter::new(&[with_admin(
        served(bare("mail"), move |_, _| answer.clone()).await,
        &["mail"],
    )]);
    router.call("mail.queue.list", json!({"all": true})).await
}

#[tokio::test]
async fn an_operators_call_is_wrapped_so_that_it_reaches_no_other_method_of_the_extension() {
    let config =
        served(bare("mail"), |method, params| json!({"ok": true, "result": [method, params]}))
            .await;
    let router = AdminRouter::new(&[with_admin(config, &["mail"])]);
    let answer = router.call("mail.pairing.send_reply", json!({"to": "ann"})).await;
    let expected =
        json!(["mail.admin.call", {"method": "mail.pairing.send_reply", "params": {"to": "ann"}}]);
    assert_eq!(answer, AdminAnswer { ok: true, result: Some(expected), error: None });
}

#[tokio::test]
async fn answers_are_passed_on_and_failures_are_answers_too() {
    let text = |answer: &AdminAnswer| serde_json::to_string(answer).unwrap();
    assert_eq!(text(&asked(json!({"ok": true})).await), r#"{"ok":true,"result":null}"#);
    assert_eq!(
        text(&asked(json!({"ok": true, "result": {"a": [1]}})).await),
        r#"{"ok":true,"result":{"a":[1]}}"#
    );
    assert_eq!(
        text(&asked(json!({"ok": false, "error": "no\u{1b}"})).await),
        r#"{"ok":false,"error":"no "}"#
    );
    assert_eq!(
        text(&asked(json!({"ok": false})).await),
        r#"{"ok":false,"error":"it gave no reason"}"#
    );
    for lie in [json!({}), json!({"ok": 1}), json!(null), json!("RAW{}"), json!("RAW")] {
        let answer = asked(lie.clone()).await;
        assert!(
            !answer.ok
                && answer
                    .error
                    .as_ref()
                    .unwrap()
                    .starts_with("extension mail: it answered against"),
            "{lie}: {answer:?}"
        );
    }
    let nobody = AdminRouter::default().call("mail.x", Value::Null).await;
    assert_eq!(nobody.error.as_deref(), Some("no extension answers the method \"mail.x\""));
    let gone =
        AdminRouter::new(&[with_admin(bare("mail"), &["mail"])]).call("mail.x", Value::Null).await;
    assert!(gone.error.unwrap().starts_with("extension mail: it cannot be reached"));
}
