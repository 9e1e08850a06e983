//! Items of polled extensions on their way into a gateway.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handfast_store::MemoryStore;
use serde_json::{Value, json};

use super::{bare, served, until};
use crate::application::Application;
use crate::gateway::Gateway;

/// A collector of items.
#[derive(Default)]
struct Kept(Arc<Mutex<Vec<Value>>>);

#[async_trait]
impl Application for Kept {
    async fn polled(&self, _: &str, item: &Value) {
        self.0.lock().unwrap().push(item.clone());
    }
}

#[tokio::test]
async fn a_message_that_can_never_be_decided_keeps_none_behind_it_away() {
    let message = |channel: &str, account: &str, sender: &str| json!({"channel": channel, "account": account, "sender": sender, "text": "hi"});
    let items = json!([
        message("mail", "an\nn", "ann"),
        message("mail", "main", "odd"),
        message("mail", "main", &"x".repeat(5000)),
        message("post", "main", "ann"),
        message("mail", "main", "ann"),
        {"number": 1},
    ]);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let mut config = served(bare("mail"), move |method, params| match method {
        "mail.poll.tick" => {
            seen.lock().unwrap().push(params["cursor"].clone());
            json!({"cursor": "1", "items": if params["cursor"].is_null() { items.clone() } else { json!([]) }})
        }
        "mail.pairing.normalize_sender" if params["raw"] == "odd" => json!({"normalized": 5}),
        "mail.pairing.normalize_sender" => json!({"normalized": params["raw"]}),
        _ => json!({"ok": true}),
    })
    .await;
    config.channels = vec!["mail".to_owned()];
    config.poll = Some(Duration::from_millis(100));
    let kept = Kept::default();
    let brought = kept.0.clone();
    let builder =
        Gateway::builder(MemoryStore::default()).extensions(vec![config]).application(kept);
    let gateway = builder.start().await.unwrap();
    until(|| asked.lock().unwrap().contains(&json!("1"))).await;
    assert_eq!(*brought.lock().unwrap(), [json!({"number": 1})]);
    assert_eq!(
        *asked.lock().unwrap().iter().filter(|cursor| cursor.is_null()).collect::<Vec<_>>(),
        [&Value::Null]
    );
    assert_eq!(
        gateway.gate().waiting().await.unwrap(),
        [("mail".to_owned(), 1)],
        "Ann is challenged"
    );
    gateway.shut_down();
}
