//! Tests of the listener for nodes with certificates: over real sockets, with rustls as the node,
//! and with openssl, curl and Python.

mod handshakes;
mod links;
mod tools;

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use futures_util::StreamExt;
use handfast_core::NodeId;
use handfast_core::flow::identity::certificate::{Certificate, CertificateState, NodeStanding};
use handfast_core::grant::certificate::KeyHash;
use handfast_store::SqliteStore;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;
use crate::ca::{CertificateSettings, IssuedCertificate, RequestedKey};
use crate::hex::hex;

const NODE: NodeId = NodeId::from_bytes([7; 16]);
const STANDING: NodeStanding = NodeStanding { epoch: 1, may_link: true };

/// Tells each node who it is and what binds its connection, and then echoes.
async fn echo(_: Gateway, mut link: TlsLink) {
    let who = link.peer.map_or("nobody".to_owned(), |peer| peer.node_id.to_string());
    let said = format!("{who} {}", hex(&link.binding));
    link.authenticated();
    let mut sent = link.socket.send(said.into()).await;
    while let (Ok(()), Some(Ok(message))) = (&sent, link.socket.next().await) {
        sent = link.socket.send(message).await;
    }
}

/// A gateway that serves a listener for nodes with certificates.
struct World {
    directory: tempfile::TempDir,
    gateway: Gateway,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// A node's key and certificate.
struct Node {
    key: KeyPair,
    issued: IssuedCertificate,
}

impl World {
    async fn start() -> Self {
        Self::with(true).await
    }

    async fn with(require: bool) -> Self {
        let serve = |gateway, listening, until| serve_mtls_with(gateway, listening, echo, until);
        Self::serving(require, serve).await
    }

    async fn serving<S, W>(require: bool, serve: S) -> Self
    where
        S: FnOnce(Gateway, MtlsListening, Pin<Box<dyn Future<Output = ()> + Send>>) -> W,
        W: Future<Output = ()> + Send + 'static,
    {
        let directory = tempfile::tempdir().unwrap();
        let settings = CertificateSettings {
            directory: Some(directory.path().join("ca")),
            ..CertificateSettings::default()
        };
        let store = SqliteStore::in_memory().unwrap();
        let gateway = Gateway::builder(store).certificates(settings).start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = MtlsListening::new(&gateway, listener, require).unwrap();
        let (stop, stopped) = oneshot::channel();
        let until = Box::pin(async { drop(stopped.await) });
        tokio::spawn(serve(gateway.clone(), listening, until));
        gateway.allow_list().set_standing(NODE, STANDING);
        Self { directory, gateway, address, _stop: stop }
    }

    /// Issues a certificate some hours ago, without putting it on the allow-list.
    fn issue(&self, hours_ago: i64) -> Node {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let asked = RequestedKey::from_csr(csr.der()).unwrap();
        let now = self.gateway.now().moved(-3600 * hours_ago);
        let issued = self.gateway.authority().issue(NODE, &asked, now).unwrap();
        Node { key, issued }
    }

    fn list(&self, node: &Node, number: u64) {
        let IssuedCertificate { serial, public_key, validity, .. } = &node.issued;
        self.gateway.allow_list().put(Certificate {
            serial: *serial,
            node_id: NODE,
            number,
            key: KeyHash::of(public_key),
            epoch: STANDING.epoch,
            not_before: validity.not_before,
            not_after: validity.not_after,
            state: CertificateState::Issued,
        });
    }

    fn admitted(&self) -> Node {
        let node = self.issue(0);
        self.list(&node, 1);
        node
    }

    fn roots(&self) -> std::path::PathBuf {
        self.directory.path().join("ca/roots.pem")
    }

    /// Writes a node's files for another program.
    fn files(&self, name: &str, node: &Node) -> (String, String) {
        let file = |kind: &str| {
            self.directory.path().join(format!("{name}.{kind}")).to_str().unwrap().to_owned()
        };
        let (certificate, key) = (file("pem"), file("key"));
        std::fs::write(&certificate, node.issued.pem()).unwrap();
        std::fs::write(&key, node.key.serialize_pem()).unwrap();
        (certificate, key)
    }
}

/// The certificates that must be refused, each with the alert that says why.
fn outsiders(world: &World, other: &World) -> Vec<(&'static str, Node, u8)> {
    let revoked = world.admitted();
    assert!(world.gateway.allow_list().revoke(&revoked.issued.serial));
    let expired = world.issue(25);
    world.list(&expired, 2);
    let unlisted = world.issue(0);
    let stranger = other.admitted();
    let (superseded, newer) = (world.issue(0), world.issue(0));
    world.list(&superseded, 10);
    world.list(&newer, 11);
    world.gateway.allow_list().used(&newer.issued.serial);
    vec![
        ("revoked", revoked, 44),
        ("expired", expired, 45),
        ("stranger", stranger, 48),
        ("unlisted", unlisted, 49),
        ("superseded", superseded, 49),
    ]
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
