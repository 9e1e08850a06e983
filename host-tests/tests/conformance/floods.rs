//! Floods over real sockets at real rates: strangers' messages lock no known node out, and a node's
//! messages wear out no disk.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use handfast_core::NodeId;
use handfast_core::limits::Limits;
use handfast_core::secret::Secret;
use handfast_server::Gateway;
use handfast_store::SqliteStore;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Client, Served, eventually};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOBODYS: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

/// Opens a WebSocket from this address; `None` if there is no room for it.
async fn connect(gateway: SocketAddr, from: IpAddr) -> Option<Client> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((from, 0).into()).ok()?;
    let stream = socket.connect(gateway).await.ok()?;
    let opened =
        tokio_tungstenite::client_async(format!("ws://{gateway}/"), MaybeTlsStream::Plain(stream))
            .await;
    Some(Client { socket: opened.ok()?.0 })
}

/// Sends one message, and returns the result: the type of the answer, or the code of a close.
pub(crate) async fn says_once(gateway: SocketAddr, from: IpAddr, message: &str) -> Option<String> {
    let mut client = connect(gateway, from).await?;
    client.text(message).await;
    match client.next().await {
        Message::Text(text) => Some(
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["type"].as_str()?.to_owned(),
        ),
        Message::Close(Some(frame)) => Some(u16::from(frame.code).to_string()),
        other => panic!("{other:?}"),
    }
}

/// Presents a token, and returns the result.
async fn shows(gateway: SocketAddr, from: IpAddr, node_id: NodeId, token: &str) -> Option<String> {
    let message = json!({"type": "auth", "node_id": node_id.to_string(), "token": token});
    says_once(gateway, from, &message.to_string()).await
}

/// Returns an id that no node has.
fn nobody(number: u64) -> NodeId {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    NodeId::from_bytes(bytes)
}

/// Presents wrong tokens at this rate until it is aborted. `refused` is notified once one is not
/// checked any more.
pub(crate) async fn flood(
    gateway: SocketAddr,
    from: IpAddr,
    a_second: u32,
    whose: Option<NodeId>,
    refused: tokio::sync::mpsc::Sender<()>,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second);
    let mut under_way = JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        let refused = refused.clone();
        under_way.spawn(async move {
            if shows(gateway, from, whose.unwrap_or_else(|| nobody(number)), NOBODYS)
                .await
                .is_some_and(|heard| heard == "1013")
            {
                let _ = refused.try_send(());
            }
        });
        while under_way.try_join_next().is_some() {}
    }
}

async fn many(served: &Served, count: usize) -> Vec<(NodeId, String)> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(served.paired(&format!("Pi {number}")).await);
    }
    nodes
}

