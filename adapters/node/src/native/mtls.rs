//! Links over mutual TLS: the node shows its certificate, and the messages are not sealed again.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::limits::PLAINTEXT_BYTES;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error;

use super::certificate::NodeCertificate;
use crate::connection::{self, Socket};
use crate::event::{Lost, presentable};
use crate::gateway_url::GatewayUrl;

/// The WebSocket subprotocol of links over TLS.
const SUBPROTOCOL: &str = "handfast.link.v1";
/// Label of the exporter that names a TLS channel (RFC 9266).
const CHANNEL_BINDING: &[u8] = b"EXPORTER-Channel-Binding";

/// An open link over mutual TLS.
pub(super) struct MtlsLink {
    pub(super) socket: Socket,
    pub(super) channel: TlsChannel,
}

/// The TLS channel below a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsChannel {
    /// The channel's exporter value.
    pub(super) exporter: [u8; 32],
    /// Serial number of the certificate that the node has shown.
    pub(super) serial: String,
}

/// The reason for which no link was opened.
#[derive(Debug)]
pub(super) struct NoLink {
    pub(super) lost: Lost,
    /// `true` if another certificate may mend it: the gateway accepts none of the node's, the node
    /// has none, or those that it has came without the root of the gateway's authority.
    pub(super) refused: bool,
}

impl From<Lost> for NoLink {
    fn from(lost: Lost) -> Self {
        Self { lost, refused: false }
    }
}

/// Opens a link with one of these certificates, in their order. In TLS 1.3 the handshake succeeds
/// at the node before the gateway has judged its certificate; a refused one shows in the upgrade.
pub(super) async fn open(
    host: &str,
    port: u16,
    certificates: &[NodeCertificate],
    within: Duration,
) -> Result<MtlsLink, NoLink> {
    let place =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut last = NoLink {
        lost: Lost::NotOpened(format!(
            "mtls://{place} wants a certificate, and this node has none that is valid now; it \
             fetches one over an address of another kind"
        )),
        refused: true,
    };
    // A refused fresh certificate must not lock the node out, so the older one is tried too.
    for (tried, certificate) in certificates.iter().enumerate() {
        match open_with(host, port, &place, certificate, within).await {
            Ok(link) => return Ok(link),
            Err(no_link) => {
                // The last failure is told by whoever asked for the link.
                if no_link.refused && tried + 1 < certificates.len() {
                    tracing::warn!(why = %no_link.lost, "an older certificate is tried");
                }
                last = no_link;
            }
        }
    }
    Err(last)
}

async fn open_with(
    host: &str,
    port: u16,
    place: &str,
    certificate: &NodeCertificate,
    within: Duration,
) -> Result<MtlsLink, NoLink> {
    let failed = |why: &dyn Display| {
        Lost::NotOpened(format!("the link over TLS with {place} was not opened: {why}"))
    };
    let config = client(certificate).map_err(|why| failed(&why))?;
    let url: GatewayUrl = format!("wss://{place}").parse().map_err(|why| failed(&why))?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| failed(&format_args!("{host} is a name that no certificate can have")))?;
    let shown = format!("mtls://{place}");
    let tcp = connection::connect(host, port, &shown, within).await?;
    let shake = async {
        let stream = TlsConnector::from(config).connect(name, tcp).await;
        let stream = stream.map_err(|error| judged(&error, failed))?;
        // In TLS 1.3 an empty context gives the same value as none, which the gateway uses.
        let exported =
            stream.get_ref().1.export_keying_material([0; 32], CHANNEL_BINDING, Some(&[]));
        let exporter = exported.map_err(|why| failed(&why))?;
        let opened =
            connection::try_upgrade(Box::new(stream), &url, PLAINTEXT_BYTES, Some(SUBPROTOCOL));
        let socket = opened.await.map_err(|error| {
            // What answers over HTTP has accepted the certificate.
            if matches!(error, Error::Http(_)) {
                return NoLink::from(failed(&error));
            }
            let (why, serial) = (presentable(&error.to_string()), &certificate.facts.serial);
            let why = format!("{why}; the gateway does not accept certificate {serial}");
            NoLink { lost: failed(&why), refused: true }
        })?;
        let channel = TlsChannel { exporter, serial: certificate.facts.serial.clone() };
        Ok(MtlsLink { socket, channel })
    };
    match timeout(within, shake).await {
        Ok(done) => done,
        Err(_) => Err(connection::unanswered(&url).into()),
    }
}

