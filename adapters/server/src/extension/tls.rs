//! TLS to an extension behind an `https` URL.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A host that is spoken to over TLS.
pub(super) struct HttpsHost {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl HttpsHost {
    /// Prepares TLS with a host.
    ///
    /// # Errors
    /// The reason, as part of a sentence.
    pub(super) fn new(host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "names a host that no certificate can name")?;
        Ok(Self { connector: TlsConnector::from(trust()?), name })
    }

    /// Completes the handshake.
    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// Returns a TLS configuration that trusts the system's certificates.
///
/// # Errors
/// The reason, as part of a sentence.
fn trust() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    // Systems carry old certificates that rustls cannot parse; they count as absent.
    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("needs trusted certificates, and this system has none; install the package ca-certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot be spoken to in TLS: {error}"))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
