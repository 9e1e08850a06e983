//! Real proxies, with the configurations of their packages and manuals.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use handfast_core::limits::Limits;
use handfast_core::registry::authority::Role;
use handfast_server::policy::SetupSettings;
use handfast_server::proxies::{ForwardedHeader, ProxySettings};
use handfast_server::public_url::Candidates;
use handfast_server::{Gateway, Listening};
use handfast_store::MemoryStore;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::{Served, eventually};
use super::{from, get, recorded, websocket};

const X: &str = "X-Forwarded-For";
const F: &str = "Forwarded";
const WRONG: (&str, &str) = ("Authorization", "Bearer nobodys");
/// Settings that nginx needs for WebSockets, from its manual.
pub(crate) const WEBSOCKETS: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";
pub(crate) const APPENDED: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    _dir: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address whose port was free a moment ago. Its loopback host is nobody else's here, so
/// that no other test takes the port before the program that is told of it.
pub(crate) async fn free() -> SocketAddr {
    static TAKEN: AtomicU8 = AtomicU8::new(1);
    let host = Ipv4Addr::new(127, 0, 99, TAKEN.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((host, 0)).await.unwrap().local_addr().unwrap()
}

async fn started(mut command: Command, address: SocketAddr, dir: TempDir) -> Proxy {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let proxy = Proxy { child, address, _dir: dir };
    eventually(async || TcpStream::connect(address).await.is_ok()).await;
    proxy
}

/// Starts nginx with its defaults, `proxy_pass`, and the settings in `location`.
pub(crate) async fn nginx(to: SocketAddr, location: &str) -> Proxy {
    let (dir, address) = (tempfile::tempdir().unwrap(), free().await);
    let at = |name: &str| dir.path().join(name).display().to_string();
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", at(kind)))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {pid}; error_log {log};\nevents {{ }}\nhttp {{\n{folders}access_log off;\n\
         server {{ listen {address}; location / {{ proxy_pass http://{to}; {location} }} }}\n}}\n",
        pid = at("pid"),
        log = at("error.log"),
    );
    std::fs::write(dir.path().join("nginx.conf"), configuration).unwrap();
    let mut command = Command::new(found("nginx"));
    command
        .arg("-p")
        .arg(dir.path())
        .arg("-c")
        .arg(dir.path().join("nginx.conf"))
        .arg("-e")
        .arg(at("error.log"));
    started(command, address, dir).await
}

/// Starts haproxy in front of HTTP and of the native wire over TCP, with PROXY headers. Returns it
/// with the address of the second listener.
pub(crate) async fn haproxy(http: SocketAddr, tcp: SocketAddr) -> (Proxy, SocketAddr) {
    let (dir, in_front, in_front_tcp) = (tempfile::tempdir().unwrap(), free().await, free().await);
    let configuration = haproxy_configuration([&in_front, &http, &in_front_tcp, &tcp]);
    std::fs::write(dir.path().join("haproxy.cfg"), configuration).unwrap();
    let mut command = Command::new(found("haproxy"));
    command.arg("-db").arg("-f").arg(dir.path().join("haproxy.cfg"));
    (started(command, in_front, dir).await, in_front_tcp)
}

/// Returns a configuration of haproxy that listens at the first and third address, and asks the
/// gateway at those behind them.
pub(crate) fn haproxy_configuration([web, http, native, tcp]: [&SocketAddr; 4]) -> String {
    format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen web\n  bind {web}\n  server gateway {http} send-proxy-v2 check-send-proxy\n\
         listen native\n  bind {native}\n  server gateway {tcp} send-proxy-v2\n"
    )
}

/// Returns the path of a program that packages install outside the usual `PATH`.
pub(crate) fn found(name: &str) -> String {
    let beside = format!("/usr/sbin/{name}");
    if Path::new(&beside).exists() { beside } else { name.to_owned() }
}

