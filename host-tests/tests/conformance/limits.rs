//! Budgets: no client locks others out, and nothing grows without bound.

use handfast_core::Span;
use handfast_core::limits::Limits;
use handfast_core::registry::lifecycle::Decision;
use handfast_store::Filter;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Served, eventually};

#[tokio::test]
async fn silent_sockets_make_room_for_those_who_speak() {
    let served = Served::with(Limits { waiting_per_source: 4, ..Limits::DEFAULT }).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(served.connect().await);
    }
    // The fifth takes the slot of the oldest, which is told why.
    served.ask("Kitchen Pi").await;
    silent.remove(0).expect_close(1013, "Server at capacity").await;
}

#[tokio::test]
async fn sockets_that_never_even_ask_make_room_too() {
    let served = Served::with(Limits { waiting_per_source: 2, ..Limits::DEFAULT }).await;
    let mut oldest = TcpStream::connect(served.address).await.unwrap();
    let _second = TcpStream::connect(served.address).await.unwrap();
    eventually(async || served.gateway.summary().await.unwrap().waiting == 2).await;
    served.ask("Kitchen Pi").await;
    assert_eq!(
        oldest.read(&mut [0; 1]).await.unwrap_or(0),
        0,
        "the oldest should have been dropped"
    );
}

#[tokio::test]
async fn a_socket_that_says_nothing_ends_and_only_http_1_is_spoken() {
    let served =
        Served::with(Limits { first_message: Span::from_millis(100), ..Limits::DEFAULT }).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let mut http_2 = TcpStream::connect(served.address).await.unwrap();
    http_2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = http_2.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
}

#[tokio::test]
async fn a_muted_node_hears_that_it_is_muted_even_when_all_places_are_taken() {
    let served = Served::with(Limits { linked_total: 1, ..Limits::DEFAULT }).await;
    let (one, token_one) = served.paired("One").await;
    let (two, token_two) = served.paired("Two").await;
    served.gateway.decide(two, &Decision::Mute).await.unwrap();
    let _first = served.linked(one, &token_one).await;
    let mut second = served.connect().await;
    second.say(json!({"type": "auth", "node_id": two.to_string(), "token": token_two})).await;
    assert_eq!(second.hear().await, json!({"type": "muted"}));
}

#[tokio::test]
async fn those_who_ignore_our_goodbye_keep_no_seat() {
    let served = Served::with(Limits { waiting_per_source: 1, ..Limits::DEFAULT }).await;
    let mut lingering = Vec::new();
    for _ in 0..8 {
        let mut client = served.connect().await;
        client.text("nonsense").await;
        lingering.push(client);
        eventually(async || served.gateway.summary().await.unwrap().waiting == 0).await;
    }
    served.ask("Kitchen Pi").await;
}

#[tokio::test]
async fn linked_nodes_do_not_count_among_those_that_wait() {
    let served = Served::with(Limits { waiting_per_source: 1, ..Limits::DEFAULT }).await;
    let mut links = Vec::new();
    for n in 0..3 {
        let (node_id, token) = served.paired(&format!("Pi {n}")).await;
        links.push(served.linked(node_id, &token).await);
    }
    let _silent = served.connect().await;
    for link in &mut links {
        link.expect_open().await;
    }
}

#[tokio::test]
async fn over_capacity_is_1013_and_the_slot_is_freed() {
    let served = Served::with(Limits { linked_total: 1, ..Limits::DEFAULT }).await;
    let (one, token_one) = served.paired("One").await;
    let (two, token_two) = served.paired("Two").await;
    let first = served.linked(one, &token_one).await;
    let mut second = served.connect().await;
    second.say(json!({"type": "auth", "node_id": two.to_string(), "token": token_two})).await;
    second.expect_close(1013, "Server at capacity").await;
    drop(first);
    served.until_offline(one).await;
    served.linked(two, &token_two).await.expect_open().await;
}

#[tokio::test]
async fn pending_requests_are_capped_per_source_and_in_total_and_found_again_when_full() {
    let served = Served::with(Limits { pending_per_source: 2, ..Limits::DEFAULT }).await;
    let first = served.ask("One").await;
    served.ask("Two").await;
    let mut third = served.connect().await;
    third.say(json!({"type": "pair_request", "friendly_name": "Three"})).await;
    third.expect_close(1013, "Server at capacity").await;
    assert_eq!(served.ask("One").await, first);
    served.gateway.decide(first, &Decision::Reject).await.unwrap();
    served.ask("Three").await;
    assert_eq!(served.gateway.devices(Filter::Pending, None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn pending_requests_expire() {
    let served = Served::with(Limits {
        pending_for: Span::from_secs(1),
        pending_total: 1,
        ..Limits::DEFAULT
    })
    .await;
    let first = served.ask("One").await;
    eventually(async || {
        served.gateway.devices(Filter::Pending, None, 10).await.unwrap().is_empty()
    })
    .await;
    // The only place is free again, and the same request keeps its id.
    assert_eq!(served.ask("One").await, first);
}

#[tokio::test]
async fn a_request_that_never_ends_its_head_is_dropped_while_others_are_served() {
    let served = Served::start().await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    served.ask("Kitchen Pi").await;
    let mut huge = TcpStream::connect(served.address).await.unwrap();
    huge.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let long = format!("X: {}\r\n", "y".repeat(1000));
    let mut refused = false;
    for _ in 0..64 {
        refused |= huge.write_all(long.as_bytes()).await.is_err();
    }
    let mut answer = Vec::new();
    refused |= huge.read_to_end(&mut answer).await.is_err()
        || answer.starts_with(b"HTTP/1.1 431")
        || answer.is_empty();
    assert!(refused);
}
