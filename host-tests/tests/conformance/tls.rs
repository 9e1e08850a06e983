//! The dialect over TLS with certificate files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use handfast_server::{Gateway, TlsAcceptor, TlsError, TlsFiles};
use handfast_store::MemoryStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

fn certificate(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    let key = dir.join("key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Returns both sides of TLS with a certificate for `localhost`.
pub(super) fn both_sides() -> (TlsAcceptor, TlsConnector, ServerName<'static>) {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let files = TlsFiles::open(&dir.path().join("cert.pem"), &dir.path().join("key.pem")).unwrap();
    let tls = files.acceptor().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.path().join("cert.pem")).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    (tls, TlsConnector::from(Arc::new(config)), ServerName::try_from("localhost").unwrap())
}

#[tokio::test]
async fn a_gateway_with_certificate_files_speaks_tls_and_nothing_else() {
    let (tls, connector, name) = both_sides();
    let gateway = Gateway::builder(MemoryStore::new()).start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(handfast_server::serve(gateway, listener, Some(tls), std::future::pending()));

    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let (mut socket, _) =
        tokio_tungstenite::client_async("wss://localhost/", stream).await.unwrap();
    socket.send(json!({"type": "pair_request"}).to_string().into()).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().into_text().unwrap().contains("pair_pending"));

    let plain = TcpStream::connect(address).await.unwrap();
    assert!(tokio_tungstenite::client_async("ws://localhost/", plain).await.is_err());
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let missing = dir.path().join("missing.pem");
    let problem = |cert: &Path, key: &Path| TlsFiles::open(cert, key).err().unwrap().to_string();
    assert!(problem(&missing, &key).contains("missing.pem"));
    assert!(problem(&cert, &missing).contains("missing.pem"));
    assert!(problem(&key, &key).contains("holds no PEM certificate"));
    std::fs::set_permissions(&cert, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(problem(&cert, &cert).contains("no PEM private key"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = TlsFiles::open(&cert, &key).err().unwrap();
    assert!(matches!(exposed, TlsError::Exposed { path } if path == key));
}

#[test]
fn a_pipe_that_nobody_writes_to_is_refused_as_certificate_or_key_instead_of_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path());
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    for (cert, key) in [(&pipe, &key), (&cert, &pipe)] {
        let problem = TlsFiles::open(cert, key).err().unwrap().to_string();
        assert!(problem.contains("pipe: ") && problem.contains("no regular file"), "{problem}");
    }
}
