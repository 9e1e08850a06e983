//! TLS client configuration for `wss://`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The reason for which TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeTlsError {
    /// The file of the extra CA cannot be used.
    #[error(
        "the CA file {path} {why}; it must hold at least one certificate in PEM form (-----BEGIN CERTIFICATE-----)"
    )]
    CaFile {
        /// Path of the file.
        path: PathBuf,
        /// The cause, as part of a sentence.
        why: String,
    },
    /// The system has no trusted certificates, and no CA file was given.
    #[error(
        "this system has no trusted certificates; install the package ca-certificates, or name the gateway's CA with --ca FILE"
    )]
    NoRoots,
    /// rustls refused the configuration.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// Trusts the system's certificates and those in `ca`.
///
/// # Errors
/// [`NodeTlsError`] if `ca` holds no usable certificates, or there are no trusted certificates at
/// all.
pub(crate) fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, NodeTlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let unfit = |why: String| NodeTlsError::CaFile { path: path.to_owned(), why };
        let certificates = CertificateDer::pem_file_iter(path)
            .map_err(|e| unfit(format!("cannot be read ({e})")))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| unfit(format!("is no PEM ({e})")))?;
            roots
                .add(certificate)
                .map_err(|e| unfit(format!("holds a certificate that cannot be used ({e})")))?;
        }
        if roots.is_empty() {
            return Err(unfit("holds no certificate".to_owned()));
        }
    }
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "a trusted certificate of the system could not be read");
    }
    // Systems carry old certificates that rustls cannot parse; they count as absent.
    let (_, _) = roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        return Err(NodeTlsError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_a_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        for content in [
            None,
            Some("nothing"),
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = client(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}
