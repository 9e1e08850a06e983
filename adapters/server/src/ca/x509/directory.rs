//! The authority's files in the data directory: the sealed roots, their certificates for other
//! programs, and the sealed certificate of the listener for browsers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use handfast_private_file as private_file;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::AuthorityError;
use super::root::Root;
use super::sealed::{self, ListenerRecord, NAME, NotRead, RECORD_BYTES, VERSION};
use crate::keys::seal::{SealKind, StoreKey};

/// Name of the directory in the gateway's data directory.
pub const DIRECTORY: &str = "ca";
/// Name of the file with the certificates of all trusted roots, as PEM.
pub const CERTIFICATES_FILE: &str = "roots.pem";
/// Name of the sealed file with the roots.
const SEALED: &str = NAME;
/// Name of the sealed file with the certificate of the listener for browsers.
const LISTENER: &str = "listener";
const LOCK: &str = "lock";
/// Time that a change waits for another process.
const LOCKED_FOR: Duration = Duration::from_secs(5);
/// Maximum size of the sealed file, in bytes.
const MOST_BYTES: u64 = 16 * 1024;
/// Length of a line of PEM, in characters.
const LINE: usize = 64;

/// The directory of one authority.
pub(super) struct CaDirectory {
    path: PathBuf,
    seal: StoreKey,
}

impl CaDirectory {
    /// Creates the directory if needed, and checks that others cannot use it.
    pub(super) fn open(path: &Path, seal: StoreKey) -> Result<Self, AuthorityError> {
        private_file::create_directory(path)?;
        private_file::check_directory(path, private_file::Others::Nothing)?;
        Ok(Self { path: path.to_owned(), seal })
    }

    /// Takes the lock for a change. Blocks for up to five seconds.
    pub(super) fn lock(&self) -> Result<File, AuthorityError> {
        let path = self.path.join(LOCK);
        let lock = private_file::Options::PRIVATE.lock(&path, LOCKED_FOR)?;
        lock.ok_or_else(|| AuthorityError::Busy(self.path.clone()))
    }

    /// Returns the sealed file; `None` if there is none. A file that is being replaced is read as
    /// it was before, or as it is after.
    pub(super) fn sealed(&self) -> Result<Option<Vec<u8>>, AuthorityError> {
        Ok(private_file::read(&self.path.join(SEALED), MOST_BYTES)?)
    }

    /// Opens a sealed file.
    pub(super) fn roots(&self, sealed: &[u8]) -> Result<Vec<Root>, AuthorityError> {
        let path = || self.path.join(SEALED);
        sealed::open(&self.seal, sealed).map_err(|error| match error {
            NotRead::NotOpened => AuthorityError::NotOpened(path()),
            NotRead::NotUnderstood => AuthorityError::Unreadable(path()),
        })
    }

    /// Writes the roots, and returns the sealed file. The caller holds the lock.
    pub(super) fn write(&self, roots: &[Root]) -> Result<Vec<u8>, AuthorityError> {
        let sealed =
            sealed::seal(&self.seal, roots).ok_or(AuthorityError::ManyRoots(roots.len()))?;
        private_file::replace(&self.path.join(SEALED), &sealed)?;
        Ok(sealed)
    }

    /// Returns the certificate that is kept for the listener for browsers; `None` if there is none,
    /// or none that opens.
    pub(super) fn listener(&self) -> Result<Option<ListenerRecord>, AuthorityError> {
        let Some(sealed) = private_file::read(&self.path.join(LISTENER), MOST_BYTES)? else {
            return Ok(None);
        };
        let kind = SealKind::ListenerCertificate;
        let Ok(text) = self.seal.open_text(kind, LISTENER.as_bytes(), &sealed) else {
            return Ok(None);
        };
        // The form of the rest depends on the version.
        let read = (text.first() == Some(&VERSION)).then(|| postcard::from_bytes(&text).ok());
        Ok(read.flatten())
    }

    /// Keeps the certificate of the listener for browsers in place of the one before.
    pub(super) fn keep_listener(&self, record: &ListenerRecord) -> Result<(), AuthorityError> {
        let path = self.path.join(LISTENER);
        // The record has the private key, so its buffer is wiped.
        let mut text = Zeroizing::new([0; RECORD_BYTES]);
        let text = postcard::to_slice(record, &mut *text)
            .map_err(|_| AuthorityError::Unreadable(path.clone()))?;
        let sealed = self.seal.seal_text(SealKind::ListenerCertificate, LISTENER.as_bytes(), text);
        Ok(private_file::replace(&path, &sealed)?)
    }

    /// Writes the certificates for other programs, unless they are written already. The caller
    /// holds the lock.
    pub(super) fn publish(&self, roots: &[Root]) -> Result<(), AuthorityError> {
        let path = self.path.join(CERTIFICATES_FILE);
        let text = pem(roots.iter().map(|root| &root.certificate));
        if private_file::read(&path, MOST_BYTES)?.as_deref() != Some(text.as_bytes()) {
            private_file::replace(&path, text.as_bytes())?;
        }
        Ok(())
    }
}

/// Returns the sealed roots in a directory, after opening them; `None` if there are none.
pub(crate) fn sealed_roots(
    path: &Path,
    seal: &StoreKey,
) -> Result<Option<Vec<u8>>, AuthorityError> {
    if !path.exists() {
        return Ok(None);
    }
    let directory = CaDirectory::open(path, StoreKey(seal.copy()))?;
    let sealed = directory.sealed()?;
    sealed.map(|sealed| directory.roots(&sealed).map(|_| sealed)).transpose()
}

/// Writes sealed roots into a directory that has none, after opening them.
pub(crate) fn write_sealed_roots(
    path: &Path,
    seal: &StoreKey,
    sealed: &[u8],
) -> Result<(), AuthorityError> {
    let directory = CaDirectory::open(path, StoreKey(seal.copy()))?;
    let roots = directory.roots(sealed)?;
    private_file::create_new(&path.join(SEALED), sealed)?;
    directory.publish(&roots)
}

/// Returns certificates as PEM.
pub(super) fn pem<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> String {
    certificates.map(|certificate| block("CERTIFICATE", certificate)).collect()
}

/// Returns one block of PEM.
pub(super) fn block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}