/// Links all nodes at once, each at its first attempt.
pub(crate) async fn all_link(
    gateway: SocketAddr,
    nodes: Vec<(NodeId, String)>,
    from: IpAddr,
) -> Duration {
    let begun = Instant::now();
    let mut links = JoinSet::new();
    for (node_id, token) in nodes {
        links.spawn(async move { shows(gateway, from, node_id, &token).await });
    }
    for heard in links.join_all().await {
        assert_eq!(heard.as_deref(), Some("auth_ok"));
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_behind_one_address_all_link_at_once_while_a_stranger_there_shows_wrong_tokens() {
    for a_second in [5, 15, 60] {
        // A fresh gateway has verified no token yet, as after a restart.
        let served = Served::with(Limits { failures_per_minute: 5, ..Limits::DEFAULT }).await;
        let nodes = many(&served, 16).await;
        let (told, mut refused) = tokio::sync::mpsc::channel(1);
        let stranger = tokio::spawn(flood(served.address, HERE, a_second, None, told));
        refused.recv().await.unwrap();
        let took = all_link(served.address, nodes, HERE).await;
        println!(
            "a stranger with {a_second} wrong tokens a second at the same address: 16 of 16 in {took:?}"
        );
        stranger.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_addresses_with_wrong_tokens_keep_no_known_node_out() {
    let served = Served::start().await;
    let nodes = many(&served, 40).await;
    let (told, mut refused) = tokio::sync::mpsc::channel(1);
    let mut strangers = JoinSet::new();
    for number in 0..300_u16 {
        let [high, low] = number.to_be_bytes();
        let from = IpAddr::from([127, 1, high, low.max(1)]);
        strangers.spawn(flood(served.address, from, 1, None, told.clone()));
    }
    // From then on the strangers' queue is full.
    refused.recv().await.unwrap();
    let took = all_link(served.address, nodes, HERE).await;
    println!("300 addresses with a wrong token a second each: 40 of 40 in {took:?}");
    strangers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_an_id_keeps_its_node_out_from_no_other_address() {
    let served = Served::start().await;
    let nodes = many(&served, 1).await;
    let (told, mut refused) = tokio::sync::mpsc::channel(1);
    let mut strangers = JoinSet::new();
    for last in 1..=20 {
        strangers.spawn(flood(
            served.address,
            [127, 2, 0, last].into(),
            10,
            Some(nodes[0].0),
            told.clone(),
        ));
    }
    refused.recv().await.unwrap();
    all_link(served.address, nodes, HERE).await;
    strangers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_heartbeats_of_one_node_are_a_handful_of_writes() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("handfast.db")).unwrap();
    let served = Served::over(
        Gateway::builder(store).store_key(Secret::new([7; 32])).start().await.unwrap(),
    )
    .await;
    let (node_id, token) = served.paired("Pi").await;
    let mut client = served.linked(node_id, &token).await;
    let bytes = || std::fs::metadata(directory.path().join("handfast.db-wal")).unwrap().len();
    // The data that pairing wrote leaves the log after a quiet time, and would otherwise do so in
    // the middle of the measurement.
    eventually(async || bytes() == 0).await;
    let before = bytes();
    let begun = Instant::now();
    for number in 0..800 {
        client
            .say(json!({"type": "heartbeat", "noise_level": number, "occupancy": number == 0}))
            .await;
    }
    let seen = async || {
        served.gateway.device_by_prefix(&node_id.to_string()).await.unwrap().entry.observed.unwrap()
    };
    eventually(async || seen().await.noise_level == Some(799.0)).await;
    let (took, written) = (begun.elapsed(), bytes() - before);
    println!("800 heartbeats in {took:?}: {written} bytes");
    // One write is some pages of 4 KiB; without buffering each heartbeat would be one.
    assert!(written < 200_000, "{written} bytes in {took:?}");
    assert_eq!(seen().await.occupancy, Some(false));
    client.expect_open().await;
}

#[tokio::test]
async fn what_a_node_told_last_is_kept_when_it_leaves_and_when_the_gateway_ends() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("handfast.db");
    let store = SqliteStore::open(&file).unwrap();
    let gateway = Gateway::builder(store).store_key(Secret::new([7; 32])).start().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(handfast_server::serve(gateway.clone(), listener, None, async {
        drop(stopped.await);
    }));
    let served = Served { gateway, address, _stop: done };
    let (node_id, token) = served.paired("Pi").await;
    let mut client = served.linked(node_id, &token).await;
    for noise in [1.0, 2.0, 3.0] {
        client.say(json!({"type": "heartbeat", "noise_level": noise})).await;
    }
    let noise = async |gateway: &Gateway| {
        gateway
            .device_by_prefix(&node_id.to_string())
            .await
            .unwrap()
            .entry
            .observed
            .and_then(|seen| seen.noise_level)
    };
    eventually(async || noise(&served.gateway).await == Some(3.0)).await;
    drop(stop);
    serving.await.unwrap();
    drop((served, client, ended));
    // The store is free once the last task of the first gateway has dropped it.
    let mut again = None;
    eventually(async || {
        again = SqliteStore::open(&file).ok();
        again.is_some()
    })
    .await;
    let gateway =
        Gateway::builder(again.unwrap()).store_key(Secret::new([7; 32])).start().await.unwrap();
    assert_eq!(noise(&gateway).await, Some(3.0));
}
