//! The certificate authority: roots, certificates of nodes, the certificate of the gateway's own
//! listener for nodes, and the list of certificates that may open a link.
//!
//! ```text
//! root (path length 0) ─┬─▶ certificate of a node (clientAuth, URI of the node)
//!                       ├─▶ certificate of the listener (serverAuth, names and addresses)
//!                       └─▶ revocation list, for readers outside the gateway
//! ```
//! **The allow-list** decides which of these certificates may open a link, during the handshake.
//!
//! **Rotation** adds a root. The newest root signs the certificates of nodes, which get all trusted
//! roots with them. An older root stays trusted until the last certificate that it signed has
//! ended. Until then the oldest root signs the listener's certificate, because some nodes know no
//! newer one.
//!
//! **The roots** lie sealed in one text: in a file of the gateway's data directory, or in the
//! registry if several gateways share it.
//!
//! **Without the feature `tls`** there is no authority: the allow-list and the compact certificates
//! of core remain, and a request for an X.509 certificate is refused with
//! [`NotARequest::WithoutTls`].

mod allow_list;
mod request_error;
mod settings;
mod uri;
#[cfg(feature = "tls")]
mod x509;
#[cfg(not(feature = "tls"))]
#[path = "no_x509.rs"]
mod x509;

use std::path::PathBuf;

use handfast_private_file as private_file;
use handfast_store::StoreError;

pub use allow_list::{Admitted, AllowList};
pub use request_error::NotARequest;
pub use settings::CertificateSettings;
#[cfg(feature = "tls")]
pub use settings::is_name;
pub use uri::{NodeUri, NotANodeUri};
#[cfg(all(test, feature = "tls"))]
pub(crate) use x509::tests;
pub use x509::{
    Authority, DIRECTORY, IssuedCertificate, Overlap, RequestedKey, RevocationLists, Validity,
};
#[cfg(feature = "tls")]
pub use x509::{CERTIFICATES_FILE, NodeVerifier, Refused, ServerCertificate};
pub(crate) use x509::{sealed_roots, write_sealed_roots};

/// Errors of the certificate authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A setting is not valid.
    #[error("the settings of certificates are wrong: {0}")]
    Settings(String),
    /// A file cannot be read or written, or others may use it.
    #[error("the certificate authority in {0}")]
    File(#[from] private_file::Error),
    /// Another process changes the authority.
    #[error("{0}: another process changes the certificate authority; try again when it has ended")]
    Busy(PathBuf),
    /// The sealed file does not open.
    #[error(
        "{0}: the certificate authority does not open with this store key; restore the store.key \
         that it was made with. If that is lost, move the file away: then a new authority is made, \
         and nodes fetch new certificates with their own keys"
    )]
    NotOpened(PathBuf),
    /// The sealed file opens, and its content is not understood.
    #[error(
        "{0}: the certificate authority is not understood; it may be of a newer version of \
         Handfast. Start that version, or move the file away: then a new authority is made, and \
         nodes fetch new certificates with their own keys"
    )]
    Unreadable(PathBuf),
    /// The registry that has the roots failed.
    #[error("the certificate authority in the registry: {0}")]
    Registry(#[source] handfast_store::StoreError),
    /// The roots in the registry do not open, though its other secrets do.
    #[error(
        "the certificate authority in the registry does not open with the store key that opens its \
         other secrets, or is of a newer version of Handfast: start that version, or take the \
         registry back from a backup"
    )]
    Altered,
    /// Other gateways change the roots all the time.
    #[error("other gateways change the certificate authority all the time; try again")]
    Contended,
    /// Too many roots are trusted at once.
    #[error(
        "{0} roots are trusted already; rotate again when the certificates of the oldest have \
         ended, or without an overlap"
    )]
    ManyRoots(usize),
    /// The root has ended, so nothing it would sign is valid.
    #[error("the root of the certificate authority has ended; rotate it")]
    RootEnded,
    /// A certificate cannot be signed.
    #[error("a certificate could not be signed: {0}")]
    NotSigned(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The work was broken off.
    #[error("the work at the certificate authority was broken off; try again")]
    Interrupted,
    /// The decision could not be recorded in the audit log, so it was not carried out.
    #[error("{0}; the decision was not recorded, and so nothing was changed")]
    NotRecorded(#[from] handfast_store::StoreError),
    /// The library of TLS does not take the roots.
    #[error("the roots of the certificate authority cannot be used: {0}")]
    NotUsable(String),
    /// The gateway was built without TLS.
    #[error(
        "this gateway was built without handfast-server's feature `tls`, so it has no certificate \
         authority"
    )]
    WithoutTls,
}

impl AuthorityError {
    /// Returns the error as one of the registry.
    pub(crate) fn of_registry(self) -> StoreError {
        match self {
            Self::Registry(error) => error,
            error @ (Self::Settings(_)
            | Self::File(_)
            | Self::Busy(_)
            | Self::NotOpened(_)
            | Self::Unreadable(_)
            | Self::Altered
            | Self::Contended
            | Self::ManyRoots(_)
            | Self::RootEnded
            | Self::NotSigned(_)
            | Self::Interrupted
            | Self::NotRecorded(_)
            | Self::NotUsable(_)
            | Self::WithoutTls) => StoreError::Database(error.to_string()),
        }
    }
}
