//! Certificates: issued, confirmed, used, superseded and revoked.

use async_trait::async_trait;
use handfast_core::flow::identity::certificate::{
    Certificate, CertificateState, NodeStanding, evicted,
};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::{NodeId, UnixTime};

use super::{Database, Decided, RowResult, Tx};
use crate::audit::{Detail, Entry, What};
use crate::{
    Allowed, CertificateFilter, Certificates, Issuing, NotStored, RevokedCertificates, SaveError,
    StoreError, StoredCertificate, rules,
};

/// The rows of certificates, revoked keys, and nodes' epochs.
///
/// A certificate is current while its state is issued or delivered, whatever its times say.
pub(crate) trait CertificateRows {
    /// Returns a certificate.
    fn certificate(&mut self, serial: &Serial) -> RowResult<Option<StoredCertificate>>;

    /// Returns the newest certificate with this fingerprint.
    fn certificate_by_fingerprint(
        &mut self,
        fingerprint: &[u8; 32],
    ) -> RowResult<Option<StoredCertificate>>;

    /// Returns the certificates of a node, the highest number first.
    fn certificates_of(&mut self, id: NodeId, limit: usize) -> RowResult<Vec<StoredCertificate>>;

    /// Returns the current certificates of a node, the highest number first.
    fn current_of(&mut self, id: NodeId) -> RowResult<Vec<StoredCertificate>>;

