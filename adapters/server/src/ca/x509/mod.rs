//! The authority that issues X.509 certificates, and the certificates themselves.

mod admission;
mod authority;
mod directory;
mod key;
mod request;
mod revocation_lists;
mod root;
mod sealed;
mod server_certificate;
mod storage;
#[cfg(test)]
pub(crate) mod tests;
mod verifier;

use super::{Admitted, AllowList, AuthorityError, CertificateSettings, NotARequest};

pub use admission::Refused;
pub use authority::{Authority, IssuedCertificate, Overlap};
pub use directory::{CERTIFICATES_FILE, DIRECTORY};
pub(crate) use directory::{sealed_roots, write_sealed_roots};
pub use request::RequestedKey;
pub use revocation_lists::RevocationLists;
pub use root::Validity;
pub use server_certificate::ServerCertificate;
pub use verifier::NodeVerifier;

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::NotSigned(Box::new(error))
    }
}
