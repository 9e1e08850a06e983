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

/// A record of all calls, in order.
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
        let refuse = self
            .refuse
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        let text = Value::from(items).to_string();
        self.done
            .lock()
            .unwrap()
            .push(format!("{} {text}", if refuse { "refuse" } else { "take" }));
        if refuse { Err("not now".to_owned()) } else { Ok(()) }
    }
}

fn polled(configs: Vec<ExtensionConfig>, book: &Arc<Book>) -> Extensions {
    let services = Services { host: Arc::new(NoHost), cursors: book.clone(), items: book.clone() };
    let extensions = Extensions::new(configs, services).unwrap();
    extensions.start();
    extensions
}

async fn each(
    mut config: ExtensionConfig,
    answer: impl Fn(&Value) -> Value + Clone + Send + Sync + 'static,
) -> ExtensionConfig {
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
    let expected =
        [r#"refuse ["a","b"]"#, r#"take ["a","b"]"#, "keep 1", r#"take [{"c":1}]"#, "keep 2"];
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
        assert!(
            extensions.status()[0].last_error.as_ref().unwrap().contains("against the protocol")
        );
    }
}

#[tokio::test]
async fn an_item_that_is_no_unicode_or_too_deep_is_dropped_alone() {
    let book = Arc::new(Book::default());
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let tick = format!(
        r#"RAW{{"id":ID,"ok":true,"result":{{"cursor":"1","items":["a","\ud800",{deep},"b"]}}}}"#
    );
    let config = each(bare("mail"), move |params| match params["cursor"].as_str() {
        None => Value::from(tick.replace("ID", "1")),
        Some(cursor) => json!({"cursor": cursor, "items": []}),
    });
    let extensions = polled(vec![config.await], &book);
    until(|| book.cursors.lock().unwrap().contains_key("mail")).await;
    extensions.shut_down().await;
    assert_eq!(*book.done.lock().unwrap(), [r#"take ["a","b"]"#, "keep 1"]);
}

#[tokio::test]
async fn extensions_that_are_slow_to_say_what_is_new_take_no_turn_from_others_and_none_is_asked_twice_at_once()
 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let book = Arc::new(Book::default());
    let slow = |n: usize| {
        let name = format!("e{n}x");
        let mut config = ExtensionConfig::http(
            &name,
            &name,
            &format!("http://{}/", listener.local_addr().unwrap()),
        );
        config.poll = Some(Duration::from_millis(100));
        config
    };
    let honest = each(bare("mail"), |_| json!({"cursor": "1", "items": ["a"]})).await;
    let most = 2 * MOST_TICKS;
    let extensions = polled((0..most).map(slow).chain([honest]).collect(), &book);
    let mut held = Vec::new();
    for _ in 0..most {
        held.push(listener.accept().await.unwrap().0);
    }
    until(|| book.cursors.lock().unwrap().contains_key("mail")).await;
    let in_flight = || {
        extensions.status()[..most].iter().map(|status| status.calls_in_flight).collect::<Vec<_>>()
    };
    assert_eq!(in_flight(), vec![1; most]);
    extensions.shut_down().await;
    extensions.start();
    assert_eq!(in_flight(), vec![0; most], "nothing is polled after the end");
}

/// A consumer that never finishes, and counts concurrent calls.
#[derive(Default)]
struct Stuck(AtomicUsize);

#[async_trait]
impl Items for Stuck {
    async fn take(&self, _: &str, _: Vec<Value>) -> Result<(), String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[tokio::test]
async fn the_items_of_no_more_than_four_are_taken_at_once() {
    let (book, stuck) = (Arc::new(Book::default()), Arc::new(Stuck::default()));
    let ticks = Arc::new(AtomicUsize::new(0));
    let mut configs = Vec::new();
    for n in 0..2 * MOST_TICKS {
        let ticks = ticks.clone();
        let config = each(bare(&format!("e{n}x")), move |_| {
            ticks.fetch_add(1, Ordering::SeqCst);
            json!({"cursor": "1", "items": ["a"]})
        });
        configs.push(config.await);
    }
    let services = Services { host: Arc::new(NoHost), cursors: book.clone(), items: stuck.clone() };
    let extensions = Extensions::new(configs, services).unwrap();
    extensions.start();
    until(|| {
        ticks.load(Ordering::SeqCst) == 2 * MOST_TICKS
            && extensions.status().iter().all(|of| of.calls_in_flight == 0)
    })
    .await;
    until(|| stuck.0.load(Ordering::SeqCst) >= MOST_TICKS).await;
    assert_eq!(stuck.0.load(Ordering::SeqCst), MOST_TICKS);
    extensions.shut_down().await;
}
