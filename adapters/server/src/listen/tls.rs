//! TLS from certificate files, which may be read again while a listener runs.

use std::fs::{File, OpenOptions};
use std::io::BufReader;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use handfast_core::UnixTime;
use rustix::fs::OFlags;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Permissions that nobody may have on a private key: the group may read it, as where a group of
/// the system is for keys, and others may do nothing.
const FORBIDDEN: u32 = 0o027;

/// Errors of setting up TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has no certificate or key.
    #[error("{path}: {problem}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Description of the mistake.
        problem: String,
    },
    /// Others than its owner may read or write the private key.
    #[error("{path}: others may read or write this private key; its owner alone may")]
    Exposed {
        /// Path of the key.
        path: PathBuf,
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

/// A PEM certificate chain and its PEM private key, in files. Clones share the pair in use.
///
/// Available with the feature `tls`.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    cert: PathBuf,
    key: PathBuf,
    current: Arc<CurrentPair>,
}

/// A certificate chain and its key, as read from their files.
#[derive(Debug)]
pub struct TlsPair(Arc<CertifiedKey>);

/// The pair for new connections.
#[derive(Debug)]
struct CurrentPair(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentPair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A pair is replaced as a whole, so a poisoned lock still holds a good one.
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl TlsFiles {
    /// Reads a certificate chain and its key.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn open(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let TlsPair(pair) = read(cert, key)?;
        let current = Arc::new(CurrentPair(RwLock::new(pair)));
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current })
    }

    /// Reads the files again, without an effect on connections.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn read(&self) -> Result<TlsPair, TlsError> {
        read(&self.cert, &self.key)
    }

    /// Uses this pair for connections from now on.
    pub fn replace(&self, pair: TlsPair) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = pair.0;
    }

    /// Returns the end of the certificate in use, or `None` if it cannot be read.
    #[must_use]
    pub fn ends(&self) -> Option<UnixTime> {
        let pair = self.current.0.read().unwrap_or_else(PoisonError::into_inner);
        let leaf = pair.cert.first()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        Some(UnixTime::from_secs(ends))
    }

    /// Returns an acceptor for [`serve`](crate::serve); its connections use the current pair.
    ///
    /// # Errors
    /// [`TlsError::Pair`] if TLS cannot be set up.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        // Named explicitly: with several providers compiled in, rustls has no default.
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|source| pair_error(&self.cert, &self.key, source))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn pair_error(cert: &Path, key: &Path, source: rustls::Error) -> TlsError {
    TlsError::Pair { cert: cert.to_owned(), key: key.to_owned(), source }
}

fn read(cert: &Path, key: &Path) -> Result<TlsPair, TlsError> {
    let file = |path: &Path, problem: String| TlsError::File { path: path.to_owned(), problem };
    let unreadable = |error: &dyn std::fmt::Display| {
        file(cert, format!("no PEM certificates can be read from it: {error}"))
    };
    let certificates = regular(cert).map_err(|problem| unreadable(&problem))?;
    let chain = CertificateDer::pem_reader_iter(BufReader::new(certificates));
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    // The parser accepts a file without any certificate.
    if chain.is_empty() {
        return Err(file(cert, "it holds no PEM certificate".to_owned()));
    }
    let private = private_key(key)?;
    CertifiedKey::from_der(chain, private, &default_provider())
        .map(|pair| TlsPair(Arc::new(pair)))
        .map_err(|source| pair_error(cert, key, source))
}

/// Reads a private key that others may not read.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let unreadable = |error: &dyn std::fmt::Display| TlsError::File {
        path: path.to_owned(),
        problem: format!("no PEM private key can be read from it: {error}"),
    };
    let file = regular(path).map_err(|problem| unreadable(&problem))?;
    // The open file is checked, because its path could name another one by now.
    let found = file.metadata().map_err(|error| unreadable(&error))?;
    if found.permissions().mode() & FORBIDDEN != 0 {
        return Err(TlsError::Exposed { path: path.to_owned() });
    }
    PrivateKeyDer::from_pem_reader(BufReader::new(file)).map_err(|error| unreadable(&error))
}

/// Opens a regular file. A link is followed, because tools that renew certificates replace one.
fn regular(path: &Path) -> Result<File, String> {
    // Without this flag, opening a pipe that nobody writes to blocks for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| error.to_string())?;
    match file.metadata().map_err(|error| error.to_string())?.is_file() {
        true => Ok(file),
        false => Err("it is no regular file".to_owned()),
    }
}
