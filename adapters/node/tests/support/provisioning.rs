//! A node with the simulated radio, a command center, and a phone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use handfast_node::provisioning::{
    NodeInfo, Provisioner, ProvisionerButton, ProvisionerConfig, Radio, SimulatedRadio,
    default_node_id,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Longest wait for anything.
const WITHIN: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(30);

/// Sends one request; returns the status, the body as JSON or null, and as text.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value, String) {
    let stream = TcpStream::connect(address).await.expect("the API listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(async move { drop(connection.await) });
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "node")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (status, serde_json::from_str(&text).unwrap_or_default(), text)
}

/// Returns a body that sends K2.
pub(crate) fn k2_body(node_id: &str) -> String {
    format!(
        r#"{{"node_id":"{node_id}","kid":"k1","k2":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","created_at":"2026-11-30T04:00:00Z","more":1}}"#
    )
}

/// A command center.
pub(crate) struct Center {
    url: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    asked: Vec<Value>,
    next: Vec<(u16, Value)>,
    gateway: Option<(String, String)>,
}

impl Center {
    pub(crate) async fn start() -> Self {
        let shared = Arc::<Mutex<Shared>>::default();
        let router = Router::new()
            .route("/api/v0/nodes/register", post(register))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Returns a body that gives a node this network and this command center.
    pub(crate) fn body(&self, ssid: &str, password: &str) -> String {
        json!({
            "wifi_ssid": ssid,
            "wifi_password": password,
            "room": "Kitchen",
            "command_center_url": self.url,
            "household_id": "h1",
            "node_id": "jarvis-1a2b3c4d",
            "provisioning_token": "prov_1",
            "unknown": true,
        })
        .to_string()
    }

    pub(crate) fn asked(&self) -> Vec<Value> {
        self.shared.lock().expect("not poisoned").asked.clone()
    }

    pub(crate) fn answer_next(&self, status: u16, body: Value) {
        self.shared.lock().expect("not poisoned").next.push((status, body));
    }

    pub(crate) fn name_gateway(&self, key: &str, address: &str) {
        let gateway = (key.to_owned(), address.to_owned());
        self.shared.lock().expect("not poisoned").gateway = Some(gateway);
    }
}

async fn register(
    State(shared): State<Arc<Mutex<Shared>>>,
    Json(body): Json<Value>,
) -> impl IntoResponse {
    let mut shared = shared.lock().expect("not poisoned");
    shared.asked.push(body.clone());
    if let Some((status, body)) = shared.next.pop() {
        return (StatusCode::from_u16(status).expect("a status"), Json(body));
    }
    let mut answer = json!({
        "node_id": body["node_id"],
        "node_key": "id.secret",
        "room": body["room"],
        "user": null,
        "voice_mode": null,
    });
    if let Some((key, address)) = &shared.gateway {
        answer["gateway_key"] = json!(key);
        answer["gateway_address"] = json!(address);
    }
    (StatusCode::CREATED, Json(answer))
}

/// A node under test.
pub(crate) struct Node {
    dir: Option<tempfile::TempDir>,
    address: SocketAddr,
    button: ProvisionerButton,
    operates: watch::Receiver<bool>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with_window(Duration::from_secs(600)).await
    }

    pub(crate) async fn start_with_window(window: Duration) -> Self {
        let radio = Box::new(SimulatedRadio::new(Some("wrong".to_owned())));
        Self::start_in(tempfile::tempdir().expect("a directory"), window, radio).await
    }

    pub(crate) async fn start_with_radio(radio: Box<dyn Radio>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self::start_in(dir, Duration::from_secs(600), radio).await
    }

    /// Starts a node that is asked for its page on this port, too.
    pub(crate) async fn start_with_captive_port(port: u16, window: Duration) -> Self {
        let radio = Box::new(SimulatedRadio::new(None));
        let dir = tempfile::tempdir().expect("a directory");
        Self::start_at(dir, window, radio, Some(port), false).await
    }

    async fn start_in(dir: tempfile::TempDir, window: Duration, radio: Box<dyn Radio>) -> Self {
        Self::start_at(dir, window, radio, None, false).await
    }

