//! Where the sealed roots lie: in a file, or in a registry that several gateways share.

use std::fs::File;
use std::sync::Arc;

use handfast_core::UnixTime;
use handfast_store::{Store, StoreError};
use tokio::runtime::Handle;

use super::directory::CaDirectory;
use super::root::Root;
use super::sealed::{self, NAME};
use super::{AuthorityError, CertificateSettings};
use crate::keys::seal::StoreKey;

/// The place of an authority's sealed roots.
pub(super) enum RootsStorage {
    /// A file in the authority's directory.
    Directory(CaDirectory),
    /// A registry that several gateways share. The directory has only what this gateway publishes
    /// for other programs, and the certificate of its own listener for browsers.
    Registry { vault: RegistryVault, directory: Option<CaDirectory> },
}

impl RootsStorage {
    /// Takes the lock for a change, where there is one. Blocks for up to five seconds.
    pub(super) fn lock(&self) -> Result<Option<File>, AuthorityError> {
        match self {
            Self::Directory(directory) => directory.lock().map(Some),
            // A change is compared with what it replaces.
            Self::Registry { .. } => Ok(None),
        }
    }

    /// Returns the sealed roots; `None` if there are none.
    pub(super) fn sealed(&self) -> Result<Option<Vec<u8>>, AuthorityError> {
        match self {
            Self::Directory(directory) => directory.sealed(),
            Self::Registry { vault, .. } => vault.sealed(),
        }
    }

    /// Opens sealed roots.
    pub(super) fn roots(&self, sealed: &[u8]) -> Result<Vec<Root>, AuthorityError> {
        match self {
            Self::Directory(directory) => directory.roots(sealed),
            Self::Registry { vault, .. } => vault.roots(sealed),
        }
    }

    /// Replaces what was read by these roots, and returns them sealed; `None` if somebody else has
    /// replaced it meanwhile. The caller holds the lock.
    pub(super) fn replace(
        &self,
        before: Option<Vec<u8>>,
        roots: &[Root],
    ) -> Result<Option<Vec<u8>>, AuthorityError> {
        match self {
            Self::Directory(directory) => directory.write(roots).map(Some),
            Self::Registry { vault, .. } => vault.replace(before.unwrap_or_default(), roots),
        }
    }

    /// Writes the certificates for other programs, unless they are written already. The caller
    /// holds the lock.
    pub(super) fn publish(&self, roots: &[Root]) -> Result<(), AuthorityError> {
        self.directory().map_or(Ok(()), |directory| directory.publish(roots))
    }

    /// Returns the directory of this gateway's own files.
    pub(super) const fn directory(&self) -> Option<&CaDirectory> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Registry { directory, .. } => directory.as_ref(),
        }
    }
}

/// The vault of a registry, for a caller that blocks.
pub(super) struct RegistryVault {
    store: Arc<dyn Store>,
    runtime: Handle,
    seal: StoreKey,
}

impl RegistryVault {
    /// Opens the roots of a registry, or makes the first one. Gateways that do so at once have one.
    pub(super) fn open(
        store: Arc<dyn Store>,
        runtime: Handle,
        seal: StoreKey,
        settings: &CertificateSettings,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let vault = Self { store, runtime, seal };
        let fresh = vault.seal(&[Root::make(settings, now)?])?;
        vault.wait(vault.store.vault(NAME, fresh))?;
        Ok(vault)
    }

    fn sealed(&self) -> Result<Option<Vec<u8>>, AuthorityError> {
        // There are roots as a rule, so the text is not stored. One without roots is as none.
        let found = self.wait(self.store.vault(NAME, Vec::new()))?;
        Ok(Some(found).filter(|found| !found.is_empty()))
    }

    fn roots(&self, sealed: &[u8]) -> Result<Vec<Root>, AuthorityError> {
        sealed::open(&self.seal, sealed).map_err(|_| AuthorityError::Altered)
    }

    fn replace(&self, before: Vec<u8>, roots: &[Root]) -> Result<Option<Vec<u8>>, AuthorityError> {
        let sealed = self.seal(roots)?;
        let replaced = self.wait(self.store.replace_vault(NAME, before, sealed.clone(), None))?;
        Ok(replaced.then_some(sealed))
    }

    fn seal(&self, roots: &[Root]) -> Result<Vec<u8>, AuthorityError> {
        sealed::seal(&self.seal, roots).ok_or(AuthorityError::ManyRoots(roots.len()))
    }

    fn wait<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, AuthorityError> {
        self.runtime.block_on(asked).map_err(AuthorityError::Registry)
    }
}