    /// Returns the certificates that pass the filter, ordered by serial number, after this one.
    fn certificates_after(
        &mut self,
        filter: CertificateFilter,
        after: Option<Serial>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<StoredCertificate>>;

    /// Returns all live certificates that can be read, with the standings of their nodes.
    fn allowed(&mut self, now: UnixTime) -> RowResult<Vec<Allowed>>;

    /// Returns the highest number of a node's certificates; 0 without any.
    fn last_number(&mut self, id: NodeId) -> RowResult<u64>;

    /// Counts the certificates that were issued to a node after this time.
    fn issued_since(&mut self, id: NodeId, since: UnixTime) -> RowResult<u32>;

    /// Adds a certificate; `false` if its serial number, or its number of the node, is taken.
    fn add_certificate(&mut self, certificate: &StoredCertificate) -> RowResult<bool>;

    /// Sets the state of a certificate, and the time at which it was superseded or revoked.
    fn set_certificate(
        &mut self,
        serial: &Serial,
        state: CertificateState,
        ended: Option<UnixTime>,
    ) -> RowResult<()>;

    /// Revokes the current ones of these certificates, even damaged ones. One that is named itself
    /// may be superseded. Returns them.
    fn revoke_certificates(
        &mut self,
        which: &RevokedCertificates,
        now: UnixTime,
    ) -> RowResult<Vec<Serial>>;

    /// Removes at most `most` certificates that ended before this time, the earliest first.
    fn forget_certificates(&mut self, before: UnixTime, most: u32) -> RowResult<()>;

    /// Supersedes the current certificates that were issued after this time: those of this run, or
    /// of every run. Returns their number.
    fn supersede_issued_after(&mut self, latest: UnixTime, every_run: bool) -> RowResult<u64>;

    /// Adds a revoked key, if it is none yet.
    fn revoke_certificate_key(&mut self, key: &KeyHash, now: UnixTime) -> RowResult<()>;

    /// Returns `true` if the key is revoked.
    fn is_certificate_key_revoked(&mut self, key: &KeyHash) -> RowResult<bool>;

    /// Returns a node's epoch, and `true` beside it if the node is paired or muted.
    fn node_standing(&mut self, id: NodeId) -> RowResult<Option<NodeStanding>>;

    /// Sets a node's epoch.
    fn set_epoch(&mut self, id: NodeId, epoch: u32) -> RowResult<()>;
}

/// Number of certificates up to which a list of them counts as a few rows.
const SHORT_LIST: usize = 16;

pub(super) fn issuing(
    tx: &mut dyn Tx,
    id: NodeId,
    now: UnixTime,
) -> Result<Option<Issuing>, StoreError> {
    let Some(NodeStanding { epoch, .. }) = tx.node_standing(id)? else { return Ok(None) };
    Ok(Some(Issuing {
        number: tx.last_number(id)?.saturating_add(1),
        epoch,
        of_today: tx.issued_since(id, rules::a_day_before(now))?,
    }))
}

pub(super) fn issue(
    tx: &mut dyn Tx,
    stored: &StoredCertificate,
    now: UnixTime,
) -> Result<Decided<Result<(), NotStored>>, StoreError> {
    let issued = try_issue(tx, stored, now)?;
    let certificate = &stored.certificate;
    let details = [
        Detail::Node(certificate.node_id),
        Detail::Certificate(certificate.serial),
        Detail::Until(certificate.not_after),
    ];
    Ok(match issued {
        Ok(()) => Decided::by(issued, Entry::new(What::IssueCertificate, details).at(now)),
        Err(_) => Decided::nothing(issued),
    })
}

fn try_issue(
    tx: &mut dyn Tx,
    stored: &StoredCertificate,
    now: UnixTime,
) -> Result<Result<(), NotStored>, StoreError> {
    let certificate = &stored.certificate;
    let id = certificate.node_id;
    let Some(NodeStanding { epoch, may_link: true }) = tx.node_standing(id)? else {
        return Ok(Err(NotStored::NotPaired));
    };
    // Signing took place outside of this transaction, so what it was made from may be outdated.
    if certificate.epoch != epoch
        || certificate.number != tx.last_number(id)?.saturating_add(1)
        || certificate.state != CertificateState::Issued
    {
        return Ok(Err(NotStored::Changed));
    }
    if tx.is_certificate_key_revoked(&certificate.key)? {
        return Ok(Err(NotStored::KeyRevoked));
    }
    tx.forget_certificates(rules::oldest_certificate(now), rules::PURGE)?;
    if !tx.add_certificate(stored)? {
        return Ok(Err(NotStored::SerialTaken));
    }
    for older in tx.current_of(id)?.iter().skip(rules::CERTIFICATES_OF_A_NODE) {
        let Certificate { serial, state, .. } = &older.certificate;
        tx.set_certificate(serial, state.superseded(), Some(now))?;
    }
    Ok(Ok(()))
}

pub(super) fn confirm(tx: &mut dyn Tx, id: NodeId, serial: &Serial) -> Result<bool, StoreError> {
    let Some(stored) = tx.certificate(serial)?.filter(|it| it.certificate.node_id == id) else {
        return Ok(false);
    };
    let state = stored.certificate.state;
    if state != state.confirmed() {
        tx.set_certificate(serial, state.confirmed(), stored.ended)?;
    }
    Ok(state.confirmed() == CertificateState::Delivered)
}

/// Confirms one of a node's newest certificates by its number.
pub(super) fn confirm_number(tx: &mut dyn Tx, id: NodeId, number: u64) -> Result<(), StoreError> {
    let mut newest = tx.certificates_of(id, SHORT_LIST)?.into_iter().map(|it| it.certificate);
    match newest.find(|certificate| certificate.number == number) {
        Some(Certificate { serial, .. }) => confirm(tx, id, &serial).map(drop),
        None => Ok(()),
    }
}

pub(super) fn used(
    tx: &mut dyn Tx,
    serial: &Serial,
    now: UnixTime,
) -> Result<Vec<Serial>, StoreError> {
    let Some(used) = tx.certificate(serial)?.map(|stored| stored.certificate) else {
        return Ok(Vec::new());
    };
    // One that was superseded or revoked meanwhile supersedes nothing.
    if !used.state.is_live() {
        return Ok(Vec::new());
    }
    let mut superseded = Vec::new();
    for StoredCertificate { certificate, .. } in tx.current_of(used.node_id)? {
        let state = certificate.after_use_of(&used);
        if state == certificate.state {
            continue;
        }
        let ended = (!state.is_live()).then_some(now);
        tx.set_certificate(&certificate.serial, state, ended)?;
        superseded.extend(ended.map(|_| certificate.serial));
    }
    Ok(superseded)
}

pub(super) fn revoke(
    tx: &mut dyn Tx,
    which: &RevokedCertificates,
    now: UnixTime,
) -> Result<Decided<Vec<Serial>>, StoreError> {
    if let RevokedCertificates::Key(key) = which {
        tx.revoke_certificate_key(key, now)?;
    }
    let revoked = tx.revoke_certificates(which, now)?;
    let which = match which {
        RevokedCertificates::Node(id) => Detail::Node(*id),
        RevokedCertificates::Serial(serial) => Detail::Certificate(*serial),
        RevokedCertificates::Key(key) => Detail::CertificateKey(*key),
        RevokedCertificates::Before(before) => Detail::Before(*before),
    };
    let details = [which, Detail::Count(revoked.len() as u64)];
    Ok(Decided::by(revoked, Entry::new(What::RevokeCertificates, details).at(now)))
}

fn evict(tx: &mut dyn Tx, id: NodeId, from: u32) -> Result<Decided<u32>, SaveError> {
    let NodeStanding { epoch, .. } = tx.node_standing(id)?.ok_or(SaveError::Missing)?;
    if epoch != from {
        return Ok(Decided::nothing(epoch));
    }
    let epoch = evicted(from);
    tx.set_epoch(id, epoch)?;
    Ok(Decided::by(epoch, Entry::new(What::Evict, [Detail::Node(id)])))
}

#[async_trait]
impl<D: Database> Certificates for D {
    async fn issuing(&self, node_id: NodeId, now: UnixTime) -> Result<Option<Issuing>, StoreError> {
        self.point(move |tx| issuing(tx, node_id, now)).await
    }

