//! TLS for browsers with a certificate of the gateway's own authority, where nobody else issues
//! one.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::TlsAcceptor;

use crate::ca::{AuthorityError, ServerCertificate};
use crate::gateway::Gateway;

/// Errors of TLS with a certificate of the gateway's own authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnTlsError {
    /// The certificate authority does not sign the certificate, or it cannot be kept.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The task that reads and writes the certificate failed.
    #[error("the certificate of the listener was not read: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Gateway {
    /// Returns an acceptor for [`serve`](crate::serve) with a certificate of the gateway's own
    /// authority for these names and IP addresses. A browser warns about it until it is told to
    /// accept it, or to trust the authority; login links name its fingerprint from then on.
    ///
    /// Available with the feature `tls`.
    ///
    /// # Errors
    /// [`OwnTlsError`].
    pub async fn own_tls(&self, names: Vec<String>) -> Result<TlsAcceptor, OwnTlsError> {
        let (authority, clock) = (Arc::clone(&self.inner.authority), self.inner.clock.clone());
        let made = move || ServerCertificate::for_browsers(authority, names, move || clock.unix());
        let certificate = Arc::new(tokio::task::spawn_blocking(made).await??);
        // Named explicitly: with several providers compiled in, rustls has no default.
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificate) as Arc<_>);
        // Another listener for browsers would be one of the same gateway, so the first one stays.
        let _ = self.inner.own_certificate.set(certificate);
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Returns the SHA-256 fingerprint of the [certificate](Self::own_tls) that browsers are shown,
    /// as they show it; `None` without one.
    #[must_use]
    pub fn own_tls_fingerprint(&self) -> Option<String> {
        self.inner.own_certificate.get().map(|certificate| certificate.fingerprint())
    }
}
