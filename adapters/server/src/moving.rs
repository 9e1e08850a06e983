//! Keys that lie as files beside a registry in a file, and in the registry if several gateways
//! share it: what a registry takes along when it moves from one to the other.

use std::path::{Path, PathBuf};

use handfast_core::UnixTime;
use handfast_core::secret::Secret;
use handfast_private_file as private_file;
use handfast_store::{AUTHORITY, GATEWAY_KEYS, Store, StoreError};

use crate::ca::{self, AuthorityError};
use crate::keys::KEY_FILE;
use crate::keys::seal::{SealKind, StoreKey};
use crate::keys::setup::{self, NotOpened};

/// The reason for which keys were not moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveKeysError {
    /// The registry could not be read or written.
    #[error("the registry could not be read or written: {0}")]
    Store(#[from] StoreError),
    /// The store key is not the one that the keys were sealed with.
    #[error("the store key does not open what lies sealed in {0}: name the one that belongs to it")]
    WrongStoreKey(PathBuf),
    /// The certificate authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The key file of setup codes cannot be used.
    #[error(transparent)]
    SetupKey(#[from] crate::keys::file::KeyFileError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] private_file::Error),
    /// The target has keys of its own already.
    #[error(
        "{0}: it has a certificate authority already, which is another one; name an empty place"
    )]
    Taken(PathBuf),
}

impl MoveKeysError {
    fn of(error: NotOpened, place: &Path) -> Self {
        match error {
            NotOpened::Store(error) => Self::Store(error),
            NotOpened::WrongStoreKey => Self::WrongStoreKey(place.to_owned()),
            NotOpened::File(error) => Self::SetupKey(error),
        }
    }
}

/// Checks that a key opens the certificate authority of a data directory, if there is one.
///
/// # Errors
/// [`MoveKeysError`].
pub fn check_keys(data: &Path, key: &Secret<32>) -> Result<(), MoveKeysError> {
    ca::sealed_roots(&data.join(ca::DIRECTORY), &StoreKey(Secret::new(*key.expose())))?;
    Ok(())
}

/// Returns `true` if a key opens the sealed [`GATEWAY_KEYS`] of a registry.
#[must_use]
pub fn opens(sealed: &[u8], key: &Secret<32>) -> bool {
    let seal = StoreKey(Secret::new(*key.expose()));
    seal.open_text(SealKind::GatewayKeys, GATEWAY_KEYS.as_bytes(), sealed).is_ok()
}

/// Enters the certificate authority and the keys of setup codes of a data directory into a registry
/// that several gateways share. What is not there is left out, and made by the first gateway.
///
/// # Errors
/// [`MoveKeysError`]. The files stay as they are.
pub async fn keys_into_registry(
    data: &Path,
    store: &dyn Store,
    key: &Secret<32>,
    now: UnixTime,
) -> Result<(), MoveKeysError> {
    let seal = StoreKey(Secret::new(*key.expose()));
    if let Some(sealed) = ca::sealed_roots(&data.join(ca::DIRECTORY), &seal)?
        && store.vault(AUTHORITY, sealed.clone()).await? != sealed
    {
        return Err(MoveKeysError::Taken(data.to_owned()));
    }
    let entered = setup::enter(&data.join(KEY_FILE), store, &seal, now).await;
    entered.map_err(|error| MoveKeysError::of(error, data))
}

/// Writes the certificate authority and the current key of setup codes of a registry as files of a
/// data directory that has none. Codes of a setup key that was replaced within the last day end.
///
/// # Errors
/// [`MoveKeysError`]. Files that are there are not changed.
pub async fn keys_out_of_registry(
    store: &dyn Store,
    data: &Path,
    key: &Secret<32>,
) -> Result<(), MoveKeysError> {
    let seal = StoreKey(Secret::new(*key.expose()));
    let sealed = store.vault(AUTHORITY, Vec::new()).await?;
    if !sealed.is_empty() {
        ca::write_sealed_roots(&data.join(ca::DIRECTORY), &seal, &sealed)?;
    }
    let written = setup::leave(&data.join(KEY_FILE), store, &seal).await;
    written.map_err(|error| MoveKeysError::of(error, data))
}
