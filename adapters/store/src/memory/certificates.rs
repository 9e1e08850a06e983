//! The rows of certificates, revoked keys, and nodes' epochs.

use handfast_core::flow::identity::certificate::{CertificateState, NodeStanding};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::registry::record::Standing;
use handfast_core::{NodeId, UnixTime};

use super::MemoryTx;
use crate::ops::{CertificateRows, RowResult};
use crate::{Allowed, CertificateFilter, RevokedCertificates, StoredCertificate};

/// A certificate, the order in which it came, and the run that issued it.
#[derive(Clone, Debug)]
pub(super) struct CertificateRow {
    pub(super) stored: StoredCertificate,
    pub(super) place: usize,
    pub(super) run: u64,
}

impl CertificateRow {
    pub(super) const fn is_current(&self) -> bool {
        self.stored.certificate.state.is_live()
    }

    /// Returns the time at which the certificate ends or ended.
    fn end(&self) -> UnixTime {
        let not_after = self.stored.certificate.not_after;
        self.stored.ended.map_or(not_after, |ended| ended.min(not_after))
    }

    pub(super) fn put_out(&mut self, state: CertificateState, now: UnixTime) {
        self.stored.certificate.state = state;
        self.stored.ended.get_or_insert(now);
    }
}

impl MemoryTx {
    fn certificates_such(&self, such: impl Fn(&CertificateRow) -> bool) -> Vec<StoredCertificate> {
        let rows = self.certificates.values().filter(|row| such(row));
        rows.map(|row| row.stored.clone()).collect()
    }
}

fn newest_first(mut certificates: Vec<StoredCertificate>) -> Vec<StoredCertificate> {
    certificates.sort_by_key(|it| std::cmp::Reverse(it.certificate.number));
    certificates
}

impl CertificateRows for MemoryTx {
    fn certificate(&mut self, serial: &Serial) -> RowResult<Option<StoredCertificate>> {
        Ok(self.certificates.get(serial).map(|row| row.stored.clone()))
    }

    fn certificate_by_fingerprint(
        &mut self,
        fingerprint: &[u8; 32],
    ) -> RowResult<Option<StoredCertificate>> {
        let such = self.certificates.values().filter(|row| row.stored.fingerprint == *fingerprint);
        Ok(such.max_by_key(|row| row.place).map(|row| row.stored.clone()))
    }

    fn certificates_of(&mut self, id: NodeId, limit: usize) -> RowResult<Vec<StoredCertificate>> {
        let mut found =
            newest_first(self.certificates_such(|row| row.stored.certificate.node_id == id));
        found.truncate(limit);
        Ok(found)
    }

    fn current_of(&mut self, id: NodeId) -> RowResult<Vec<StoredCertificate>> {
        let such = |row: &CertificateRow| row.stored.certificate.node_id == id && row.is_current();
        Ok(newest_first(self.certificates_such(such)))
    }

