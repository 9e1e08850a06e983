//! The gateway's end over real sockets and a pseudo-terminal.

mod addresses;
pub(crate) mod attacks;
mod client;
mod identity;
mod key_rotation;
mod provisioned;
#[cfg(feature = "serial")]
mod serial;

use std::time::Duration;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::capability::{self, BlockTerms, Holder};
use handfast_core::grant::scope::{Action, Address, Scopes, ScopesBuf};
use handfast_core::limits::CAPABILITY_BYTES;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::Bounded;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::{Admission, App, Bye, FromGateway, FromNode, Policy};
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair::{self, ChainBytes};
use handfast_core::{Label, NodeId, UnixTime};
use handfast_store::MemoryStore;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::application::{Application, PeerInfo};
use crate::builder::GatewayBuilder;
use crate::connection::framed::FramedTransport;
use crate::entropy;
use crate::gateway::Gateway;
use client::{Client, Wire};

/// An application that tells what it hears.
struct Heard(mpsc::UnboundedSender<(Peer, String, Vec<u8>)>);

#[async_trait::async_trait]
impl Application for Heard {
    async fn app(&self, peer: &PeerInfo, _: Action, address: &str, bytes: &[u8]) {
        let _ = self.0.send((peer.peer, address.to_owned(), bytes.to_vec()));
    }
}

/// A gateway, and a node that is paired with it.
struct World {
    gateway: Gateway,
    keys: OwnKeys,
    node_id: NodeId,
    /// What it was given.
    chain: Vec<u8>,
    heard: mpsc::UnboundedReceiver<(Peer, String, Vec<u8>)>,
}

fn unix() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime::from_secs(since.as_secs())
}

fn later() -> UnixTime {
    UnixTime::from_secs(unix().as_secs() + 3600)
}

impl World {
    async fn new() -> Self {
        Self::of(Gateway::builder(MemoryStore::default()), later()).await
    }

