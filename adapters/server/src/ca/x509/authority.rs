//! The authority: its trusted roots, issuing, rotation and the revocation list.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use handfast_core::crypto::sha256;
use handfast_core::grant::certificate::Serial;
use handfast_core::secret::Secret;
use handfast_core::{NodeId, UnixTime};
use handfast_store::Store;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{self, CertificateDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, RootCertStore};
use tokio::runtime::Handle;

use super::directory::{CaDirectory, pem};
use super::revocation_lists::RevocationLists;
use super::root::{LIST_LIVES, Root, Validity};
use super::storage::{RegistryVault, RootsStorage};
use super::{AuthorityError, CertificateSettings, RequestedKey};
use crate::entropy;
use crate::keys::seal::StoreKey;

/// Maximum number of roots that are trusted at once: with a leaf they fit in the set of
/// certificates that a node gets.
const MOST_ROOTS: usize = 4;
/// Number of times that a change is decided anew because another gateway made one meanwhile.
const MOST_CONFLICTS: usize = 16;

/// The certificate authority of a gateway.
pub struct Authority {
    settings: CertificateSettings,
    /// `None` if the authority is kept in memory.
    storage: Option<RootsStorage>,
    /// Held during a change. The value is the sealed text that the roots in use were read from.
    changing: Mutex<Option<Vec<u8>>>,
    trust: RwLock<Arc<Trust>>,
}

/// The trusted roots, and the verifier that checks chains against them.
pub(super) struct Trust {
    /// Oldest first. The last one is the newest, and there is always one.
    roots: Vec<Root>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

/// How long the roots in use stay trusted when a new one is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Until the last certificate that they signed has ended.
    UntilLeavesEnd,
    /// Not at all. Every node has to fetch a new certificate with its own key.
    None,
}

/// A certificate that was issued to a node.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// Serial number.
    pub serial: Serial,
    /// Public key, as a DER `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
    /// Times between which it is valid.
    pub validity: Validity,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The trusted roots, its issuer first.
    pub roots: Vec<CertificateDer<'static>>,
}

impl IssuedCertificate {
    /// Returns the certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem(std::iter::once(&self.certificate))
    }

    /// Returns the set that the node gets: the certificate, then the roots, each behind its length
    /// in two bytes, big endian.
    #[must_use]
    pub fn set(&self) -> Vec<u8> {
        let mut set = Vec::new();
        for part in std::iter::once(&self.certificate).chain(&self.roots) {
            let length = u16::try_from(part.len()).expect("a certificate is shorter than 64 KiB");
            set.extend_from_slice(&length.to_be_bytes());
            set.extend_from_slice(part);
        }
        set
    }
}

impl Trust {
    fn new(roots: Vec<Root>) -> Result<Self, AuthorityError> {
        let not_usable =
            |error: &dyn std::fmt::Display| AuthorityError::NotUsable(error.to_string());
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.certificate.clone()).map_err(|error| not_usable(&error))?;
        }
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|error| not_usable(&error))?;
        Ok(Self { roots, verifier })
    }

    /// Returns the root that signs certificates of nodes.
    fn newest(&self) -> &Root {
        self.roots.last().expect("an authority has a root")
    }

    /// Returns the root that signs the listener's certificate: the oldest one in use, which every
    /// node with a valid certificate knows.
    pub(super) fn oldest(&self, now: UnixTime) -> &Root {
        let in_use = |root: &&Root| !root.is_retired(now) && now < root.not_after;
        self.roots.iter().find(in_use).unwrap_or_else(|| self.newest())
    }

    /// Returns the certificates of the roots, the newest first.
    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.roots.iter().rev().map(|root| root.certificate.clone()).collect()
    }
}

impl Authority {
    /// Opens the authority in the directory of the settings, or makes one there; without a
    /// directory it makes one in memory. Blocks.
    ///
    /// `key` seals the file in the directory, as the store key that
    /// [`keys::file`](crate::keys::file) keeps.
    ///
    /// # Errors
    /// [`AuthorityError`]. A file that cannot be used is not changed.
    pub fn open(
        settings: CertificateSettings,
        key: &Secret<32>,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        settings.check().map_err(AuthorityError::Settings)?;
        let storage = own_directory(&settings, key)?.map(RootsStorage::Directory);
        Self::open_in(storage, settings, now)
    }

    /// Opens the authority of a registry that several gateways share, or makes one there. The
    /// directory of the settings has only what this gateway publishes. Blocks, on a thread that
    /// `runtime` does not need.
    ///
    /// # Errors
    /// [`AuthorityError`]. What cannot be used is not changed.
    pub(crate) fn open_shared(
        settings: CertificateSettings,
        key: &Secret<32>,
        store: Arc<dyn Store>,
        runtime: Handle,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        settings.check().map_err(AuthorityError::Settings)?;
        let directory = own_directory(&settings, key)?;
        let seal = StoreKey(Secret::new(*key.expose()));
        let vault = RegistryVault::open(store, runtime, seal, &settings, now)?;
        Self::open_in(Some(RootsStorage::Registry { vault, directory }), settings, now)
    }