async fn gateway(trusted: &[&str], header: ForwardedHeader, limits: Limits) -> Gateway {
    let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
    let builder =
        Gateway::builder(MemoryStore::default()).proxies(ProxySettings { trusted, header });
    builder.limits(limits).start().await.unwrap()
}

/// Sends a login link's secret through a proxy, as the page does, and returns the head of the answer.
async fn logs_in(client: &str, to: SocketAddr, secret: &str) -> String {
    let mut stream = from(client, to).await;
    let body = serde_json::json!({ "secret": secret }).to_string();
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: gateway.example\r\nOrigin: https://gateway.example\r\n\
         Content-Type: application/json\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().0.to_owned()
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn behind_nginx_guesses_at_a_login_link_are_charged_to_the_client_that_makes_them() {
    let limits = Limits { failures_per_minute: 2, ..Limits::DEFAULT };
    let proxies = ProxySettings {
        trusted: vec!["127.0.0.1/32".parse().unwrap()],
        header: ForwardedHeader::XForwardedFor,
    };
    let addresses =
        Candidates { public: Some("wss://gateway.example".to_owned()), ..Candidates::default() };
    let gateway = Gateway::builder(MemoryStore::default())
        .proxies(proxies)
        .setup(SetupSettings { addresses, ..SetupSettings::default() })
        .limits(limits)
        .start()
        .await
        .unwrap();
    let made = gateway.make_login_link(None, Role::Viewer).unwrap();
    let secret = made.url.split_once('#').unwrap().1.to_owned();
    let served = Served::over(gateway).await;
    let nginx = nginx(served.address, APPENDED).await;
    let wrong = "AAAAAAAAAAAAAAAAAAAAAA";
    for status in ["401", "401", "429"] {
        let answer = logs_in("127.0.0.3", nginx.address, wrong).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let answer = logs_in("127.0.0.4", nginx.address, &secret).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("set-cookie: __host-handfast="), "{answer}");
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn behind_nginx_as_it_is_packaged_every_client_counts_for_itself_whatever_it_says() {
    let limits = Limits { failures_per_minute: 3, waiting_per_source: 4, ..Limits::DEFAULT };
    let served =
        Served::over(gateway(&["127.0.0.1/32"], ForwardedHeader::XForwardedFor, limits).await)
            .await;
    let nginx = nginx(served.address, &format!("{WEBSOCKETS} {APPENDED}")).await;
    for (client, headers) in [
        ("127.0.0.3", &[][..]),
        ("127.0.0.4", &[(X, "6.6.6.6")]),
        ("127.0.0.5", &[(X, "6.6.6.6"), (X, "127.0.0.3, 127.0.0.1")]),
        ("127.0.0.6", &[(F, "for=6.6.6.6"), (F, "for=127.0.0.3")]),
        ("127.0.0.7", &[(X, "6.6.6.6"), (F, "for=6.6.6.6"), (X, "6.6.6.6"), (F, "for=6.6.6.6")]),
    ] {
        let socket = websocket(from(client, nginx.address).await, "/", headers).await;
        assert_eq!(recorded(&served, socket, client).await.to_string(), client, "{headers:?}");
    }
    // A client that fails uses up its own attempts, also when it names others over the same
    // connection.
    let mut stranger = from("127.0.0.3", nginx.address).await;
    for forged in ["127.0.0.4", "6.6.6.6", "7.7.7.7"] {
        assert_eq!(get(&mut stranger, "/api/v1/session", &[WRONG, (X, forged)]).await.0, 401);
    }
    assert_eq!(get(&mut stranger, "/api/v1/session", &[WRONG, (X, "8.8.8.8")]).await.0, 429);
    let mut other = from("127.0.0.4", nginx.address).await;
    assert_eq!(get(&mut other, "/api/v1/session", &[WRONG]).await.0, 401);
    // Silent sockets of one client take no slot from another.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(websocket(from("127.0.0.3", nginx.address).await, "/", &[]).await);
    }
    let socket = websocket(from("127.0.0.8", nginx.address).await, "/", &[]).await;
    assert_eq!(recorded(&served, socket, "Kitchen Pi").await.to_string(), "127.0.0.8");
    silent.remove(0).expect_close(1013, "Server at capacity").await;
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn behind_an_nginx_that_is_not_listed_everybody_counts_for_it_and_is_believed_nothing() {
    let served =
        Served::over(gateway(&[], ForwardedHeader::XForwardedFor, Limits::DEFAULT).await).await;
    for location in [WEBSOCKETS.to_owned(), format!("{WEBSOCKETS} {APPENDED}")] {
        let nginx = nginx(served.address, &location).await;
        for headers in [&[][..], &[(X, "6.6.6.6")], &[(F, "for=6.6.6.6")]] {
            let socket = websocket(from("127.0.0.3", nginx.address).await, "/", headers).await;
            assert_eq!(recorded(&served, socket, "Kitchen Pi").await.to_string(), "127.0.0.1");
        }
    }
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn requests_through_the_one_line_configuration_of_nginx_are_served() {
    let limits = Limits { failures_per_minute: 1, ..Limits::DEFAULT };
    let served =
        Served::over(gateway(&["127.0.0.1"], ForwardedHeader::Forwarded, limits).await).await;
    let nginx = nginx(served.address, "").await;
    // It writes no header, and passes on the one that is ignored, so every client counts for it.
    let mut first = from("127.0.0.3", nginx.address).await;
    assert_eq!(get(&mut first, "/health", &[]).await.0, 200);
    assert_eq!(get(&mut first, "/api/v1/session", &[WRONG, (X, "6.6.6.6")]).await.0, 401);
    let mut second = from("127.0.0.4", nginx.address).await;
    assert_eq!(get(&mut second, "/api/v1/session", &[WRONG, (X, "7.7.7.7")]).await.0, 429);
}

#[tokio::test]
#[ignore = "needs haproxy"]
async fn haproxy_says_for_whom_it_connects_ahead_of_http_and_of_the_native_wire() {
    let limits = Limits { waiting_per_source: 1, ..Limits::DEFAULT };
    let gateway = gateway(&["127.0.0.1/32"], ForwardedHeader::XForwardedFor, limits).await;
    let mut listeners = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listeners
            .push((listener.local_addr().unwrap(), Listening { listener, proxy_protocol: true }));
    }
    let [(tcp, streams), (http, web)] = [listeners.pop().unwrap(), listeners.pop().unwrap()];
    tokio::spawn(handfast_server::serve(gateway.clone(), web, None, std::future::pending()));
    tokio::spawn(handfast_server::serve_tcp(gateway.clone(), streams, std::future::pending()));
    let served = Served::of(gateway, http);

    let (haproxy, in_front_tcp) = haproxy(http, tcp).await;

    for client in ["127.0.0.3", "127.0.0.4"] {
        let socket = websocket(
            from(client, haproxy.address).await,
            "/",
            &[(X, "6.6.6.6"), (F, "for=6.6.6.6")],
        )
        .await;
        assert_eq!(recorded(&served, socket, client).await.to_string(), client);
    }
    eventually(async || served.gateway.summary().await.unwrap().waiting == 0).await;
    // One slot for each source: a newer silent connection displaces its own source's, not
    // another's.
    let mut first = from("127.0.0.3", in_front_tcp).await;
    eventually(async || served.gateway.summary().await.unwrap().waiting == 1).await;
    let mut other = from("127.0.0.4", in_front_tcp).await;
    eventually(async || served.gateway.summary().await.unwrap().waiting == 2).await;
    let _second = from("127.0.0.3", in_front_tcp).await;
    assert_eq!(first.read(&mut [0; 1]).await.unwrap_or(0), 0);
    other.write_all(&[0]).await.unwrap();
}
