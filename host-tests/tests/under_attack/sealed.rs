//! The native wire behind proxies, during floods of first messages.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handfast_core::limits::STREAM_FRAME;
use handfast_core::wire::frame::encode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::operator::{delivered, gets, paired_by_token, posts};
use super::peer::{Paired, Peer, pairs, wire};
use super::{HOME, STRANGER, address};
use crate::binaries::{Running, program};
use crate::cli::gateway::{Gateway, private_dir};
use crate::conformance::eventually;
use crate::conformance::floods::all_link;
use crate::conformance::proxies::real::{APPENDED, WEBSOCKETS, free, haproxy, nginx};

/// The address of the proxies themselves, and of the nodes of these tests.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The first bytes of a connection that pairs, and of one that links.
const OPENS: [[u8; 2]; 2] = [[1, 0], [1, 1]];
/// Time for which each connection of a flood stays open.
const HELD: Duration = Duration::from_secs(1);

/// Returns the first message of a flood's connection. Half of the connections send none after the
/// opening bytes; the others send bytes that may be a message of that kind.
fn first(open: [u8; 2], number: u32) -> Option<Vec<u8>> {
    number.is_multiple_of(2).then(|| vec![7; if open == OPENS[0] { 32 } else { 96 }])
}

/// Opens WebSockets at this rate until it is aborted.
async fn flood(gateway: SocketAddr, from: IpAddr, open: [u8; 2], a_second: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second);
    let mut under_way = JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        under_way.spawn(async move {
            let Some(mut client) = wire(gateway, from).await else { return };
            let _ = client.socket.send(Message::binary(open.to_vec())).await;
            if let Some(first) = first(open, number) {
                let _ = client.socket.send(Message::binary(first)).await;
            }
            tokio::time::sleep(HELD).await;
        });
        while under_way.try_join_next().is_some() {}
    }
}

/// Opens TCP connections at this rate until it is aborted.
async fn flood_tcp(gateway: SocketAddr, from: IpAddr, open: [u8; 2], a_second: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second);
    let mut under_way = JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        under_way.spawn(async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            let Ok(mut stream) = socket.connect(gateway).await else { return };
            for message in [Some(open.to_vec()), first(open, number)].into_iter().flatten() {
                let mut room = [0; STREAM_FRAME];
                let _ = stream.write_all(encode(&message, &mut room).unwrap()).await;
            }
            tokio::time::sleep(HELD).await;
        });
        while under_way.try_join_next().is_some() {}
    }
}

/// Pairs a node by PIN at this address, and has it link.
async fn pairs_and_links(gateway: &Gateway, url: &str) {
    let state = private_dir();
    let begun = std::time::Instant::now();
    let mut node = gateway.node_in(&state, "Lamp", &["--pin", "--gateway", url]);
    node.types(&gateway.pin(1));
    let (code, said) = node.ends();
    assert_eq!(code, 0, "{said}");
    let paired = begun.elapsed();
    let mut command = program("handfast-node");
    command.arg("run").arg("--state").arg(state.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let _node = Running(command.spawn().unwrap());
    eventually(async || gets(gateway, "/api/v1/status")["linked"] == 1).await;
    println!("{url}: paired in {paired:?}, linked {:?} later", begun.elapsed() - paired);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx"]
async fn a_node_pairs_by_pin_and_links_through_nginx_while_its_own_and_another_address_flood_first_messages()
 {
    for listed in [&[][..], &["--trusted-proxy", "127.0.0.1/32"]] {
        let gateway = Gateway::start_quietly(&[listed, &["--pairing"]].concat());
        let nginx = nginx(address(&gateway), &format!("{WEBSOCKETS} {APPENDED}")).await;
        let mut floods = JoinSet::new();
        for (from, open) in
            [(HERE, OPENS[0]), (HERE, OPENS[1]), (STRANGER, OPENS[0]), (STRANGER, OPENS[1])]
        {
            floods.spawn(flood(nginx.address, from, open, 30));
        }
        // By then one address has as many connections open as it may.
        tokio::time::sleep(HELD).await;
        pairs_and_links(&gateway, &format!("ws://{}", nginx.address)).await;
        floods.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs haproxy"]
async fn a_node_pairs_by_pin_and_links_over_tcp_behind_haproxy_while_its_own_and_another_address_flood_first_messages()
 {
    let tcp = free().await;
    let listens = format!("{tcp},proxy_protocol");
    let gateway = Gateway::start_quietly(&[
        "--pairing",
        "--trusted-proxy",
        "127.0.0.1/32",
        "--listen-tcp",
        &listens,
    ]);
    let (_haproxy, in_front) = haproxy(address(&gateway), tcp).await;
    let mut floods = JoinSet::new();
    for (from, open) in
        [(HERE, OPENS[0]), (HERE, OPENS[1]), (STRANGER, OPENS[0]), (STRANGER, OPENS[1])]
    {
        floods.spawn(flood_tcp(in_front, from, open, 60));
    }
    tokio::time::sleep(HELD).await;
    pairs_and_links(&gateway, &format!("tcp://{in_front}")).await;
    floods.shutdown().await;
}

/// Pairs a node with a code.
async fn paired(gateway: &Gateway) -> Paired {
    let minted = posts(
        gateway,
        "/api/v1/pairing/codes",
        &json!({"kind": "typed", "permissions": {"read": ["/lights/**"]}}),
    );
    delivered(gateway, &minted);
    pairs(address(gateway), HERE, "Lamp", minted["code"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_wait_for_their_turn_to_be_read_take_every_place_and_keep_no_known_node_out()
{
    // Of the strangers that pair, a quarter of it is read in a second.
    let gateway = Gateway::start_quietly(&[
        "--first-messages-per-second",
        "100",
        "--failures-per-minute",
        "2",
    ]);
    let to = address(&gateway);
    let (lamp, tokens) = (paired(&gateway).await, paired_by_token(&gateway, 16).await);
    let mut strangers = JoinSet::new();
    for number in 0..20 {
        let from = IpAddr::from([127, 11, 0, number + 1]);
        for _ in 0..64 {
            strangers.spawn(async move {
                loop {
                    let Some(mut client) = wire(to, from).await else { continue };
                    let _ = client.socket.send(Message::binary(OPENS[0].to_vec())).await;
                    let _ = client.socket.send(Message::binary(vec![7; 32])).await;
                    // A connection that has been answered makes room for the next one.
                    let _ = client.socket.next().await;
                }
            });
        }
    }
    eventually(async || gets(&gateway, "/api/v1/status")["waiting"].as_u64().unwrap() >= 1000)
        .await;
    tokio::time::sleep(HELD).await;
    let begun = std::time::Instant::now();
    let mut links = Vec::new();
    for time in 0..5 {
        links.push(
            Peer::links(to, HOME, &lamp)
                .await
                .unwrap_or_else(|| panic!("turned away the {time}. time")),
        );
    }
    let took = all_link(to, tokens, HOME).await;
    println!(
        "beside 1 280 strangers who wait: one node 5 times in {:?}, 16 of 16 in {took:?}",
        begun.elapsed() - took
    );
    strangers.shutdown().await;
}