    fn open_in(
        storage: Option<RootsStorage>,
        settings: CertificateSettings,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let (roots, sealed) = change(storage.as_ref(), &[], |roots| {
            if roots.is_empty() {
                roots.push(Root::make(&settings, now)?);
            }
            // An earlier setting may have been longer, and its certificates are still valid.
            roots.iter_mut().for_each(|root| match root.retires_at {
                Some(_) => {}
                None => root.longest_leaf = root.longest_leaf.max(settings.node_life),
            });
            Ok(())
        })?;
        let trust = RwLock::new(Arc::new(Trust::new(roots)?));
        Ok(Self { settings, storage, changing: Mutex::new(sealed), trust })
    }

    /// Returns the trusted roots.
    pub(super) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the directory of this gateway's own files; `None` if it has none.
    pub(super) fn directory(&self) -> Option<&CaDirectory> {
        self.storage.as_ref().and_then(RootsStorage::directory)
    }

    /// Returns the settings of certificates.
    #[must_use]
    pub const fn settings(&self) -> &CertificateSettings {
        &self.settings
    }

    /// Returns the SHA-256 fingerprint of the newest root's certificate, as `openssl x509
    /// -fingerprint -sha256` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = sha256::hash([&self.trust().newest().certificate, &[]]);
        hash.map(|byte| format!("{byte:02X}")).join(":")
    }

    /// Returns `true` if a certificate of a node is in X.509 form, and none of the trusted roots has
    /// signed it: another authority did, or a root that is not trusted any more.
    #[must_use]
    pub fn is_foreign(&self, encoded: &[u8]) -> bool {
        let certificate = CertificateDer::from(encoded);
        let now = pki_types::UnixTime::now();
        let verified = self.trust().verifier.verify_client_cert(&certificate, &[], now);
        // What is wrong otherwise, its time for instance, says nothing about who signed it.
        matches!(
            verified,
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            ))
        )
    }

    /// Returns the end of each trusted root, the newest first: the time from which it is not trusted
    /// any more.
    #[must_use]
    pub fn ends(&self) -> Vec<UnixTime> {
        let end = |root: &Root| root.retires_at.map_or(root.not_after, |at| at.min(root.not_after));
        self.trust().roots.iter().rev().map(end).collect()
    }

    /// Returns the certificates of all trusted roots, the newest first.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.trust().certificates()
    }

    /// Returns the certificates of all trusted roots as PEM, the newest first.
    #[must_use]
    pub fn certificates_pem(&self) -> String {
        pem(self.trust().certificates().iter())
    }

    /// Issues a certificate to a node, for the public key of its request.
    ///
    /// # Errors
    /// [`AuthorityError::RootEnded`] and [`AuthorityError::NotSigned`].
    pub fn issue(
        &self,
        node_id: NodeId,
        key: &RequestedKey,
        now: UnixTime,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let trust = self.trust();
        let root = trust.newest();
        let validity = root.validity(self.settings.node_life, now);
        // A leaf ends no later than its root, so an ended root could only sign what is over.
        if validity.not_after <= now {
            return Err(AuthorityError::RootEnded);
        }
        let serial = Serial::new(&entropy::draw());
        let uri = self.settings.uri.of(node_id);
        let certificate = root.sign_node(node_id, uri, key.info(), &serial, validity)?;
        let public_key = key.der().to_owned();
        let roots = trust.certificates();
        Ok(IssuedCertificate { serial, public_key, validity, certificate, roots })
    }

    /// Verifies that a node's certificate is signed by a trusted root, is for clients, and is valid
    /// at this time. Whether it was revoked is not looked at.
    ///
    /// # Errors
    /// The reason, as rustls gives it.
    pub fn verify_chain(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let now = pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
        // The roots sign leaves alone, so there are no certificates between.
        self.trust().verifier.verify_client_cert(certificate, &[], now)
    }

    /// Makes a new root. Blocks.
    ///
    /// # Errors
    /// [`AuthorityError`]. The roots are unchanged then.
    pub fn rotate(&self, overlap: Overlap, now: UnixTime) -> Result<(), AuthorityError> {
        self.change(|roots| rotate(&self.settings, roots, overlap, now))
    }

    /// Takes over what another process or another gateway has changed. Blocks. Returns `true` if
    /// the roots have changed.
    ///
    /// # Errors
    /// [`AuthorityError`]. The roots in use stay then.
    pub fn read_again(&self) -> Result<bool, AuthorityError> {
        let before = self.trust();
        if self.is_changed()? {
            self.change(|_| Ok(()))?;
        }
        Ok(self.trust().roots != before.roots)
    }

    /// Reads what others have changed, drops the roots whose certificates have all ended, and makes
    /// a new root if one is due. Blocks. The caller leaves it out while the clock is not good,
    /// because none of this can be taken back. Returns `true` if the roots have changed.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn tend(&self, now: UnixTime) -> Result<bool, AuthorityError> {
        let before = self.trust();
        let is_due =
            before.newest().is_due(now) || before.roots.iter().any(|root| root.is_retired(now));
        if is_due || self.is_changed()? {
            // Decided anew from what is written: somebody else may have done it meanwhile.
            self.change(|roots| {
                roots.retain(|root| !root.is_retired(now));
                match roots.last() {
                    Some(newest) if !newest.is_due(now) => Ok(()),
                    Some(_) | None => rotate(&self.settings, roots, Overlap::UntilLeavesEnd, now),
                }
            })?;
        }
        Ok(self.trust().roots != before.roots)
    }

    /// Returns `true` if what is written is not what the roots in use were read from.
    fn is_changed(&self) -> Result<bool, AuthorityError> {
        let Some(storage) = &self.storage else { return Ok(false) };
        let written = storage.sealed()?;
        Ok(*self.changing.lock().unwrap_or_else(PoisonError::into_inner) != written)
    }

    /// Returns the revocation lists of all trusted roots, with these serial numbers and the times
    /// of their revocation.
    ///
    /// # Errors
    /// [`AuthorityError::NotSigned`].
    pub fn revocation_lists(
        &self,
        revoked: &[(Serial, UnixTime)],
        now: UnixTime,
    ) -> Result<RevocationLists, AuthorityError> {
        let trust = self.trust();
        let newest = trust.newest().sign_list(revoked, now)?;
        let older = trust.roots.iter().rev().skip(1).map(|root| root.sign_list(revoked, now));
        Ok(RevocationLists {
            newest,
            older: older.collect::<Result<_, _>>()?,
            revoked: revoked.len(),
            next_update: now.after(LIST_LIVES),
        })
    }

    fn change(
        &self,
        decide: impl Fn(&mut Vec<Root>) -> Result<(), AuthorityError>,
    ) -> Result<(), AuthorityError> {
        let mut known = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.trust();
        let (roots, sealed) = change(self.storage.as_ref(), &held.roots, decide)?;
        // The verifier comes first: if it cannot be made, the roots in use stay.
        let trust = Arc::new(Trust::new(roots)?);
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = trust;
        // The text is remembered last, so that a failure above is tried again by the next look.
        *known = sealed;
        Ok(())
    }
}