    async fn issue(
        &self,
        certificate: StoredCertificate,
        now: UnixTime,
    ) -> Result<Result<(), NotStored>, StoreError> {
        self.decide(move |tx| issue(tx, &certificate, now)).await
    }

    async fn confirm_certificate(
        &self,
        node_id: NodeId,
        serial: Serial,
    ) -> Result<bool, StoreError> {
        self.change(move |tx| confirm(tx, node_id, &serial)).await
    }

    async fn certificate_used(
        &self,
        serial: Serial,
        now: UnixTime,
    ) -> Result<Vec<Serial>, StoreError> {
        self.change(move |tx| used(tx, &serial, now)).await
    }

    async fn revoke_certificates(
        &self,
        which: RevokedCertificates,
        now: UnixTime,
    ) -> Result<Vec<Serial>, StoreError> {
        self.decide(move |tx| revoke(tx, &which, now)).await
    }

    async fn is_certificate_key_revoked(&self, key: KeyHash) -> Result<bool, StoreError> {
        self.point(move |tx| tx.is_certificate_key_revoked(&key)).await
    }

    async fn evict(&self, node_id: NodeId, from: u32) -> Result<u32, SaveError> {
        self.decide(move |tx| evict(tx, node_id, from)).await
    }

    async fn allow_list(&self, now: UnixTime) -> Result<Vec<Allowed>, StoreError> {
        self.page(move |tx| tx.allowed(now)).await
    }

    async fn node_standing(&self, node_id: NodeId) -> Result<Option<NodeStanding>, StoreError> {
        self.point(move |tx| tx.node_standing(node_id)).await
    }

    async fn certificate(&self, serial: Serial) -> Result<Option<StoredCertificate>, StoreError> {
        self.point(move |tx| tx.certificate(&serial)).await
    }

    async fn certificate_by_fingerprint(
        &self,
        fingerprint: [u8; 32],
    ) -> Result<Option<StoredCertificate>, StoreError> {
        self.point(move |tx| tx.certificate_by_fingerprint(&fingerprint)).await
    }

    async fn certificates_of(
        &self,
        node_id: NodeId,
        limit: usize,
    ) -> Result<Vec<StoredCertificate>, StoreError> {
        match limit {
            // A few rows by their key are no page: to hand them to another thread costs more.
            ..=SHORT_LIST => self.point(move |tx| tx.certificates_of(node_id, limit)).await,
            _ => self.page(move |tx| tx.certificates_of(node_id, limit)).await,
        }
    }

    async fn certificates(
        &self,
        filter: CertificateFilter,
        after: Option<Serial>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<StoredCertificate>, StoreError> {
        self.page(move |tx| tx.certificates_after(filter, after, limit, now)).await
    }
}
