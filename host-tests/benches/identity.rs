//! Costs of nodes with certificates: a look-up in the allow-list, and a handshake in which both
//! sides show a certificate, beside one of rustls alone with the same keys.
//! `cargo bench -p handfast-host-tests --bench identity`.

use std::sync::Arc;

use divan::Bencher;
use handfast_core::flow::identity::certificate::{Certificate, CertificateState, NodeStanding};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::secret::Secret;
use handfast_core::{Entropy, NodeId, UnixTime};
use handfast_server::ca::{
    AllowList, Authority, CertificateSettings, IssuedCertificate, NodeUri, NodeVerifier,
    RequestedKey, ServerCertificate,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

const STANDING: NodeStanding = NodeStanding { epoch: 1, may_link: true };

fn main() {
    divan::main();
}

fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime::from_secs(since.as_secs())
}

fn numbered(number: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[16..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn node(number: u32) -> NodeId {
    NodeId::from_bytes(*numbered(number).last_chunk().unwrap())
}

fn serial(number: u32) -> Serial {
    Serial::new(&Entropy::from_recorded(numbered(number)))
}

fn entry(node_id: NodeId, serial: Serial, key: KeyHash) -> Certificate {
    Certificate {
        serial,
        node_id,
        number: 1,
        key,
        epoch: STANDING.epoch,
        not_before: UnixTime::from_secs(0),
        not_after: UnixTime::from_secs(u64::MAX),
        state: CertificateState::Delivered,
    }
}

fn list(entries: u32) -> AllowList {
    let list = AllowList::new(NodeUri::default());
    let key = |number| KeyHash::of(&numbered(number));
    list.fill(
        (0..entries).map(|each| (entry(node(each), serial(each), key(each)), Some(STANDING))),
    );
    list
}

/// The decision about one certificate of many.
#[divan::bench(args = [10, 3_000, 100_000])]
fn look_up(bencher: Bencher<'_, '_>, entries: u32) {
    let list = list(entries);
    let (serial, key, now) = (serial(entries / 2), KeyHash::of(&numbered(entries / 2)), now());
    bencher.bench(|| list.look_up(divan::black_box(&serial), &key, now).unwrap());
}

/// The decision with the reading of the certificate.
#[divan::bench(args = [10, 3_000, 100_000])]
fn admit(bencher: Bencher<'_, '_>, entries: u32) {
    let (list, world) = (list(entries), World::new());
    world.put(&list);
    bencher.bench(|| list.admit(divan::black_box(&world.issued.certificate), now()).unwrap());
}

/// An authority with a node of it.
struct World {
    authority: Arc<Authority>,
    key: KeyPair,
    issued: IssuedCertificate,
}

impl World {
    fn new() -> Self {
        let settings = CertificateSettings::default();
        let authority = Authority::open(settings, &Secret::new([1; 32]), now()).unwrap();
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let asked = RequestedKey::from_csr(csr.der()).unwrap();
        let issued = authority.issue(node(u32::MAX), &asked, now()).unwrap();
        Self { authority: Arc::new(authority), key, issued }
    }

    fn put(&self, list: &AllowList) {
        let IssuedCertificate { serial, public_key, .. } = &self.issued;
        list.set_standing(node(u32::MAX), STANDING);
        list.put(entry(node(u32::MAX), *serial, KeyHash::of(public_key)));
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.authority.certificates());
        roots
    }

    fn client(&self) -> Arc<ClientConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![self.issued.certificate.clone()], key);
        Arc::new(config.unwrap())
    }

    fn server(&self, verifier: Arc<dyn ClientCertVerifier>) -> Arc<ServerConfig> {
        let certificate = ServerCertificate::new(Arc::clone(&self.authority), now).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(certificate));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
}

fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// A handshake with the decision by the allow-list, both sides together.
#[divan::bench]
fn handshake_with_the_allow_list(bencher: Bencher<'_, '_>) {
    let (world, list) = (World::new(), Arc::new(list(3_000)));
    world.put(&list);
    let verifier = NodeVerifier::new(Arc::clone(&world.authority), list, true);
    let (client, server) = (world.client(), world.server(Arc::new(verifier)));
    bencher.bench(|| handshake(&client, &server));
}

/// The same handshake by rustls alone, which knows no revocation.
#[divan::bench]
fn handshake_of_rustls_alone(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(world.roots()), provider);
    let (client, server) = (world.client(), world.server(verifier.build().unwrap()));
    bencher.bench(|| handshake(&client, &server));
}
