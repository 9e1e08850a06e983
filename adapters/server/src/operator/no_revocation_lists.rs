//! The place of the lists of revoked certificates in a build without the feature `tls`.

use std::sync::Arc;

use crate::ca::{AuthorityError, RevocationLists};
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;

/// Errors of the revocation lists.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotListed {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] OperatorError),
    /// There is no authority that signs them.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Gateway {
    pub(crate) async fn revocation_lists(&self) -> Result<Arc<RevocationLists>, NotListed> {
        Err(AuthorityError::WithoutTls.into())
    }

    pub(crate) const fn own_tls_fingerprint(&self) -> Option<String> {
        None
    }
}