    fn certificates_after(
        &mut self,
        filter: CertificateFilter,
        after: Option<Serial>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<StoredCertificate>> {
        let mut found = self.certificates_such(|row| {
            let is_listed = match filter {
                CertificateFilter::Live => row.stored.is_live(now),
                CertificateFilter::All => true,
            };
            let serial = row.stored.certificate.serial;
            is_listed && after.is_none_or(|after| serial > after)
        });
        found.truncate(limit);
        Ok(found)
    }

    fn allowed(&mut self, now: UnixTime) -> RowResult<Vec<Allowed>> {
        let live = self.certificates_after(CertificateFilter::Live, None, usize::MAX, now)?;
        let mut allowed = Vec::new();
        for StoredCertificate { certificate, .. } in live {
            let standing = self.node_standing(certificate.node_id)?;
            allowed.push((certificate, standing));
        }
        Ok(allowed)
    }

    fn last_number(&mut self, id: NodeId) -> RowResult<u64> {
        let of_node = self.certificates_such(|row| row.stored.certificate.node_id == id);
        Ok(of_node.iter().map(|it| it.certificate.number).max().unwrap_or(0))
    }

    fn issued_since(&mut self, id: NodeId, since: UnixTime) -> RowResult<u32> {
        let such = self.certificates_such(|row| {
            row.stored.certificate.node_id == id && row.stored.issued_at > since
        });
        Ok(u32::try_from(such.len()).unwrap_or(u32::MAX))
    }

    fn add_certificate(&mut self, stored: &StoredCertificate) -> RowResult<bool> {
        let of = &stored.certificate;
        let has_number = self.certificates.values().any(|row| {
            let other = &row.stored.certificate;
            (other.node_id, other.number) == (of.node_id, of.number)
        });
        let last = self.certificates.values().map(|row| row.place).max();
        let place = last.map_or(0, |last| last + 1);
        let row = CertificateRow { stored: stored.clone(), place, run: self.singles.run };
        Ok(!has_number && self.certificates.add(of.serial, row))
    }

    fn set_certificate(
        &mut self,
        serial: &Serial,
        state: CertificateState,
        ended: Option<UnixTime>,
    ) -> RowResult<()> {
        self.certificates.change(serial, |row| {
            row.stored.certificate.state = state;
            row.stored.ended = ended;
        });
        Ok(())
    }

    fn revoke_certificates(
        &mut self,
        which: &RevokedCertificates,
        now: UnixTime,
    ) -> RowResult<Vec<Serial>> {
        let such = |row: &CertificateRow| {
            let of = &row.stored.certificate;
            match which {
                RevokedCertificates::Node(id) => of.node_id == *id,
                RevokedCertificates::Serial(serial) => of.serial == *serial,
                RevokedCertificates::Key(key) => of.key == *key,
                RevokedCertificates::Before(time) => row.stored.issued_at < *time,
            }
        };
        let may_end = |row: &CertificateRow| match which {
            RevokedCertificates::Serial(_) => {
                row.stored.certificate.state != CertificateState::Revoked
            }
            RevokedCertificates::Node(_)
            | RevokedCertificates::Key(_)
            | RevokedCertificates::Before(_) => row.is_current(),
        };
        let serials = self.certificates.change_all(
            |_, row| may_end(row) && such(row),
            |row| row.put_out(CertificateState::Revoked, now),
        );
        Ok(serials)
    }

    fn forget_certificates(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let order = |_: &Serial, row: &CertificateRow| {
            (row.end() < before).then_some((row.end(), row.place))
        };
        for serial in self.certificates.first(most, order) {
            self.certificates.remove(&serial);
        }
        Ok(())
    }

    fn supersede_issued_after(&mut self, latest: UnixTime, every_run: bool) -> RowResult<u64> {
        let run = self.singles.run;
        let such = |row: &CertificateRow| {
            row.is_current() && row.stored.issued_at > latest && (every_run || row.run == run)
        };
        let changed = self.certificates.change_all(
            |_, row| such(row),
            |row| row.put_out(CertificateState::Superseded, latest),
        );
        Ok(changed.len() as u64)
    }

    fn revoke_certificate_key(&mut self, key: &KeyHash, now: UnixTime) -> RowResult<()> {
        self.revoked_certificate_keys.add(*key, now);
        Ok(())
    }

    fn is_certificate_key_revoked(&mut self, key: &KeyHash) -> RowResult<bool> {
        Ok(self.revoked_certificate_keys.has(key))
    }

    fn node_standing(&mut self, id: NodeId) -> RowResult<Option<NodeStanding>> {
        Ok(self.nodes.get(&id).map(|node| NodeStanding {
            epoch: node.epoch,
            may_link: matches!(
                node.entry.record.standing,
                Standing::Paired { .. } | Standing::Muted { .. }
            ),
        }))
    }

    fn set_epoch(&mut self, id: NodeId, epoch: u32) -> RowResult<()> {
        self.nodes.change(&id, |node| node.epoch = epoch);
        Ok(())
    }
}