    async fn start_at(
        dir: tempfile::TempDir,
        window: Duration,
        radio: Box<dyn Radio>,
        captive_port: Option<u16>,
        share_settings: bool,
    ) -> Self {
        let mac_address = "b8:27:eb:1a:2b:3c".to_owned();
        let config = ProvisionerConfig {
            state: dir.path().join("state"),
            info: NodeInfo {
                node_id: default_node_id("jarvis-", &mac_address),
                firmware_version: "1".to_owned(),
                hardware: "test".to_owned(),
                mac_address,
                capabilities: vec!["wifi".to_owned()],
            },
            listen: "127.0.0.1:0".parse().expect("an address"),
            captive_port,
            plain: true,
            protected_only: false,
            share_settings,
            window,
            gateway_key: None,
            country: None,
            ca: None,
        };
        let provisioner = Provisioner::new(config, radio).await.expect("it starts");
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, button) = (provisioner.address(), provisioner.button());
        let operates = provisioner.operates();
        let running = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            provisioner.run(stopped).await.expect("it runs");
        });
        let (stop, running) = (Some(stop), Some(running));
        Self { dir: Some(dir), address, button, operates, stop, running }
    }

    /// Ends the node in order, and starts it again with its files.
    pub(crate) async fn restart(self) -> Self {
        let radio = Box::new(SimulatedRadio::new(Some("wrong".to_owned())));
        self.restart_with_radio(radio).await
    }

    /// Ends the node in order, and starts it again with its files and another radio.
    pub(crate) async fn restart_with_radio(self, radio: Box<dyn Radio>) -> Self {
        let dir = self.ended().await;
        Self::start_in(dir, Duration::from_secs(600), radio).await
    }

    /// Ends the node in order, and starts it again with its files: its setup window is so long, and
    /// it shares its settings at any time if `share_settings`. What took place before had all the
    /// time that it needed.
    pub(crate) async fn restart_with_window(self, window: Duration, share_settings: bool) -> Self {
        let dir = self.ended().await;
        let radio = Box::new(SimulatedRadio::new(None));
        Self::start_at(dir, window, radio, None, share_settings).await
    }

    async fn ended(mut self) -> tempfile::TempDir {
        drop(self.stop.take());
        self.running.take().expect("it runs").await.expect("it ends");
        self.dir.take().expect("a directory")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.as_ref().map(|dir| dir.path().join("state")).expect("a directory")
    }

    pub(crate) fn file_names(&self) -> Vec<String> {
        names(&self.state().join("provisioning"))
    }

    pub(crate) fn press_button(&self) {
        self.button.press();
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (status, body, _) = request(self.address, "GET", path, "").await;
        (status, body)
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let (status, body, _) = request(self.address, "POST", path, body).await;
        (status, body)
    }

    pub(crate) async fn provision(
        &self,
        center: &Center,
        ssid: &str,
        password: &str,
    ) -> (u16, Value) {
        self.post("/api/v1/provision", &center.body(ssid, password)).await
    }

    pub(crate) async fn status(&self) -> Value {
        self.get("/api/v1/status").await.1
    }

    /// Reads the status until it is in this state.
    pub(crate) async fn until(&self, state: &str) -> Value {
        self.until_equals("state", state).await
    }

    /// Reads the status until this member has this value.
    pub(crate) async fn until_equals(&self, member: &str, value: &str) -> Value {
        self.until_status(|status| status[member] == value).await
    }

    /// Reads the status until this member is true.
    pub(crate) async fn until_true(&self, member: &str) -> Value {
        self.until_status(|status| status[member] == true).await
    }

    async fn until_status(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let read = async {
            loop {
                // While the port is closed there is nothing to read.
                if TcpStream::connect(self.address).await.is_ok() {
                    let status = self.status().await;
                    if fits(&status) {
                        return status;
                    }
                }
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::time::timeout(WITHIN, read).await.expect("the state comes")
    }

    /// Waits until the node is in normal operation.
    pub(crate) async fn operates(&self) {
        let mut operates = self.operates.clone();
        let waiting = operates.wait_for(|operates| *operates);
        tokio::time::timeout(WITHIN, waiting).await.expect("it operates").expect("it runs");
    }

    /// Asks until the node refuses this path. Returns the status and the answer.
    pub(crate) async fn until_refused(&self, path: &str) -> (u16, Value) {
        let refused = async {
            loop {
                if TcpStream::connect(self.address).await.is_ok() {
                    let (status, body) = self.get(path).await;
                    if status != 200 {
                        return (status, body);
                    }
                }
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::time::timeout(WITHIN, refused).await.expect("it refuses")
    }

    /// Waits until nothing listens any more.
    pub(crate) async fn until_closed(&self) {
        let closed = async {
            while TcpStream::connect(self.address).await.is_ok() {
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::time::timeout(WITHIN, closed).await.expect("the port closes");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}
