//! A node that registered over HTTP with its native key links, and is given what its token said.

use handfast_core::crypto::base64url;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::record::AskMethod;
use handfast_core::wire::native::pair::PairFromGateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::operator::NewProvisioningToken;
use crate::policy::settings::PairingSettings;

/// The address by which the gateway says that nodes reach it.
const ADDRESS: &str = "ws://gateway.example:8765";

struct Registered {
    gateway: Gateway,
    http: std::net::SocketAddr,
    keys: OwnKeys,
    answer: serde_json::Value,
}

async fn served(gateway: &Gateway) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(gateway.clone(), listener, None, std::future::pending()));
    address
}

async fn register(
    http: std::net::SocketAddr,
    token: &str,
    keys: &OwnKeys,
) -> (u16, serde_json::Value) {
    let key = base64url::encode_32(keys.channel.public().as_bytes());
    let body = serde_json::json!({
        "node_id": "jarvis-1", "provisioning_token": token, "room": "hall",
        "native_key": std::str::from_utf8(&key).unwrap(),
    })
    .to_string();
    let length = body.len();
    let head = "POST /api/v0/nodes/register HTTP/1.1\r\nHost: gateway\r\nConnection: close";
    let request = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    let mut stream = TcpStream::connect(http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn token(gateway: &Gateway, scopes: &str) -> String {
    let permissions = Some(ScopesBuf::parse(scopes).unwrap());
    let node = "jarvis-1".to_owned();
    let new = NewProvisioningToken { node, permissions, ..NewProvisioningToken::default() };
    let token = gateway.mint_provisioning_token_by(&Authority::OWNER, new).await.unwrap();
    token.text.to_string()
}

async fn registered(scopes: &str) -> Registered {
    let settings =
        PairingSettings { addresses: vec![ADDRESS.to_owned()], ..PairingSettings::default() };
    let gateway = Gateway::builder(MemoryStore::default()).pairing(settings).start().await.unwrap();
    let (http, keys) = (served(&gateway).await, OwnKeys::generate(&entropy::draw()));
    let token = token(&gateway, scopes).await;
    let (status, answer) = register(http, &token, &keys).await;
    assert_eq!(status, 201, "{answer}");
    Registered { gateway, http, keys, answer }
}

impl Registered {
    fn key(&self) -> PublicKey {
        *self.gateway.keys().channel.public()
    }

    /// Asks to be paired, as after a lost answer, and stores the grant that is offered.
    async fn offered(&self) -> GrantId {
        let wire = Wire::websocket(self.http).await;
        let mut client = Client::stranger(Intent::Pair, wire, &self.keys).await;
        client.ask(&self.keys, "lamp").await;
        let id = loop {
            let offered = |message: PairFromGateway<'_>| match message {
                PairFromGateway::Grant(grant) => Some(grant.id),
                _ => None,
            };
            if let Some(id) = client.hear_to_pair(offered).await.unwrap() {
                break id;
            }
        };
        client.say_to_pair(&pair::PairFromNode::Stored(id)).await;
        let active = |message: PairFromGateway<'_>| message == PairFromGateway::Active(id);
        assert!(client.hear_to_pair(active).await.unwrap());
        id
    }

    async fn record(&self) -> Record {
        let key = self.keys.channel.public();
        self.gateway.inner.store.by_key(key).await.unwrap().unwrap().record
    }
}

#[tokio::test]
async fn it_is_told_the_gateways_key_and_links_by_its_own_with_the_tokens_permissions() {
    let world = registered("write:/lights/**\n").await;
    let mut bytes = [0; 32];
    let named = world.answer["gateway_key"].as_str().unwrap();
    assert_eq!(base64url::decode(named, &mut bytes), Some(&world.key().as_bytes()[..]));
    assert_eq!(world.answer["gateway_address"], ADDRESS);
    let record = world.record().await;
    assert_eq!((record.name.as_str(), record.room.as_str()), ("jarvis-1", "hall"));
    assert_eq!(record.asked, Asked::by(AskMethod::Provisioning));
    assert_eq!(record.keys, Some(Holder { channel: *world.keys.channel.public(), signing: None }));

    // It asks, is offered at once what its token brings, and links.
    let id = world.offered().await;
    let wire = Wire::websocket(world.http).await;
    let mut client = Client::link(wire, &world.keys, &world.key()).await.unwrap();
    client.greet(Some(id)).await;
    client.app("/audio/room1", b"").await;
    let refused = |message: FromGateway<'_>| matches!(message, FromGateway::NotAllowed { .. });
    while !client.hear(refused).await.unwrap() {}
    // The grant is for the signing key, too, which the node has proven, and is the only one.
    assert_eq!(world.record().await.keys, Some(Holder::of(&world.keys)));
    let mut grants = world.gateway.inner.store.grants(record.node_id).await.unwrap();
    grants.retain(|grant| grant.state != State::Ended);
    assert_eq!((grants.len(), grants[0].id), (1, id));
    assert_eq!((grants[0].state, grants[0].scopes.as_str()), (State::Active, "write:/lights/**\n"));

    world.gateway.decide(record.node_id, &Decision::Unpair).await.unwrap();
    while !client.hear(|message| message == FromGateway::Policy(Policy::Unpair)).await.unwrap() {}
}

#[tokio::test]
async fn a_key_that_somebody_else_named_links_nobody_without_its_private_half() {
    let world = registered("write:/lights/**\n").await;
    let stranger = OwnKeys::generate(&entropy::draw());
    let wire = Wire::websocket(world.http).await;
    let (_, admission) = Client::call(wire, &stranger, &world.key()).await.unwrap();
    assert_eq!(admission, Admission::NotPaired);
}

#[tokio::test]
async fn a_revoked_key_registers_under_no_name_again() {
    let world = registered("").await;
    let record = world.record().await;
    world.gateway.decide(record.node_id, &Decision::Unpair).await.unwrap();
    let again = token(&world.gateway, "").await;
    let (status, answer) = register(world.http, &again, &world.keys).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("reset the node"), "{answer}");
    // A node that was reset has another key.
    let keys = OwnKeys::generate(&entropy::draw());
    assert_eq!(register(world.http, &again, &keys).await.0, 201);
}
