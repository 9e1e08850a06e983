//! What a stranger on the network, a malicious node or delegate, a failing store or bad timing may
//! try, over real sockets.

mod ceiling;
mod codes;
mod delegated;
mod ends;
pub(crate) mod failing;
mod first_messages;
mod floods;
mod messages;
mod pings;
mod profiles;
mod rights;
mod sharing;
mod tasks;

use std::net::SocketAddr;
use std::time::Duration;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::capability::{self, BlockTerms, Holder};
use handfast_core::grant::scope::{Scopes, ScopesBuf};
use handfast_core::limits::CAPABILITY_BYTES;
use handfast_core::registry::grants::GrantId;
use handfast_core::wire::native::Bounded;
use handfast_core::wire::native::link::{Admission, Admitted, FromGateway, FromNode};
use handfast_core::wire::native::open::Intent;
use handfast_core::wire::native::pair::{ChainBytes, Method};
use handfast_core::wire::native::part::{Object, Part};
use handfast_core::{Label, Name, NodeId, UnixTime};
use handfast_store::MemoryStore;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::client::{Client, Wire};
use super::{Heard, unix};
use crate::builder::GatewayBuilder;
use crate::connection::framed::FramedTransport;
use crate::entropy;
use crate::gateway::Gateway;
use crate::policy::request::{OwnedOffer, OwnedRequest, OwnedVerdict};
use crate::policy::rules::{Rule, RuleVerdict, When};
use crate::policy::settings::PairingSettings;

type Told = mpsc::UnboundedReceiver<(Peer, String, Vec<u8>)>;

/// A gateway that lets in whoever asks, for what a test says, and where it listens.
struct Served {
    gateway: Gateway,
    tcp: SocketAddr,
    heard: Told,
}

/// A node that was paired at it.
struct Paired {
    keys: OwnKeys,
    node_id: NodeId,
    grant: GrantId,
    chain: Vec<u8>,
}

impl Served {
    async fn open() -> Self {
        Self::of(Gateway::builder(MemoryStore::default()).pairing(lets_in("read:/**\nwrite:/**\n")))
            .await
    }

    async fn of(builder: GatewayBuilder) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let gateway = builder.application(Heard(tell)).start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        tokio::spawn(crate::serve_tcp(gateway.clone(), listener, std::future::pending()));
        Self { gateway, tcp, heard }
    }

    async fn wire(&self) -> Wire {
        let stream = TcpStream::connect(self.tcp).await.unwrap();
        // Two small writes in a row wait for no acknowledgement.
        stream.set_nodelay(true).unwrap();
        Wire::Tcp(FramedTransport::new(stream))
    }

    /// The same from another address of ours.
    async fn wire_from(&self, source: [u8; 4]) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = socket.connect(self.tcp).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire::Tcp(FramedTransport::new(stream))
    }

    /// A node that is paired, and has confirmed its grant.
    async fn paired(&self, name: &str) -> Paired {
        let paired = self.offered(name).await;
        self.gateway.inner.store.activate(paired.node_id, paired.grant, unix()).await.unwrap();
        paired
    }

    async fn offered(&self, name: &str) -> Paired {
        let keys = keys();
        let offer = self.offer(&keys, name).await;
        Paired {
            keys,
            node_id: offer.node_id,
            grant: offer.id,
            chain: offer.chain.unwrap_or_default(),
        }
    }

    async fn offer(&self, keys: &OwnKeys, name: &str) -> OwnedOffer {
        match self.gateway.settle(&asks(keys, name, Method::Approval), None).await {
            OwnedVerdict::Offered(offer) => offer,
            other => panic!("{other:?}"),
        }
    }

    async fn link(&self, node: &Paired) -> Client {
        let mut client = self.called(node).await.unwrap();
        client.greet(None).await;
        self.is_live(node.node_id).await;
        client
    }

    async fn called(&self, node: &Paired) -> Result<Client, u16> {
        Client::link(self.wire().await, &node.keys, self.gateway.keys().channel.public()).await
    }

    async fn is_live(&self, node_id: NodeId) {
        until(|| self.gateway.inner.hub.is_live(node_id)).await;
    }

    async fn stranger(&self, intent: Intent, keys: &OwnKeys) -> Client {
        Client::stranger(intent, self.wire().await, keys).await
    }

    /// Whether the application hears of something before the gateway answers `client` that it is
    /// not allowed, or ends the link.
    async fn lets_through(&mut self, client: &mut Client, address: &str) -> bool {
        client.app(address, b"!").await;
        loop {
            tokio::select! {
                heard = self.heard.recv() => return heard.is_some_and(|(_, at, _)| at == address),
                no = client.hear(|message| matches!(message, FromGateway::NotAllowed { .. } | FromGateway::Bye(_))) => match no {
                    Ok(false) => {}
                    Ok(true) | Err(_) => return false,
                },
            }
        }
    }
}

fn keys() -> OwnKeys {
    OwnKeys::generate(&entropy::draw())
}

fn scopes(text: &str) -> ScopesBuf {
    ScopesBuf::parse(text).unwrap()
}

/// Whoever asks is approved, with these permissions.
fn lets_in(permissions: &str) -> PairingSettings {
    let terms = crate::policy::ApprovalTerms {
        permissions: Some(scopes(permissions)),
        ..crate::policy::ApprovalTerms::default()
    };
    PairingSettings {
        rules: vec![Rule { when: When::default(), verdict: RuleVerdict::Approve(terms) }],
        ..PairingSettings::default()
    }
}

fn asks(keys: &OwnKeys, name: &str, method: Method) -> OwnedRequest {
    let label = |text| Name::from(Label::parse(text).unwrap());
    OwnedRequest {
        key: *keys.channel.public(),
        signing: Some(keys.signing.public()),
        name: label(name),
        room: label("hall"),
        profile: "{}".to_owned(),
        method,
        wants: handfast_core::grant::scope::AskedScopesBuf::EMPTY,
        csr: None,
        address: [127, 0, 0, 1].into(),
        foreign_page: false,
        number: crate::entropy::number(),
    }
}

/// What the holder of a chain hands on.
fn handed_on(
    chain: &[u8],
    by: &OwnKeys,
    to: &OwnKeys,
    scopes: &[&str],
    expires: UnixTime,
) -> Vec<u8> {
    let scopes = Scopes::parse(scopes.iter().copied()).unwrap();
    let mut room = [0; CAPABILITY_BYTES];
    let chain = capability::Chain::from_bytes(chain).unwrap();
    let terms =
        BlockTerms { scopes, not_before: chain.leaf().terms().not_before, expires, audience: None };
    chain.attenuate(&by.signing, &Holder::of(to), &terms, &mut room).unwrap().as_bytes().to_vec()
}

/// Presents a chain, in parts if it is long, and says whether it counts.
async fn presents(client: &mut Client, chain: &[u8]) -> bool {
    let present = match Bounded::new(chain) {
        Some(short) => ChainBytes::Here(short),
        None => {
            for part in Part::cut(Object::Chain, chain).unwrap() {
                client.say(&FromNode::Part(part)).await;
            }
            ChainBytes::InParts
        }
    };
    client.say(&FromNode::Present { chain: present }).await;
    client.hear(|message| message == FromGateway::Admission(Admission::Welcome)).await.unwrap()
}

fn in_seconds(seconds: u64) -> UnixTime {
    UnixTime::from_secs(unix().as_secs() + seconds)
}

async fn until(holds: impl Fn() -> bool) {
    let waits = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("it becomes true");
}
