//! Links over TLS with the machine that serves them.

use std::time::Duration;

use futures_util::SinkExt;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::{
    CertificateRenewal, FromGateway, FromNode, Hello, Identify, Renew,
};
use handfast_core::wire::native::pair::Csr;
use handfast_core::wire::path::Pattern;
use handfast_core::{Label, Span};
use handfast_store::{RevokedCertificates, StoredCertificate};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::handshakes::{TLS13, client, open};
use super::*;
use crate::entropy;

type Socket = WebSocketStream<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

/// Starts a gateway that has the node with these keys.
async fn start(keys: &OwnKeys, require: bool) -> World {
    let world = World::serving(require, serve_mtls).await;
    let record = Record {
        node_id: NODE,
        name: Label::parse("lamp").unwrap().into(),
        room: Label::parse("hall").unwrap().into(),
        address: [127, 0, 0, 1].into(),
        keys: Some(Holder::of(keys)),
        asked_at: world.gateway.now(),
        asked: Asked::by(AskMethod::Approval),
        standing: Standing::Paired { credential: Credential::Keys, mode: Mode::Full },
    };
    let now = world.gateway.now();
    let grant = Grant {
        id: GrantId::new(&entropy::draw()),
        node_id: NODE,
        capability: None,
        not_before: now,
        expires: Some(now.after(Span::from_secs(3600))),
        scopes: ScopesBuf::parse("write:/lights/**\n").unwrap(),
        moved: 0,
        state: State::Offered { until: now.after(Span::from_secs(3600)) },
        maker: Maker::Operator,
    };
    let (store, id) = (&world.gateway.inner.store, grant.id);
    store.offer(record, "{}".to_owned(), None, grant, None, now).await.unwrap();
    store.activate(NODE, id, now).await.unwrap();
    world
}

/// Issues a certificate as the gateway does: stored, and on the allow-list.
async fn certify(world: &World) -> Node {
    let node = world.issue(0);
    let (store, now) = (&world.gateway.inner.store, world.gateway.now());
    let issuing = store.issuing(NODE, now).await.unwrap().unwrap();
    let standing = store.node_standing(NODE).await.unwrap().unwrap();
    world.gateway.allow_list().set_standing(NODE, standing);
    world.list(&node, issuing.number);
    let listed = world.gateway.allow_list().get(&node.issued.serial).unwrap();
    let certificate = Certificate { epoch: issuing.epoch, ..listed };
    world.gateway.allow_list().put(certificate);
    let stored = StoredCertificate {
        certificate,
        issued_at: now,
        ended: None,
        fingerprint: *KeyHash::of(&node.issued.certificate).as_bytes(),
        encoded: node.issued.certificate.to_vec(),
    };
    store.issue(stored, now).await.unwrap().unwrap();
    node
}

async fn send(socket: &mut Socket, message: FromNode<'_>) {
    let mut room = [0; 1024];
    let bytes = message.write(&mut room).unwrap().to_vec();
    socket.send(Message::binary(bytes)).await.unwrap();
}

async fn hello(socket: &mut Socket) {
    let hello = Hello { features: Features::NODE, mark: None, holds: None };
    send(socket, FromNode::Hello(hello)).await;
}

