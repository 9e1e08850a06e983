//! What floods write into the log.

use std::fmt::{Debug, Write as _};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use handfast_core::limits::{LOG_LINES, LOG_LINES_OF_STRANGERS, Limits};
use handfast_core::{NodeId, Refusal};
use handfast_store::MemoryStore;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, span};

use super::LogObserver;
use crate::events::{Event, Observer};
use crate::flows::setup_code::tests::{Heard, World, hear, say, settings};
use crate::gateway::Gateway;

/// A log at the level that a gateway has unless it is told otherwise.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn with(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

// Everything runs on the thread of the test, so what this thread logs is all there is.
#[tokio::test]
async fn two_thousand_wrong_tokens_and_as_many_requests_to_pair_are_a_few_lines() {
    let log = Log::default();
    let _kept = tracing::subscriber::set_default(log.clone());
    let limits = Limits { failures_per_minute: 2, ..Limits::DEFAULT };
    let world =
        World::of(Gateway::builder(MemoryStore::default()).setup(settings()).limits(limits)).await;
    let nobodys = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    let quiet = log.lines().len();
    for number in 0..2_000 {
        let mut socket = world.open("/").await;
        let node_id = NodeId::from_bytes([number as u8; 16]).to_string();
        say(
            &mut socket,
            &json!({"type": "auth", "node_id": node_id, "token": nobodys}).to_string(),
        )
        .await;
        assert_ne!(hear(&mut socket).await, Heard::Gone);
        let mut socket = world.open("/").await;
        let profile = json!({"board": "test"});
        let asks = json!({"type": "pair_request", "friendly_name": format!("{number}"), "room": "R", "hardware_profile": profile});
        say(&mut socket, &asks.to_string()).await;
        assert_ne!(hear(&mut socket).await, Heard::Gone);
    }
    let lines = log.lines().split_off(quiet);
    let bytes: usize = lines.iter().map(String::len).sum();
    println!("2 000 wrong tokens and 2 000 requests: {} lines, {bytes} bytes", lines.len());
    assert!((1..=LOG_LINES as usize).contains(&log.with("asks to be paired")), "{lines:#?}");
    assert!((1..=LOG_LINES as usize).contains(&log.with("was turned away")), "{lines:#?}");
    assert!(lines.len() <= 4 * LOG_LINES as usize && bytes < 10_000, "{lines:#?}");
}

#[test]
fn two_thousand_wrong_pins_are_ten_lines_and_one_that_says_how_many_there_were() {
    let log = Log::default();
    let _kept = tracing::subscriber::set_default(log.clone());
    let observer = LogObserver::default();
    for _ in 0..2_000 {
        observer.event(&Event::CodeWrong { pin: true, left: 4, address: [192, 0, 2, 1].into() });
    }
    assert_eq!(log.with("a wrong PIN"), LOG_LINES as usize);
    drop(observer);
    let last = log.lines().pop().unwrap();
    assert!(
        last.contains("a wrong PIN")
            && last.contains("192.0.2.1")
            && last.contains("left_out=1990"),
        "{last}"
    );
}

#[test]
fn strangers_with_two_thousand_addresses_write_sixty_lines_and_hide_neither_a_node_nor_a_decision()
{
    let log = Log::default();
    let _kept = tracing::subscriber::set_default(log.clone());
    let observer = LogObserver::default();
    for number in 0..2_000 {
        let address = Ipv4Addr::from_bits(0xC000_0200 + number).into();
        observer.event(&Event::AskRefused { address, refusal: Refusal::AtCapacity });
        let node_id = NodeId::from_bytes([number as u8; 16]);
        observer.event(&Event::Decided { node_id, decision: "muted" });
    }
    observer.event(&Event::Linked(NodeId::from_bytes([7; 16])));
    assert_eq!(log.with("was turned away"), LOG_LINES_OF_STRANGERS as usize);
    assert_eq!((log.with("decided"), log.with("linked")), (2_000, 1));
    drop(observer);
    assert!(log.lines().pop().unwrap().contains("left_out=1940"));
}