/// Describes a TLS handshake that failed. A listener of a root that the node does not know is of an
/// authority that was made anew, so the node needs a certificate of that one.
fn judged(error: &std::io::Error, failed: impl Fn(&dyn Display) -> Lost) -> NoLink {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let refused = matches!(
        cause,
        Some(
            rustls::Error::AlertReceived(_)
                | rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer
                        | CertificateError::BadSignature
                        | CertificateError::Expired
                        | CertificateError::ExpiredContext { .. }
                )
        )
    );
    NoLink { lost: failed(error), refused }
}

/// Trusts the roots that came with the certificate and no others, and shows the certificate.
fn client(certificate: &NodeCertificate) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for issuer in &certificate.issuers {
        roots.add(issuer.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate.leaf.clone()], certificate.key())?;
    // A resumed session would not show the certificate.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::certificate::CertificateStore;
    use crate::native::certificate::tests::Authority;
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    const WITHIN: Duration = Duration::from_secs(10);

    /// Accepts one link from a node with a certificate of this authority, and returns the exporter
    /// value of the channel and the subprotocol that the node asked for.
    async fn gateway(
        authority: &Authority,
        answers: bool,
    ) -> (u16, tokio::task::JoinHandle<Option<([u8; 32], String)>>) {
        let (chain, key, root) = authority.server("127.0.0.1");
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.ok()?;
            let export = |stream: &rustls::ServerConnection| {
                stream.export_keying_material([0; 32], CHANNEL_BINDING, Some(&[])).unwrap()
            };
            let exporter = export(stream.get_ref().1);
            if !answers {
                return None;
            }
            let mut asked = String::new();
            let socket = tokio_tungstenite::accept_hdr_async(
                stream,
                #[allow(clippy::result_large_err, reason = "the library's type")]
                |request: &Request, mut response: Response| {
                    let name = request.headers()["sec-websocket-protocol"].clone();
                    asked = name.to_str().unwrap().to_owned();
                    response.headers_mut().insert("sec-websocket-protocol", name);
                    Ok(response)
                },
            );
            socket.await.ok()?;
            Some((exporter, asked))
        });
        (port, accepting)
    }

    fn certificate(authority: &Authority) -> NodeCertificate {
        let mut store = CertificateStore::default();
        let csr = store.begin().unwrap();
        store.receive(&authority.issue(&csr)).unwrap();
        store.usable(crate::clock::unix_now()).next().unwrap().clone()
    }

    #[tokio::test]
    async fn both_ends_of_a_link_know_its_channel_by_the_same_value() {
        let authority = Authority::new();
        let (port, accepting) = gateway(&authority, true).await;
        let own = certificate(&authority);
        let link = open("127.0.0.1", port, std::slice::from_ref(&own), WITHIN).await.unwrap();
        let (exporter, asked) = accepting.await.unwrap().unwrap();
        assert_eq!((link.channel.exporter, asked.as_str()), (exporter, SUBPROTOCOL));
        assert_eq!(link.channel.serial, own.facts.serial);
    }

    #[tokio::test]
    async fn a_certificate_of_another_authority_opens_no_link() {
        let (port, accepting) = gateway(&Authority::new(), true).await;
        // The node would be refused by this gateway, and refuses the gateway itself.
        let own = certificate(&Authority::new());
        let lost = open("127.0.0.1", port, &[own], WITHIN).await.err().unwrap();
        let NoLink { lost, refused } = lost;
        assert!(refused && lost.to_string().contains("was not opened"), "{lost}");
        assert!(accepting.await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_gateway_that_closes_after_the_handshake_has_opened_no_link() {
        let authority = Authority::new();
        let (port, _accepting) = gateway(&authority, false).await;
        let own = certificate(&authority);
        let lost = open("127.0.0.1", port, &[own], WITHIN).await.err().unwrap();
        let NoLink { lost, refused } = lost;
        assert!(refused && lost.to_string().contains("does not accept certificate"), "{lost}");
    }

    #[tokio::test]
    async fn a_node_without_a_certificate_is_told_where_it_gets_one() {
        let NoLink { lost, refused } = open("127.0.0.1", 1, &[], WITHIN).await.err().unwrap();
        assert!(refused);
        assert!(lost.to_string().contains("has none that is valid now"), "{lost}");
    }
}
