use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::host::{Cursors, Items, NoHost};
use super::super::poll::MOST_TICKS;
use super::super::{ExtensionConfig, Extensions, Services};
use super::{bare, served, until};

/// Everything that was done, in order.
#[derive(Default)]
struct Book {
    done: Mutex<Vec<String>>,
    cursors: Mutex<HashMap<String, String>>,
    refuse: AtomicUsize,
}

#[async_trait]
impl Cursors for Book {
    async fn load(&self, extension: &str) -> Result<Option<String>, String> {
        Ok(self.cursors.lock().unwrap().get(extension).cloned())
    }

    async fn keep(&self, extension: &str, cursor: String) -> Result<(), String> {
        self.done.lock().unwrap().push(format!("keep {cursor}"));
        self.cursors.lock().unwrap().insert(extension.to_owned(), cursor);
        Ok(())
    }
}

#[async_trait]
impl Items for Book {
    async fn take(&self, _: &str, items: Vec<Value>) -> Result<(), String> {
        let refuse = self.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let text = Value::from(items).to_string();
        self.done.lock().unwrap().push(format!("{} {text}", if refuse { "refuse" } else { "take" }));
        if refuse { Err("not now".to_owned()) } else { Ok(()) }
    }
}

fn polled(configs: Vec<ExtensionConfig>, book: &Arc<Book>) -> Extensions {
    let services = Services { host: Arc::new(NoHost), cursors: book.clone(), items: book.clone() };
    let extensions = Extensions::new(configs, services).unwrap();
    extensions.start();
    extensions
}

async fn each(mut config: ExtensionConfig, answer: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static) -> ExtensionConfig {
    config.poll = Some(Duration::from_millis(100));
    served(config, move |method, params| {
        assert!(method.ends_with(".poll.tick"));
        answer(params)
    })
    .await
}

#[tokio::test]
async fn the_cursor_moves_only_after_the_items_were_taken() {
    let book = Arc::new(Book { refuse: AtomicUsize::new(1), ..Book::default() });
    let config = each(bare("mail"), |params| match params["cursor"].as_str() {
        None => json!({"cursor": "1", "items": ["a", "b"]}),
        Some("1") => json!({"cursor": "2", "items": [{"c": 1}]}),
        Some(cursor) => json!({"cursor": cursor, "items": []}),
    });
    let extensions = polled(vec![config.await], &book);
    until(|| book.cursors.lock().unwrap().get("mail").is_some_and(|cursor| cursor == "2")).await;
    extensions.shut_down().await;
    let expected = [r#"refuse ["a","b"]"#, r#"take ["a","b"]"#, "keep 1", r#"take [{"c":1}]"#, "keep 2"];
    assert_eq!(*book.done.lock().unwrap(), expected);
}

#[tokio::test]
async fn ticks_that_break_the_bounds_move_nothing_and_come_less_often() {
    for lie in [
        json!({"cursor": "x".repeat(4097), "items": []}),
        json!({"cursor": "x", "items": vec![1; 1001]}),
        json!({"cursor": null, "items": []}),
        json!({"items": [1]}),
        json!({"cursor": "x"}),
        json!("RAW"),
    ] {
        let ticks = Arc::new(AtomicUsize::new(0));
        let (counted, book) = (ticks.clone(), Arc::new(Book::default()));
        let config = each(bare("mail"), move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            lie.clone()
        });
        let extensions = polled(vec![config.await], &book);
        until(|| ticks.load(Ordering::SeqCst) >= 2).await;
        extensions.shut_down().await;
        assert!(book.done.lock().unwrap().is_empty());
        assert!(extensions.status()[0].last_error.as_ref().unwrap().contains("against the protocol"));
    }
}

#[tokio::test]
async fn no_more_than_four_are_polled_at_once_and_none_twice_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let book = Arc::new(Book::default());
    let config = |n: usize| {
        let name = format!("e{n}x");
        let mut config = ExtensionConfig::http(&name, &name, &format!("http://{}/", listener.local_addr().unwrap()));
        config.poll = Some(Duration::from_millis(100));
        config
    };
    let extensions = polled((0..8).map(config).collect(), &book);
    let mut held = Vec::new();
    for _ in 0..MOST_TICKS {
        held.push(listener.accept().await.unwrap().0);
    }
    let in_flight = || extensions.status().iter().map(|status| status.calls_in_flight).collect::<Vec<_>>();
    assert!(in_flight().iter().all(|calls| *calls <= 1));
    assert_eq!(in_flight().iter().sum::<usize>(), MOST_TICKS);
    // One of them ends in an error, and only then does a fifth come.
    drop(held.pop());
    held.push(listener.accept().await.unwrap().0);
    assert_eq!(in_flight().iter().sum::<usize>(), MOST_TICKS);
    extensions.shut_down().await;
    extensions.start();
    assert_eq!(in_flight().iter().sum::<usize>(), 0, "nothing is polled after the end");
}