/// Waits until the node is linked, or its connection has ended.
async fn is_linked(world: &World, socket: &mut Socket) -> bool {
    let linked = async {
        while !world.gateway.inner.hub.is_live(NODE) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::select! {
        () = linked => true,
        () = ended => world.gateway.inner.hub.is_live(NODE),
    }
}

#[tokio::test]
async fn a_node_links_with_its_first_message_and_the_use_of_its_certificate_is_written() {
    let keys = OwnKeys::generate(&entropy::draw());
    let world = start(&keys, true).await;
    let (old, new) = (certify(&world).await, certify(&world).await);
    let (mut socket, _) = open(&world, client(&world, Some(&new), TLS13)).await;
    assert!(!world.gateway.inner.hub.is_live(NODE), "nothing was said yet");
    hello(&mut socket).await;
    assert!(is_linked(&world, &mut socket).await);
    let state = async |node: &Node| {
        let found = world.gateway.inner.store.certificate(node.issued.serial).await.unwrap();
        let listed = world.gateway.allow_list().get(&node.issued.serial).unwrap();
        let stored = found.unwrap().certificate.state;
        assert_eq!(stored, listed.state);
        stored
    };
    // The hub has the node a moment before the use is written.
    let written = async {
        while world.gateway.allow_list().is_news(&new.issued.serial) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
    assert_eq!(state(&new).await, CertificateState::Delivered);
    assert_eq!(state(&old).await, CertificateState::Superseded);
}

#[tokio::test]
async fn a_certificate_that_is_revoked_after_its_handshake_opens_no_link() {
    let keys = OwnKeys::generate(&entropy::draw());
    let world = start(&keys, true).await;
    let node = certify(&world).await;
    let (mut socket, _) = open(&world, client(&world, Some(&node), TLS13)).await;
    world.gateway.allow_list().revoke(&node.issued.serial);
    hello(&mut socket).await;
    while let Some(Ok(_)) = socket.next().await {}
    let gone = async {
        while world.gateway.inner.hub.is_live(NODE) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn a_link_ends_when_its_certificate_is_revoked_and_stays_when_another_one_is() {
    let keys = OwnKeys::generate(&entropy::draw());
    let world = start(&keys, true).await;
    let (node, other) = (certify(&world).await, certify(&world).await);
    let (mut socket, _) = open(&world, client(&world, Some(&node), TLS13)).await;
    hello(&mut socket).await;
    assert!(is_linked(&world, &mut socket).await);
    let revokes = async |node: &Node| {
        let which = RevokedCertificates::Serial(node.issued.serial);
        assert_eq!(world.gateway.revoke_certificates(which).await.unwrap().len(), 1);
    };
    revokes(&other).await;
    let pattern = Pattern::parse("/audio/*").unwrap();
    send(&mut socket, FromNode::Subscribe { pattern }).await;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { panic!("the link has ended: {message:?}") };
        if matches!(FromGateway::parse(&bytes), Ok(FromGateway::NotAllowed { .. })) {
            break;
        }
    }
    revokes(&node).await;
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn over_a_link_with_a_certificate_only_the_nodes_own_signature_renews_it() {
    let (keys, thief) = (OwnKeys::generate(&entropy::draw()), OwnKeys::generate(&entropy::draw()));
    let world = start(&keys, true).await;
    let node = certify(&world).await;
    let (mut socket, binding) = open(&world, client(&world, Some(&node), TLS13)).await;
    hello(&mut socket).await;
    assert!(is_linked(&world, &mut socket).await);
    let hash = HandshakeHash::from_recorded(binding);
    let next = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap());
    let next = next.unwrap();
    for (signer, expected) in [(&thief, false), (&keys, true)] {
        let csr = Csr::new(next.der());
        let renewal = CertificateRenewal::sign(csr, &signer.signing, &hash);
        send(&mut socket, FromNode::Renew(Renew::Certificate(renewal))).await;
        let issued = loop {
            let Some(Ok(Message::Binary(bytes))) = socket.next().await else { continue };
            match FromGateway::parse(&bytes).unwrap() {
                FromGateway::Certificate { .. } => break true,
                FromGateway::NotIssued => break false,
                _ => {}
            }
        };
        assert_eq!(issued, expected);
    }
    assert_eq!(world.gateway.allow_list().of_node(NODE).len(), 2);
}

#[tokio::test]
async fn without_a_certificate_a_node_links_by_its_own_signature_and_by_no_other() {
    let keys = OwnKeys::generate(&entropy::draw());
    let world = start(&keys, false).await;
    for (signer, expected) in [(&OwnKeys::generate(&entropy::draw()), false), (&keys, true)] {
        let (mut socket, binding) = open(&world, client(&world, None, TLS13)).await;
        let hash = HandshakeHash::from_recorded(binding);
        send(&mut socket, FromNode::Identify(Identify::sign(NODE, &signer.signing, &hash))).await;
        hello(&mut socket).await;
        assert_eq!(is_linked(&world, &mut socket).await, expected);
    }
    let (mut socket, _) = open(&world, client(&world, None, TLS13)).await;
    hello(&mut socket).await;
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_close(), "who proves nothing is told nothing: {message:?}");
    }
}
