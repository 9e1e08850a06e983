//! Handshakes with rustls as the node.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::SinkExt;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, ClientConfig, Error, NamedGroup, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;
use crate::ca::tests::admitting::with_the_other_signature;

pub(super) const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;
const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;

pub(super) fn client(
    world: &World,
    node: Option<&Node>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(world.gateway.authority().certificates());
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    match node {
        None => builder.with_no_client_auth(),
        Some(node) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(node.key.serialize_der()));
            builder.with_client_auth_cert(vec![node.issued.certificate.clone()], key).unwrap()
        }
    }
}

async fn connect(world: &World, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(world.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Asks over TLS, and returns the answer. In TLS 1.3 the verdict about a certificate comes only
/// after the client's handshake.
async fn ask(
    world: &World,
    config: ClientConfig,
) -> std::io::Result<(String, TlsStream<TcpStream>)> {
    let mut stream = connect(world, config).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await?;
    answer.truncate(length);
    match length {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok((String::from_utf8(answer).unwrap(), stream)),
    }
}

fn alert(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Opens the WebSocket of a link, and returns it with what binds its connection.
pub(super) async fn open(
    world: &World,
    config: ClientConfig,
) -> (WebSocketStream<TlsStream<TcpStream>>, [u8; 32]) {
    let stream = connect(world, config).await.unwrap();
    let own = stream.get_ref().1;
    let binding = own.export_keying_material([0; 32], CHANNEL_BINDING, None).unwrap();
    let mut request = "wss://localhost/".into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", LINK_SUBPROTOCOL.parse().unwrap());
    let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], LINK_SUBPROTOCOL);
    (socket, binding)
}

/// Opens a link and returns what the gateway says first, what binds the connection, and what the
/// gateway echoes.
async fn link(world: &World, config: ClientConfig) -> (String, String, Vec<u8>) {
    let (mut socket, binding) = open(world, config).await;
    let first = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
    socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    let echoed = socket.next().await.unwrap().unwrap().into_data().to_vec();
    (first, hex(&binding), echoed)
}

#[tokio::test]
async fn a_node_with_an_allowed_certificate_links_and_both_ends_derive_the_same_binding() {
    let world = World::start().await;
    let node = world.admitted();
    let (first, exported, echoed) = link(&world, client(&world, Some(&node), TLS13)).await;
    assert_eq!(first, format!("{NODE} {exported}"));
    assert_eq!(echoed, [1, 2, 3]);
    let (again, other, _) = link(&world, client(&world, Some(&node), TLS13)).await;
    assert_eq!(again, format!("{NODE} {other}"));
    assert_ne!(other, exported, "each connection has its own");
}

#[tokio::test]
async fn who_is_not_allowed_is_refused_in_the_handshake_with_the_alert_that_says_why() {
    let (world, other) = (World::start().await, World::start().await);
    for (name, node, number) in outsiders(&world, &other) {
        let error = ask(&world, client(&world, Some(&node), TLS13)).await.unwrap_err();
        assert_eq!(alert(&error), Some(AlertDescription::from(number)), "{name}: {error}");
    }
    let error = ask(&world, client(&world, None, TLS13)).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::CertificateRequired), "{error}");
    let node = world.admitted();
    let error = connect(&world, client(&world, Some(&node), TLS12)).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::ProtocolVersion), "{error}");
}

#[tokio::test]
async fn a_revocation_counts_from_the_next_handshake_on() {
    let world = World::start().await;
    let node = world.admitted();
    ask(&world, client(&world, Some(&node), TLS13)).await.unwrap();
    world.gateway.allow_list().revoke(&node.issued.serial);
    let error = ask(&world, client(&world, Some(&node), TLS13)).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::CertificateRevoked), "{error}");
}

#[tokio::test]
async fn the_other_form_of_a_certificates_signature_is_the_same_certificate_and_revoked_with_it() {
    let world = World::start().await;
    let mut node = world.admitted();
    let serial = node.issued.serial;
    node.issued.certificate = with_the_other_signature(&node.issued.certificate);
    ask(&world, client(&world, Some(&node), TLS13)).await.unwrap();
    assert!(world.gateway.allow_list().revoke(&serial));
    let error = ask(&world, client(&world, Some(&node), TLS13)).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::CertificateRevoked), "{error}");
}

/// A node's clock that is behind by some seconds.
#[derive(Debug)]
struct Behind(u64);

