//! Certificates of nodes: those in force, and for a while those that have ended.

use async_trait::async_trait;
use handfast_core::flow::identity::certificate::{Certificate, NodeStanding};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::{NodeId, UnixTime};

use crate::{SaveError, StoreError};

/// A certificate as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    /// The state that decides who links with it.
    pub certificate: Certificate,
    /// Time at which it was issued; its validity begins a little earlier.
    pub issued_at: UnixTime,
    /// Time at which it was superseded or revoked.
    pub ended: Option<UnixTime>,
    /// SHA-256 of the encoded certificate: a name for operators, which decides nothing.
    pub fingerprint: [u8; 32],
    /// The encoded certificate: DER, or the compact form.
    pub encoded: Vec<u8>,
}

impl StoredCertificate {
    /// Returns `true` if the certificate is neither superseded nor revoked nor over by now.
    #[must_use]
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.certificate.state.is_live() && self.certificate.not_after >= now
    }
}

/// What a new certificate of a node is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuing {
    /// The number of the next certificate.
    pub number: u64,
    /// The node's epoch.
    pub epoch: u32,
    /// Number of certificates that were issued to the node in the last 24 hours.
    pub of_today: u32,
}

/// The reason for which a certificate was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// The node is unknown, or neither paired nor muted.
    #[error("the node is not paired")]
    NotPaired,
    /// The node's epoch or its next number has changed meanwhile: ask again and sign anew.
    #[error("another certificate of the node was issued or revoked meanwhile")]
    Changed,
    /// The key was revoked.
    #[error("the certificate's key is revoked")]
    KeyRevoked,
    /// The serial number is taken.
    #[error("the serial number is taken")]
    SerialTaken,
}

/// The certificates that a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevokedCertificates {
    /// All of a node's certificates.
    Node(NodeId),
    /// One certificate.
    Serial(Serial),
    /// All certificates with this key. The key gets no certificate again, for any node.
    Key(KeyHash),
    /// All certificates that were issued before this time.
    Before(UnixTime),
}

/// A filter for listing certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CertificateFilter {
    /// Certificates that are valid now, or will be.
    #[default]
    Live,
    /// All certificates, including ended ones.
    All,
}

/// A certificate and the standing of its node, for the decision during a TLS handshake.
pub type Allowed = (Certificate, Option<NodeStanding>);

/// The part of a [`Store`](crate::Store) for certificates.
///
/// A node has at most 16 live certificates; a newer one supersedes the oldest. Certificates that
/// ended more than 400 days ago may be missing.
///
/// The times of a certificate are signed, so a step of the clock does not move them as it moves
/// everything else that the run made. Instead, [`take_over`](crate::Timekeeping::take_over) of a
/// step back supersedes what lies ahead of the new time: certificates of this run in any case, and
/// those of earlier runs if the operator set the time back. Their nodes get new ones by their keys.
/// So no certificate is valid longer than it was made for, and none becomes valid later.
#[async_trait]
pub trait Certificates: Send + Sync + 'static {
    /// Returns what the next certificate of a node is made from; `None` if there is no such node.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn issuing(&self, node_id: NodeId, now: UnixTime) -> Result<Option<Issuing>, StoreError>;

    /// Adds a certificate that was signed. Its number and epoch are those of
    /// [`issuing`](Self::issuing). Each call also removes at most 32 certificates that ended long
    /// ago.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the certificate must not leave the gateway
    /// then. The inner error is the reason for which it was not stored.
    async fn issue(
        &self,
        certificate: StoredCertificate,
        now: UnixTime,
    ) -> Result<Result<(), NotStored>, StoreError>;

    /// Records that the node has stored its certificate. Repeating the call changes nothing.
    /// `false` if the node has no such certificate, or it is superseded or revoked.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn confirm_certificate(
        &self,
        node_id: NodeId,
        serial: Serial,
    ) -> Result<bool, StoreError>;

    /// Records that a node has linked with a certificate: it counts as confirmed, and the older
    /// ones of the node are superseded. Returns those.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn certificate_used(
        &self,
        serial: Serial,
        now: UnixTime,
    ) -> Result<Vec<Serial>, StoreError>;

    /// Revokes certificates for good, regardless of the clock. Returns those that it has revoked:
    /// a superseded one only if it is named by itself.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn revoke_certificates(
        &self,
        which: RevokedCertificates,
        now: UnixTime,
    ) -> Result<Vec<Serial>, StoreError>;

    /// Returns `true` if the key gets no certificate any more.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn is_certificate_key_revoked(&self, key: KeyHash) -> Result<bool, StoreError>;

    /// Replaces a node's epoch, if it is still this one; certificates of another epoch are not
    /// valid from then on. Returns the epoch after the call. A repeated call changes nothing.
    ///
    /// # Errors
    /// [`SaveError::Missing`] if there is no such node.
    async fn evict(&self, node_id: NodeId, from: u32) -> Result<u32, SaveError>;

    /// Returns all live certificates with the standings of their nodes. This is for a gateway's
    /// start: the cost grows with the number of certificates.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read. A damaged certificate is left out, so that it admits
    /// nobody.
    async fn allow_list(&self, now: UnixTime) -> Result<Vec<Allowed>, StoreError>;

    /// Returns a node's epoch and whether it may link, as the allow-list needs them; `None` if there
    /// is no such node.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn node_standing(&self, node_id: NodeId) -> Result<Option<NodeStanding>, StoreError>;

    /// Reads a certificate, ended or not.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn certificate(&self, serial: Serial) -> Result<Option<StoredCertificate>, StoreError>;

    /// Reads the certificate with this [fingerprint](StoredCertificate::fingerprint).
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn certificate_by_fingerprint(
        &self,
        fingerprint: [u8; 32],
    ) -> Result<Option<StoredCertificate>, StoreError>;

    /// Reads the certificates of a node, the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn certificates_of(
        &self,
        node_id: NodeId,
        limit: usize,
    ) -> Result<Vec<StoredCertificate>, StoreError>;

    /// Reads a page of certificates after `after`, ordered by serial number, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn certificates(
        &self,
        filter: CertificateFilter,
        after: Option<Serial>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<StoredCertificate>, StoreError>;
}
