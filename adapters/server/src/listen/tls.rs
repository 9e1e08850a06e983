//! TLS from certificate files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Errors of setting up TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or has no certificate or key.
    #[error("{path}: {problem}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Description of the mistake.
        problem: String,
    },
    /// The certificate and the key do not match, or are of an unsupported kind.
    #[error("the certificate in {cert} and the key in {key} cannot be used: {source}")]
    Pair {
        /// Path of the certificate.
        cert: PathBuf,
        /// Path of the key.
        key: PathBuf,
        /// Error of rustls.
        source: rustls::Error,
    },
}

/// Reads a PEM certificate chain and its PEM private key.
///
/// # Errors
/// [`TlsError`], which names the file.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let file = |path: &Path, problem: String| TlsError::File { path: path.to_owned(), problem };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| file(cert, format!("no PEM certificates can be read from it: {error}")))?;
    if chain.is_empty() {
        return Err(file(cert, "it holds no PEM certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| file(key, format!("no PEM private key can be read from it: {error}")))?;
    // Named explicitly: with several providers compiled in, rustls has no default.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|source| TlsError::Pair { cert: cert.to_owned(), key: key.to_owned(), source })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