impl TimeProvider for Behind {
    fn current_time(&self) -> Option<UnixTime> {
        let now = UnixTime::now().as_secs().saturating_sub(self.0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_half_a_minute_behind_links_with_certificates_of_this_moment() {
    let world = World::start().await;
    let node = world.admitted();
    let mut config = client(&world, Some(&node), TLS13);
    config.time_provider = Arc::new(Behind(30));
    ask(&world, config.clone()).await.unwrap();
    // A clock that is far behind knows no certificate yet: the node refuses, and erases nothing.
    config.time_provider = Arc::new(Behind(86_400));
    assert!(ask(&world, config).await.is_err());
}

#[tokio::test]
async fn no_ticket_is_sent_and_a_client_that_would_resume_makes_a_full_handshake() {
    let world = World::start().await;
    let node = world.admitted();
    // One configuration keeps what a client needs for resuming.
    let config = client(&world, Some(&node), TLS13);
    for _ in 0..3 {
        let (answer, stream) = ask(&world, config.clone()).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let tls = stream.get_ref().1;
        assert_eq!(tls.tls13_tickets_received(), 0);
        assert_eq!(tls.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = tls.negotiated_key_exchange_group().unwrap();
        assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    }
}

#[tokio::test]
async fn other_subprotocols_and_plain_requests_are_told_what_is_spoken_here() {
    let world = World::start().await;
    let node = world.admitted();
    let config = client(&world, Some(&node), TLS13);
    let (answer, _) = ask(&world, config.clone()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(LINK_SUBPROTOCOL), "{answer}");
    for subprotocol in [None, Some("handfast.v1")] {
        let mut request = "wss://localhost/".into_client_request().unwrap();
        if let Some(name) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", name.parse().unwrap());
        }
        let stream = connect(&world, config.clone()).await.unwrap();
        let refused = tokio_tungstenite::client_async(request, stream).await.unwrap_err();
        let tokio_tungstenite::tungstenite::Error::Http(answer) = refused else {
            panic!("{refused}")
        };
        assert_eq!(answer.status(), 400);
        let body = String::from_utf8(answer.body().clone().unwrap_or_default()).unwrap();
        assert!(body.contains(LINK_SUBPROTOCOL), "{body}");
    }
}

#[tokio::test]
async fn without_require_mtls_a_node_on_this_machine_comes_without_a_certificate_as_nobody() {
    let world = World::with(false).await;
    let (first, exported, _) = link(&world, client(&world, None, TLS13)).await;
    assert_eq!(first, format!("nobody {exported}"));
    // Who shows a certificate is judged by it all the same.
    let node = world.issue(0);
    let error = ask(&world, client(&world, Some(&node), TLS13)).await.unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::AccessDenied), "{error}");
}

#[tokio::test]
async fn without_require_mtls_a_listener_for_other_machines_is_refused_with_words() {
    let world = World::start().await;
    let refusal = async |address: &str, proxy_protocol| {
        let listener = TcpListener::bind(address).await.unwrap();
        let listening = Listening { listener, proxy_protocol };
        MtlsListening::new(&world.gateway, listening, false).map(|_| ()).map_err(|e| e.to_string())
    };
    let error = refusal("0.0.0.0:0", false).await.unwrap_err();
    assert!(error.contains("listen on 127.0.0.1, or leave require_mtls on"), "{error}");
    assert!(refusal("127.0.0.1:0", true).await.is_err());
    assert_eq!(refusal("127.0.0.1:0", false).await, Ok(()));
}

#[tokio::test]
async fn after_a_rotation_nodes_of_the_old_root_and_of_the_new_one_link() {
    let world = World::start().await;
    let (old, before) = (world.admitted(), client_roots(&world));
    world.gateway.rotate_authority(crate::ca::Overlap::UntilLeavesEnd).await.unwrap();
    let new = world.issue(0);
    world.list(&new, 2);
    assert_eq!(before.len() + 1, client_roots(&world).len());
    for node in [&old, &new] {
        ask(&world, client(&world, Some(node), TLS13)).await.unwrap();
    }
    // A node that has only the old root still knows the listener.
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(before);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(old.key.serialize_der()));
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![old.issued.certificate.clone()], key)
        .unwrap();
    ask(&world, config).await.unwrap();
}

fn client_roots(world: &World) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    world.gateway.authority().certificates()
}
