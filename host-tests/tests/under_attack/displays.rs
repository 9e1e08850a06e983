//! The operator's terminal while strangers send ever more requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use handfast_core::limits::{TOLD_A_MINUTE, TOLD_A_MINUTE_OF_ALL};
use serde_json::json;
use tokio::task::JoinSet;

use super::pins::neighbour_pairs;
use super::{STRANGER, address};
use crate::cli::gateway::Gateway;
use crate::conformance::floods::says_once;

/// Has these addresses repeat a request as fast as they can, while a neighbour pairs by PIN.
/// Returns the number of requests, and the number that were shown.
async fn asks_on(gateway: &Gateway, from: &[IpAddr]) -> (usize, usize) {
    let (to, asked) = (address(gateway), Arc::new(AtomicUsize::new(0)));
    let mut strangers = JoinSet::new();
    for number in 0..16 {
        let (from, asked) = (from[number % from.len()], Arc::clone(&asked));
        strangers.spawn(async move {
            let junk =
                json!({"type": "pair_request", "friendly_name": "Junk", "room": "R"}).to_string();
            loop {
                says_once(to, from, &junk).await;
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (code, said) = neighbour_pairs(gateway);
    assert_eq!(code, 0, "{said}");
    strangers.shutdown().await;
    (
        asked.load(Ordering::Relaxed),
        gateway.shown().matches("Pairing request from \"Junk\"").count(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_asks_over_and_over_scrolls_no_pin_off_the_terminal() {
    let gateway = Gateway::start_quietly(&["--pairing"]);
    let (asked, shown) = asks_on(&gateway, &[STRANGER]).await;
    println!("asked {asked} times, shown {shown}");
    assert!(asked > 100, "{asked}");
    // A few more come while the minute continues.
    assert!(shown <= TOLD_A_MINUTE as usize + 20, "{shown}");
    let all = gateway.shown();
    assert_eq!(all.matches("More comes from 127.0.0.66 than is shown here").count(), 1, "{all}");
    assert!(!all.contains("events were missed"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_strangers_who_ask_over_and_over_scroll_no_pin_off_the_terminal() {
    let gateway = Gateway::start_quietly(&["--pairing"]);
    let many: Vec<_> = (1..=16).map(|last| IpAddr::from([127, 10, 0, last])).collect();
    let (asked, shown) = asks_on(&gateway, &many).await;
    println!("16 addresses asked {asked} times, shown {shown}");
    assert!(asked > 100, "{asked}");
    assert!(shown <= TOLD_A_MINUTE_OF_ALL as usize + 60, "{shown}");
    assert!(!gateway.shown().contains("events were missed"));
}
