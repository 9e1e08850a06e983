//! The specification of the `missy` dialect, black box over real sockets: a gateway on loopback,
//! and clients that speak only WebSocket.

mod auth;
mod bearers;
mod first_message;
pub(crate) mod floods;
mod limits;
mod link;
mod metrics;
mod operator;
pub(crate) mod proxies;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handfast_core::NodeId;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::limits::Limits;
use handfast_server::Gateway;
use handfast_store::MemoryStore;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Limit for every step; only a hang takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway on loopback that ends with the test.
pub(crate) struct Served {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::DEFAULT).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::over(Gateway::builder(MemoryStore::default()).limits(limits).start().await.unwrap())
            .await
    }

    pub(crate) async fn over(gateway: Gateway) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let until = async { drop(stopped.await) };
        tokio::spawn(handfast_server::serve(gateway.clone(), listener, None, until));
        Self { gateway, address, _stop: stop }
    }

    /// Wraps a gateway that is served in another way, for as long as the test runs.
    fn of(gateway: Gateway, address: SocketAddr) -> Self {
        Self { gateway, address, _stop: oneshot::channel().0 }
    }

    pub(crate) async fn connect(&self) -> Client {
        self.connect_to("/").await
    }

    pub(crate) async fn connect_to(&self, path: &str) -> Client {
        let (socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{}{path}", self.address)).await.unwrap();
        Client { socket }
    }

    /// Sends a pairing request, and returns the node id.
    pub(crate) async fn ask(&self, name: &str) -> NodeId {
        let mut client = self.connect().await;
        client
            .say(json!({"type": "pair_request", "friendly_name": name, "room": "Kitchen", "hardware_profile": {"board": "test"}}))
            .await;
        let pending = client.hear().await;
        assert_eq!(pending["type"], "pair_pending");
        client.expect_close(1000, "Pairing pending").await;
        NodeId::parse(pending["node_id"].as_str().unwrap()).unwrap()
    }

    /// Pairs a node, and returns its id and its token.
    pub(crate) async fn paired(&self, name: &str) -> (NodeId, String) {
        let node_id = self.ask(name).await;
        let issued = self.gateway.pair(node_id, Purpose::Approve).await.unwrap();
        (node_id, issued.credential.token().unwrap().expose().to_owned())
    }

    /// Opens a connection and authenticates.
    pub(crate) async fn linked(&self, node_id: NodeId, token: &str) -> Client {
        let mut client = self.connect().await;
        client.say(json!({"type": "auth", "node_id": node_id.to_string(), "token": token})).await;
        assert_eq!(client.hear().await["type"], "auth_ok");
        client
    }

    pub(crate) async fn online(&self, node_id: NodeId) -> bool {
        self.gateway.device_by_prefix(&node_id.to_string()).await.unwrap().online
    }

    /// Waits until the registry shows the node as offline.
    pub(crate) async fn until_offline(&self, node_id: NodeId) {
        eventually(async || !self.online(node_id).await).await;
    }
}

/// Polls until a condition holds, for conditions that no event reports.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("this should have come true");
}

/// A client of the dialect over WebSocket.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn say(&mut self, message: Value) {
        self.text(&message.to_string()).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Returns the next message that is not a ping.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("the gateway should have said something");
            match message
                .expect("the gateway should have closed with a frame")
                .expect("the gateway should not have dropped the connection")
            {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// Returns the next message, which must be JSON.
    pub(crate) async fn hear(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a text frame, got {other:?}"),
        }
    }

    /// Checks that the connection now closes in this way.
    pub(crate) async fn expect_close(&mut self, code: u16, reason: &str) {
        match self.next().await {
            Message::Close(Some(frame)) => {
                assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, reason));
            }
            other => panic!("expected close {code} {reason:?}, got {other:?}"),
        }
    }

    /// Checks the exact form of `auth_fail`, and the close after it.
    pub(crate) async fn expect_auth_fail(&mut self, reason: &str) {
        assert_eq!(self.hear().await, json!({"type": "auth_fail", "reason": reason}));
        self.expect_close(1008, "Authentication failed").await;
    }

    /// Checks that the link is still open: a malformed frame is answered.
    pub(crate) async fn expect_open(&mut self) {
        self.text("{").await;
        assert_eq!(self.hear().await, json!({"type": "error", "message": "Malformed JSON"}));
    }
}
