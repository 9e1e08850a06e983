//! The operators' surface over a fleet that is linked: how fast the lists are, and how long after a
//! decision the open pages hear of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::nodes::{Fleet, keys_of};
use crate::process::Server;
use crate::{link_all, peer, print, quantile};

/// Number of requests that wait, and of pages that are open.
const PENDING: u32 = 1_000;
const PAGES: usize = 20;
/// Number of times that each list is read.
const READ: u32 = 300;
/// Number of decisions whose way to the pages is timed.
const DECISIONS: u32 = 100;

/// The lists that are read, with what they are for.
const LISTS: [(&str, &str); 6] = [
    ("the requests that wait", "/api/v1/devices?filter=pending&limit=100"),
    ("the first hundred nodes", "/api/v1/devices?limit=100"),
    ("the first hundred paired nodes", "/api/v1/paired?limit=100"),
    ("status", "/api/v1/status"),
    ("the page with what waits", "/admin"),
    ("the page of nodes", "/admin/nodes"),
];

/// Links a fleet, opens pages, and reads and decides beside them.
pub(crate) async fn measure(links: u32) {
    let (_home, fleet) = Fleet::new();
    let mut server = Server::with_waiting(&fleet, links, 1, PENDING);
    let (tcp, web) = (server.tcp, server.web);
    let token = format!("Authorization: Bearer {}\r\n", server.ask("token 0").await);
    let browser = log_in(web, &server.ask("login 0").await).await;
    let key = peer::Framed::connect(tcp).await.meet(&keys_of(links)).await.peer;
    let linked = link_all(links, move |number| peer::link_over_noise(tcp, key, number)).await;
    server.ask(&format!("linked {links}")).await;
    println!("{links} linked nodes, {PENDING} requests that wait, {PAGES} open pages:");
    let (tell, mut told) = mpsc::unbounded_channel();
    for _ in 0..PAGES {
        let page = Page::open(web, &token).await;
        tokio::spawn(page.follow(tell.clone()));
    }
    for (what, path) in LISTS {
        let rights = if path.starts_with("/admin") { &browser } else { &token };
        let mut times = Vec::new();
        for _ in 0..READ {
            times.push(get(web, rights.clone(), path).await.took);
        }
        print(what, times);
    }
    let mut times = Vec::new();
    for _ in 0..READ as usize / PAGES {
        let rights = format!("{browser}X-Handfast-Part: live\r\n");
        let read: JoinSet<_> = (0..PAGES).map(|_| get(web, rights.clone(), "/admin")).collect();
        times.extend(read.join_all().await.into_iter().map(|answer| answer.took));
    }
    print("all pages at once read what waits", times);
    let waiting = get(web, token.clone(), "/api/v1/devices?filter=pending&limit=500").await;
    let waiting: serde_json::Value = serde_json::from_str(&waiting.body).unwrap();
    let ids = waiting["items"].as_array().unwrap().iter();
    let ids: Vec<&str> = ids.map(|item| item["node_id"].as_str().unwrap()).collect();
    let (mut first, mut last, mut longest) = (Vec::new(), Vec::new(), 0);
    for id in ids.iter().take(DECISIONS as usize) {
        // A page that is behind would be counted for the next decision.
        while told.try_recv().is_ok() {}
        let begun = Instant::now();
        let path = format!("/api/v1/devices/{id}/reject");
        let decided = tokio::spawn(post(web, token.clone(), path, "{}".to_owned()));
        let mut heard: Vec<Duration> = Vec::new();
        while heard.len() < PAGES {
            let event: Heard = told.recv().await.expect("the pages are open");
            longest = longest.max(event.bytes);
            if event.node == *id {
                heard.push(event.at.duration_since(begun));
            }
        }
        decided.await.unwrap();
        heard.sort_unstable();
        first.push(heard[0]);
        last.push(quantile(&heard, 100));
    }
    print("from a decision to the first page", first);
    print("from a decision to the last page", last);
    println!("  the longest event that a page was sent: {longest} bytes");
    println!("  the gateway's memory: {:.1} MiB", server.resident() / 1024.0);
    drop(linked);
}

fn request(method: &str, rights: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{rights}{more}\r\n")
}

/// An answer, and the time until it was read.
struct Answer {
    head: String,
    body: String,
    took: Duration,
}

async fn answer(web: SocketAddr, request: String) -> Answer {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(web).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let took = begun.elapsed();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let (head, body) = text.split_once("\r\n\r\n").expect("a body");
    Answer { head: head.to_owned(), body: body.to_owned(), took }
}

async fn get(web: SocketAddr, rights: String, path: &str) -> Answer {
    answer(web, request("GET", &rights, path, "Connection: close\r\n")).await
}

async fn post(web: SocketAddr, rights: String, path: String, body: String) -> Answer {
    let length = body.len();
    let head = format!(
        "Connection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    );
    answer(web, request("POST", &rights, &path, &head) + &body).await
}

/// Logs a browser in, and returns the header with its session.
async fn log_in(web: SocketAddr, secret: &str) -> String {
    let own = format!("Origin: http://{web}\r\n");
    let body = format!("{{\"secret\":\"{secret}\"}}");
    let Answer { head, .. } = post(web, own, "/login".to_owned(), body).await;
    let mut set = head.lines().filter_map(|line| line.split_once(": "));
    let (_, set) = set.find(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).unwrap();
    format!("Cookie: {}\r\n", set.split(';').next().unwrap_or_default())
}

/// An event about a node, as an open page has it.
struct Heard {
    node: String,
    bytes: usize,
    at: Instant,
}

/// The stream of changes that an open page reads.
struct Page(TcpStream);

impl Page {
    async fn open(web: SocketAddr, token: &str) -> Self {
        let mut stream = TcpStream::connect(web).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let accept = "Accept: text/event-stream\r\n";
        let request = request("GET", token, "/api/v1/events", accept);
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Tells of each event that is about a node.
    async fn follow(mut self, tell: mpsc::UnboundedSender<Heard>) {
        const BEFORE: &str = "\"node\":\"";
        let mut text = String::new();
        let mut read = [0; 4096];
        while let Ok(length @ 1..) = self.0.read(&mut read).await {
            let at = Instant::now();
            text.push_str(&String::from_utf8_lossy(&read[..length]));
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let Some((_, rest)) = event.split_once(BEFORE) else { continue };
                let node = rest.split('"').next().unwrap_or_default().to_owned();
                if tell.send(Heard { node, bytes: event.len(), at }).is_err() {
                    return;
                }
            }
        }
    }
}
