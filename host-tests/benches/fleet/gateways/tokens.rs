//! Nodes with tokens, and what they say to a gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use handfast_core::grant::token::{HashJob, TokenHash, issue};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::{Label, NodeId};
use handfast_store::Store;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::nodes::{chance, now};

/// A node that authenticates by its token.
pub(super) struct TokenNode {
    node_id: NodeId,
    token: String,
    hash: TokenHash,
}

impl TokenNode {
    /// Makes nodes with their tokens.
    pub(super) async fn make(count: u32) -> Arc<[Self]> {
        let mut hashing = JoinSet::new();
        for _ in 0..count {
            hashing.spawn_blocking(|| {
                let node_id = NodeId::new(&chance());
                let token = std::iter::repeat_with(|| issue(&chance())).flatten().next().unwrap();
                let text = token.expose().to_owned();
                Self { node_id, token: text, hash: HashJob { node_id, token }.run().hash }
            });
        }
        hashing.join_all().await.into()
    }

    /// Enters nodes in a registry.
    pub(super) async fn enter(store: &Arc<dyn Store>, nodes: &[Self]) {
        let mut entering = JoinSet::new();
        for node in nodes {
            let credential = Credential::Token(node.hash.clone());
            let record = Record {
                node_id: node.node_id,
                name: Label::parse("node").unwrap().into(),
                room: Label::parse("room").unwrap().into(),
                address: [127, 0, 0, 1].into(),
                keys: None,
                asked_at: now(),
                asked: Asked::by(AskMethod::Token),
                standing: Standing::Paired { credential, mode: Mode::Full },
            };
            let store = Arc::clone(store);
            entering.spawn(async move { store.insert(record, "{}".to_owned(), now()).await });
        }
        assert!(entering.join_all().await.iter().all(Result::is_ok), "all are entered");
    }

    /// Authenticates, and ends the link.
    pub(super) async fn authenticate(&self, address: SocketAddr) {
        let said =
            json!({"type": "auth", "node_id": self.node_id.to_string(), "token": self.token});
        let answer = say(address, said.to_string()).await;
        assert!(answer.contains("auth_ok"), "{answer}");
    }
}

/// Asks to be paired, durably.
pub(super) async fn ask(address: SocketAddr, number: u32) {
    let said = json!({"type": "pair_request", "friendly_name": format!("node {number}")});
    let answer = say(address, said.to_string()).await;
    assert!(answer.contains("pair_pending"), "{answer}");
}

/// Says something over a connection of its own, and returns the answer.
async fn say(address: SocketAddr, message: String) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://gateway/", stream).await.unwrap();
    socket.send(message.into()).await.unwrap();
    socket.next().await.unwrap().unwrap().into_text().unwrap().to_string()
}
