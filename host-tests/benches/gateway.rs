//! Costs of a gateway over real sockets: memory of idle authenticated connections, pairing requests
//! a second, re-authentications a second. Server and client are separate processes.
//! `cargo bench -p handfast-host-tests --bench gateway -- [CONNECTIONS]` (default 10 000; needs as
//! many file descriptors, `ulimit -n`).

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use handfast_core::grant::token::{HashJob, issue};
use handfast_core::limits::Limits;
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::secret::Secret;
use handfast_core::{Entropy, Label, NodeId, Span, UnixTime};
use handfast_server::{Gateway, NoApplication, Observer};
use handfast_store::{SqliteStore, Store};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

/// Number of concurrent clients while a rate is measured.
const WRITERS: usize = 64;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.first().map(String::as_str) {
        Some("server") => runtime.block_on(server(args[1].parse().unwrap())),
        count => runtime.block_on(client(count.and_then(|n| n.parse().ok()).unwrap_or(10_000))),
    }
}

struct Deaf;

impl Observer for Deaf {
    fn event(&self, _: &handfast_server::Event) {}
}

/// Serves nodes that are paired already, and prints its address and their ids and tokens.
async fn server(nodes: usize) {
    let home = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&home.path().join("handfast.db")).unwrap();
    let tokens = pair(&store, nodes).await;
    let limits = Limits {
        linked_total: u32::MAX,
        waiting_total: u32::MAX,
        waiting_per_source: u32::MAX,
        pending_total: u32::MAX,
        pending_per_source: u32::MAX,
        failures_per_minute: u32::MAX,
        ping_every: Span::from_secs(3600),
        ..Limits::DEFAULT
    };
    let gateway = Gateway::builder(store)
        .store_key(Secret::new([7; 32]))
        .limits(limits)
        .application(NoApplication);
    let gateway = gateway.observer(Deaf).start().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr().unwrap()).unwrap();
    for (id, token) in tokens {
        writeln!(out, "{id} {token}").unwrap();
    }
    out.flush().unwrap();
    handfast_server::serve(gateway, listener, None, std::future::pending()).await;
}

async fn pair(store: &SqliteStore, nodes: usize) -> Vec<(NodeId, String)> {
    let mut tokens = Vec::new();
    for _ in 0..nodes {
        let node_id = NodeId::new(&Entropy::try_draw(&mut getrandom::SysRng).unwrap());
        let token =
            std::iter::repeat_with(|| issue(&Entropy::try_draw(&mut getrandom::SysRng).unwrap()))
                .flatten()
                .next()
                .unwrap();
        tokens.push((node_id, token));
    }
    let shown: Vec<_> = tokens.iter().map(|(id, token)| (*id, token.expose().to_owned())).collect();
    let mut hashing = tokio::task::JoinSet::new();
    for (node_id, token) in tokens {
        hashing.spawn_blocking(move || (node_id, HashJob { node_id, token }.run().hash));
    }
    while let Some(hashed) = hashing.join_next().await {
        let (node_id, token) = hashed.unwrap();
        let record = Record {
            node_id,
            name: Label::parse("node").unwrap().into(),
            room: Label::parse("room").unwrap().into(),
            address: [127, 0, 0, 1].into(),
            keys: None,
            asked_at: UnixTime::from_secs(0),
            asked: Asked::by(AskMethod::Token),
            standing: Standing::Paired { credential: Credential::Token(token), mode: Mode::Full },
        };
        store.insert(record, "{}".to_owned(), UnixTime::from_secs(0)).await.unwrap();
    }
    shown
}

async fn client(count: usize) {
    println!("{count} nodes are being paired in the server process …");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["server", &count.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address: SocketAddr = lines.next().unwrap().parse().unwrap();
    let nodes: Arc<Vec<(String, String)>> = Arc::new(
        lines
            .by_ref()
            .take(count)
            .map(|line| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
            .collect(),
    );

    let before = resident(child.id());
    let start = Instant::now();
    let links = authenticate(address, &nodes).await;
    println!("first authentication    {:>9.0} /s", count as f64 / start.elapsed().as_secs_f64());
    let with = resident(child.id());
    println!(
        "idle authenticated link {:>9.2} KiB each ({} links, {} → {} KiB resident)",
        (with - before) as f64 / links.len() as f64,
        links.len(),
        before,
        with
    );
    drop(links);

    let cpu = cpu_seconds(child.id());
    let start = Instant::now();
    drop(authenticate(address, &nodes).await);
    let spent = cpu_seconds(child.id()) - cpu;
    println!(
        "authentication again    {:>9.0} /s over sockets, {:.0} µs CPU of the server each (TCP, HTTP and WebSocket included)",
        count as f64 / start.elapsed().as_secs_f64(),
        spent * 1e6 / count as f64
    );

    let asked = 20_000usize.min(count * 2);
    let start = Instant::now();
    each(asked, move |n| async move {
        let request =
            json!({"type": "pair_request", "friendly_name": format!("node {n}")}).to_string();
        assert!(say(address, request).await.1.contains("pair_pending"));
    })
    .await;
    println!(
        "durable pair_request    {:>9.0} /s over sockets, {WRITERS} clients",
        asked as f64 / start.elapsed().as_secs_f64()
    );
    let _ = child.kill();
    let _ = child.wait();
}

async fn authenticate(
    address: SocketAddr,
    nodes: &Arc<Vec<(String, String)>>,
) -> Vec<WebSocketStream<TcpStream>> {
    let links = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    each(nodes.len(), |n| {
        let (nodes, links) = (Arc::clone(nodes), Arc::clone(&links));
        async move {
            let (id, token) = &nodes[n];
            let (socket, answer) =
                say(address, json!({"type": "auth", "node_id": id, "token": token}).to_string())
                    .await;
            assert!(answer.contains("auth_ok"), "{answer}");
            links.lock().await.push(socket);
        }
    })
    .await;
    Arc::into_inner(links).unwrap().into_inner()
}

/// Runs something `count` times, 64 at once.
async fn each<F: Future<Output = ()> + Send + 'static>(count: usize, work: impl Fn(usize) -> F) {
    let done = Arc::new(AtomicUsize::new(0));
    let mut running = tokio::task::JoinSet::new();
    for n in 0..count {
        if running.len() >= WRITERS {
            running.join_next().await.unwrap().unwrap();
        }
        let done = Arc::clone(&done);
        let work = work(n);
        running.spawn(async move {
            work.await;
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    assert_eq!(done.load(Ordering::Relaxed), count);
}

async fn say(address: SocketAddr, message: String) -> (WebSocketStream<TcpStream>, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://gateway/", stream).await.unwrap();
    socket.send(message.into()).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
    (socket, answer)
}

/// Resident memory of a process in KiB.
fn resident(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time of a process, user and system.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