    /// Starts a gateway, and pairs a node whose grant ends then.
    async fn of(gateway: GatewayBuilder, expires: UnixTime) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let gateway = gateway.application(Heard(tell)).start().await.unwrap();
        let keys = OwnKeys::generate(&entropy::draw());
        let node_id = NodeId::new(&entropy::draw());
        let record = Record {
            node_id,
            name: Label::parse("lamp").unwrap().into(),
            room: Label::parse("hall").unwrap().into(),
            address: [127, 0, 0, 1].into(),
            keys: Some(Holder::of(&keys)),
            asked_at: unix(),
            asked: Asked::by(AskMethod::Approval),
            standing: Standing::Paired { credential: Credential::Keys, mode: Mode::Full },
        };
        let scopes = ScopesBuf::parse("write:/lights/**\n").unwrap();
        let terms =
            BlockTerms { scopes: scopes.scopes(), not_before: unix(), expires, audience: None };
        let mut room = [0; CAPABILITY_BYTES];
        let chain =
            capability::issue(&gateway.keys().signing, &Holder::of(&keys), &terms, &mut room)
                .unwrap();
        let grant = Grant {
            id: GrantId::new(&entropy::draw()),
            node_id,
            capability: Some(*chain.root().id()),
            not_before: terms.not_before,
            expires: Some(expires),
            scopes: scopes.clone(),
            moved: 0,
            state: State::Offered { until: later() },
            maker: Maker::Operator,
        };
        gateway
            .inner
            .store
            .offer(record, "{}".to_owned(), None, grant, None, unix())
            .await
            .unwrap();
        Self { gateway, keys, node_id, chain: chain.as_bytes().to_vec(), heard }
    }

    fn key(&self) -> PublicKey {
        *self.gateway.keys().channel.public()
    }

    async fn websocket(&self) -> Wire {
        Wire::websocket(self.http().await).await
    }

    async fn http(&self) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve(self.gateway.clone(), listener, None, std::future::pending()));
        address
    }

    async fn tcp(&self) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve_tcp(self.gateway.clone(), listener, std::future::pending()));
        Wire::Tcp(FramedTransport::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn linked(&self, wire: Wire) -> Client {
        let mut client = Client::link(wire, &self.keys, &self.key()).await.unwrap();
        client.greet(None).await;
        client
    }

    async fn publish(&self, address: &str, bytes: &[u8]) {
        let (address, bytes) = (Address::parse(address).unwrap(), Payload::new(bytes).unwrap());
        while self.gateway.publish(&address, &bytes) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What every carrier has to carry.
async fn works(mut world: World, wire: Wire) {
    let mut client = world.linked(wire).await;
    // All at once, so that some come while an answer is due.
    for byte in 0..20 {
        client.app("/lights/room1", &[byte]).await;
    }
    client.subscribe("/lights/*").await;
    for byte in 0..20 {
        let heard = world.heard.recv().await.unwrap();
        assert_eq!(
            heard,
            (Peer::Node(world.node_id), "/lights/room1".to_owned(), vec![byte]),
            "no frame is lost"
        );
    }
    world.publish("/lights/room2", b"on").await;
    let is_on = |message: FromGateway<'_>| {
        matches!(&message, FromGateway::App(App { address, bytes, .. })
            if address.as_str() == "/lights/room2" && bytes.as_bytes() == b"on")
    };
    assert!(client.hear(is_on).await.unwrap());
    client.app("/audio/room1", b"").await;
    assert!(
        client.hear(|message| matches!(message, FromGateway::NotAllowed { .. })).await.unwrap()
    );
    world.gateway.decide(world.node_id, &Decision::Mute).await.unwrap();
    assert!(client.hear(|message| message == FromGateway::Policy(Policy::Mute)).await.unwrap());
    world.gateway.decide(world.node_id, &Decision::Unpair).await.unwrap();
    assert!(client.hear(|message| message == FromGateway::Policy(Policy::Unpair)).await.unwrap());
    assert!(client.hear(|message| message == FromGateway::Bye(Bye::Done)).await.unwrap());
}

#[tokio::test]
async fn a_node_links_over_a_websocket() {
    let world = World::new().await;
    let wire = world.websocket().await;
    works(world, wire).await;
}

#[tokio::test]
async fn a_node_links_over_tcp() {
    let world = World::new().await;
    let wire = world.tcp().await;
    works(world, wire).await;
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection_with_a_close_that_says_so() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    let world = World::new().await;
    let http = world.http().await;
    for (message, code) in
        [(Message::Binary(vec![0; 1025].into()), 1009), (Message::Text("{}".into()), 1008)]
    {
        let mut client = world.linked(Wire::websocket(http).await).await;
        let Wire::WebSocket(socket) = &mut client.wire else { unreachable!() };
        socket.send(message).await.unwrap();
        assert_eq!(client.wire.recv().await, Err(code));
    }
    let mut client = world.linked(world.tcp().await).await;
    let Wire::Tcp(stream) = &mut client.wire else { unreachable!() };
    stream.send_raw(&[1; 2000]).await;
    assert_eq!(client.wire.recv().await, Err(0));
}

#[tokio::test]
async fn whoever_asks_for_no_subprotocol_of_ours_speaks_missy() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let world = World::new().await;
    let address = world.http().await;
    let request = format!("ws://{address}/").into_client_request().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert!(response.headers().get("Sec-WebSocket-Protocol").is_none());
    socket
        .send(Message::Text(
            r#"{"type":"pair_request","friendly_name":"a","room":"b","hardware_profile":{}}"#
                .into(),
        ))
        .await
        .unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().contains("pair_pending"), "{answer}");
}

