//! Token nodes behind nginx as it is packaged, with the proxy listed at the gateway and not.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::operator::{gets, paired_by_token};
use super::{HOME, STRANGER, address};
use crate::cli::gateway::Gateway;
use crate::conformance::floods::{all_link, flood, says_once};
use crate::conformance::proxies::real::{APPENDED, Proxy, WEBSOCKETS, nginx};
use crate::conformance::proxies::{from, websocket};

const LISTED: [&str; 2] = ["--trusted-proxy", "127.0.0.1/32"];

async fn in_front_of(gateway: &Gateway) -> Proxy {
    nginx(address(gateway), &format!("{WEBSOCKETS} {APPENDED}")).await
}

/// Returns the number of waiting requests.
fn pending(gateway: &Gateway) -> usize {
    gets(gateway, "/api/v1/devices?filter=pending")["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx"]
async fn token_nodes_behind_nginx_all_come_back_after_a_restart_while_a_stranger_there_shows_wrong_tokens()
 {
    for listed in [&[][..], &LISTED] {
        let mut gateway = Gateway::start_quietly(listed);
        let nginx = in_front_of(&gateway).await;
        let nodes = paired_by_token(&gateway, 16).await;
        for a_second in [2, 5, 15] {
            gateway = gateway.crash_and_restart_with(listed);
            let (told, _refused) = tokio::sync::mpsc::channel(1);
            let stranger = tokio::spawn(flood(nginx.address, STRANGER, a_second, None, told));
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let took = all_link(nginx.address, nodes.clone(), HOME).await;
            println!(
                "{listed:?}, {a_second} wrong tokens a second through nginx: 16 of 16 in {took:?}"
            );
            stranger.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx"]
async fn junk_requests_through_nginx_fill_the_share_of_who_sends_them_and_keep_no_paired_node_out()
{
    for listed in [&[][..], &LISTED] {
        let gateway = Gateway::start_quietly(listed);
        let nginx = in_front_of(&gateway).await;
        let nodes = paired_by_token(&gateway, 4).await;
        let asks = async |source, number: usize| {
            let junk = json!({"type": "pair_request", "friendly_name": format!("Junk {number}"), "room": "R"});
            says_once(nginx.address, source, &junk.to_string()).await
        };
        let mut turned_away = 0;
        for number in 0..80 {
            turned_away += usize::from(asks(STRANGER, number).await.as_deref() == Some("1013"));
        }
        assert_eq!((pending(&gateway), turned_away), (64, 16), "{listed:?}");
        // Behind a proxy that is not listed, all clients are one source; behind a listed one, each
        // is its own.
        let neighbour = asks(HOME, 80).await;
        let expected = if listed.is_empty() { "1013" } else { "pair_pending" };
        assert_eq!(neighbour.as_deref(), Some(expected), "{listed:?}");
        all_link(nginx.address, nodes, HOME).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx"]
async fn whatever_a_client_of_nginx_says_of_itself_it_asks_from_where_it_is() {
    let gateway = Gateway::start_quietly(&LISTED);
    let nginx = in_front_of(&gateway).await;
    let (x, f) = ("X-Forwarded-For", "Forwarded");
    let long = vec!["127.0.0.1"; 400].join(", ");
    for (client, headers) in [
        ("127.0.0.11", &[(x, "127.0.0.3")][..]),
        ("127.0.0.12", &[(x, "127.0.0.3"), (x, "127.0.0.1, 127.0.0.3")]),
        ("127.0.0.13", &[(f, "for=127.0.0.3"), (f, "for=127.0.0.3")]),
        (
            "127.0.0.14",
            &[(x, "127.0.0.1"), (f, "for=127.0.0.3"), (x, "127.0.0.1"), (f, "for=127.0.0.1")],
        ),
        ("127.0.0.15", &[(x, "\"127.0.0.3"), (x, ",,;for=127.0.0.3,")]),
        ("127.0.0.16", &[(x, &long)]),
    ] {
        let mut socket = websocket(from(client, nginx.address).await, "/", headers).await;
        socket.say(json!({"type": "pair_request", "friendly_name": client, "room": "R"})).await;
        assert!(matches!(socket.next().await, Message::Text(_)));
        let devices = gets(&gateway, "/api/v1/devices?filter=pending");
        let asked = devices["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|device| device["friendly_name"] == client)
            .unwrap();
        assert_eq!(asked["ip_address"], client, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx"]
async fn a_listed_proxy_brings_nobody_to_the_operators_api_and_its_clients_have_attempts_of_their_own()
 {
    let gateway = Gateway::start_quietly(&[&LISTED[..], &["--failures-per-minute", "3"]].concat());
    let nginx = in_front_of(&gateway).await;
    let mut stranger = from("127.0.0.66", nginx.address).await;
    for header in [
        ("X-Forwarded-For", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
    ] {
        for path in ["/api/v1/devices", "/api/v1/status", "/api/v1/events"] {
            let (status, _) =
                crate::conformance::proxies::get(&mut stranger, path, &[header]).await;
            assert_eq!(status, 401, "{path} {header:?}");
        }
    }
    let wrong = ("Authorization", "Bearer HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ");
    let mut seen = Vec::new();
    for number in 0..6 {
        let forged = format!("203.0.113.{number}");
        seen.push(
            crate::conformance::proxies::get(
                &mut stranger,
                "/api/v1/session",
                &[wrong, ("X-Forwarded-For", &forged)],
            )
            .await
            .0,
        );
    }
    assert_eq!(seen, [401, 401, 401, 429, 429, 429]);
    let mut other = from("127.0.0.3", nginx.address).await;
    assert_eq!(
        crate::conformance::proxies::get(&mut other, "/api/v1/session", &[wrong]).await.0,
        401
    );
}