/// Opens the directory of this gateway's own files, if the settings name one.
fn own_directory(
    settings: &CertificateSettings,
    key: &Secret<32>,
) -> Result<Option<CaDirectory>, AuthorityError> {
    let seal = || StoreKey(Secret::new(*key.expose()));
    let at = |path: &Path| CaDirectory::open(path, seal());
    settings.directory.as_deref().map(at).transpose()
}

/// Carries out a change of the roots. It starts from what is written, so that no change of others is
/// lost: under the lock of a directory, or anew if another gateway of the registry was faster.
/// Returns the roots and the sealed text.
fn change(
    storage: Option<&RootsStorage>,
    held: &[Root],
    decide: impl Fn(&mut Vec<Root>) -> Result<(), AuthorityError>,
) -> Result<(Vec<Root>, Option<Vec<u8>>), AuthorityError> {
    let Some(storage) = storage else {
        let mut roots = held.to_vec();
        decide(&mut roots)?;
        return Ok((roots, None));
    };
    for _ in 0..MOST_CONFLICTS {
        let _lock = storage.lock()?;
        let written = storage.sealed()?;
        let before = match &written {
            Some(sealed) => storage.roots(sealed)?,
            // Somebody removed them. What is in use is written again.
            None => held.to_vec(),
        };
        let mut roots = before.clone();
        decide(&mut roots)?;
        // Sealing anew would look like a change to others, who compare the sealed bytes.
        let sealed = match written {
            Some(sealed) if roots == before => Some(sealed),
            written @ (Some(_) | None) => storage.replace(written, &roots)?,
        };
        let Some(sealed) = sealed else { continue };
        // A power cut before this leaves the public file old until the next start.
        storage.publish(&roots)?;
        return Ok((roots, Some(sealed)));
    }
    Err(AuthorityError::Contended)
}

/// Adds a new root. The newest one so far retires with the last certificate that it signed.
fn rotate(
    settings: &CertificateSettings,
    roots: &mut Vec<Root>,
    overlap: Overlap,
    now: UnixTime,
) -> Result<(), AuthorityError> {
    match overlap {
        Overlap::None => roots.clear(),
        Overlap::UntilLeavesEnd => {
            if let Some(newest) = roots.last_mut() {
                newest.retires_at = Some(now.after(newest.longest_leaf).min(newest.not_after));
            }
            roots.retain(|root| !root.is_retired(now));
        }
    }
    if roots.len() >= MOST_ROOTS {
        return Err(AuthorityError::ManyRoots(roots.len()));
    }
    roots.push(Root::make(settings, now)?);
    Ok(())
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("settings", &self.settings).finish_non_exhaustive()
    }
}