#[tokio::test]
async fn a_holder_of_a_chain_is_let_in_until_what_it_rests_on_is_revoked() {
    let mut world = World::new().await;
    let delegate = OwnKeys::generate(&entropy::draw());
    let scopes = Scopes::parse(["read:/lights/**"]).unwrap();
    let mut room = [0; CAPABILITY_BYTES];
    let root = capability::Chain::from_bytes(&world.chain).unwrap();
    let terms = BlockTerms { scopes, ..*root.leaf().terms() };
    let chain =
        root.attenuate(&world.keys.signing, &Holder::of(&delegate), &terms, &mut room).unwrap();
    let present =
        FromNode::Present { chain: ChainBytes::Here(Bounded::new(chain.as_bytes()).unwrap()) };

    let mut client = Client::stranger(Intent::Delegate, world.tcp().await, &delegate).await;
    client.say(&present).await;
    assert!(
        client.hear(|message| message == FromGateway::Admission(Admission::Welcome)).await.unwrap()
    );
    client.subscribe("/lights/room1").await;
    world.publish("/lights/room1", b"off").await;
    assert!(client.hear(|message| matches!(message, FromGateway::App(_))).await.unwrap());
    client.app("/lights/room1", b"").await;
    assert!(
        client.hear(|message| matches!(message, FromGateway::NotAllowed { .. })).await.unwrap()
    );
    assert!(world.heard.try_recv().is_err());

    world.gateway.decide(world.node_id, &Decision::Unpair).await.unwrap();
    assert!(
        client
            .hear(|message| message == FromGateway::Admission(Admission::NotPaired))
            .await
            .unwrap()
    );

    // A stolen chain is no use.
    let mut thief =
        Client::stranger(Intent::Delegate, world.tcp().await, &OwnKeys::generate(&entropy::draw()))
            .await;
    thief.say(&present).await;
    assert!(
        thief
            .hear(|message| message == FromGateway::Admission(Admission::NotPaired))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn strangers_who_begin_handshakes_and_stall_keep_neither_a_known_node_nor_another_stranger_out()
 {
    let mut world = World::new().await;
    let mut stalling = Vec::new();
    // More than a source has seats.
    for stalled in 0..100 {
        let mut stranger = world.tcp().await;
        let intent = [Intent::Link, Intent::Pair, Intent::Delegate][stalled % 3];
        stranger.send(Open::new(intent).as_bytes()).await;
        stalling.push(stranger);
    }
    let own = OwnKeys::generate(&entropy::draw());
    let mut honest = Client::stranger(Intent::Pair, world.tcp().await, &own).await;
    honest.ask(&own, "sensor").await;
    assert!(
        honest
            .hear_to_pair(|message| matches!(message, pair::PairFromGateway::Waiting { .. }))
            .await
            .unwrap()
    );
    let mut client = world.linked(world.tcp().await).await;
    client.app("/lights/a", b"").await;
    assert!(world.heard.recv().await.is_some());
    assert!(world.gateway.inner.seats.taken() <= 64);
}

#[tokio::test]
async fn a_node_that_waits_is_told_at_once_what_the_operator_decided() {
    let mut world = World::new().await;
    let own = OwnKeys::generate(&entropy::draw());
    let mut client = Client::stranger(Intent::Pair, world.websocket().await, &own).await;
    client.ask(&own, "sensor").await;
    assert!(
        client
            .hear_to_pair(|message| matches!(message, pair::PairFromGateway::Waiting { .. }))
            .await
            .unwrap()
    );
    let found = world.gateway.inner.store.by_key(own.channel.public()).await.unwrap().unwrap();
    world.gateway.pair(found.record.node_id, Purpose::Approve).await.unwrap();
    let grant = client.hear_to_pair(|message| match message {
        pair::PairFromGateway::Grant(grant) => Some(grant.id),
        _ => None,
    });
    let grant = grant.await.unwrap().unwrap();
    client.say_to_pair(&pair::PairFromNode::Stored(grant)).await;
    assert!(
        client
            .hear_to_pair(|message| message == pair::PairFromGateway::Active(grant))
            .await
            .unwrap()
    );
    assert_eq!(client.wire.recv().await, Err(1000));
    (world.keys, world.node_id) = (own, found.record.node_id);
    let client = world.linked(world.tcp().await).await;
    while !world.gateway.inner.hub.is_live(world.node_id) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(client);
}
