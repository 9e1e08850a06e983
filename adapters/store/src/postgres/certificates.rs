//! The rows of certificates, revoked keys, and nodes' epochs.

use crate::value::params;
use handfast_core::flow::identity::certificate::{Certificate, CertificateState, NodeStanding};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::{NodeId, UnixTime};

use super::tx::{PostgresTx, Row};
use crate::ops::{CertificateRows, RowResult};
use crate::rows::certificates::{node_standing, stored, unreadable, whole};
use crate::rows::{integer, most};
use crate::{Allowed, CertificateFilter, RevokedCertificates, StoredCertificate};

impl CertificateRows for PostgresTx<'_> {
    fn certificate(&mut self, serial: &Serial) -> RowResult<Option<StoredCertificate>> {
        let sql = "SELECT * FROM certificate WHERE serial = $1";
        self.find(sql, params![serial.as_bytes()], stored)?.transpose().map_err(unreadable)
    }

    fn certificate_by_fingerprint(
        &mut self,
        fingerprint: &[u8; 32],
    ) -> RowResult<Option<StoredCertificate>> {
        let sql = "SELECT * FROM certificate
                   WHERE fingerprint = $1 ORDER BY seq DESC LIMIT 1";
        self.find(sql, params![fingerprint], stored)?.transpose().map_err(unreadable)
    }

    fn certificates_of(&mut self, id: NodeId, limit: usize) -> RowResult<Vec<StoredCertificate>> {
        let sql = "SELECT * FROM certificate WHERE node_id = $1 ORDER BY number DESC LIMIT $2";
        whole(self.all(sql, params![id.as_bytes(), most(limit)], stored)?)
    }

    fn current_of(&mut self, id: NodeId) -> RowResult<Vec<StoredCertificate>> {
        let sql = "SELECT * FROM certificate
                   WHERE node_id = $1 AND state IN ('issued', 'delivered') ORDER BY number DESC";
        whole(self.all(sql, params![id.as_bytes()], stored)?)
    }

    fn certificates_after(
        &mut self,
        filter: CertificateFilter,
        after: Option<Serial>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<StoredCertificate>> {
        let sql = match filter {
            CertificateFilter::Live => {
                "SELECT * FROM certificate
                 WHERE state IN ('issued', 'delivered') AND serial > $1 AND not_after >= $3 ORDER BY serial LIMIT $2"
            }
            CertificateFilter::All => {
                "SELECT * FROM certificate WHERE serial > $1 AND $3::bigint IS NOT NULL ORDER BY serial LIMIT $2"
            }
        };
        // The empty blob comes before every serial number.
        let after: &[u8] = after.as_ref().map_or(&[], |serial| serial.as_bytes());
        whole(self.all(sql, params![after, most(limit), integer(now)], stored)?)
    }

    fn allowed(&mut self, now: UnixTime) -> RowResult<Vec<Allowed>> {
        let sql = "SELECT certificate.*, node.epoch AS node_epoch, standing
                   FROM certificate LEFT JOIN node USING (node_id)
                   WHERE state IN ('issued', 'delivered') AND not_after >= $1 ORDER BY serial";
        let rows = self.all(sql, params![integer(now)], |row| {
            let standing = match row.get::<_, Option<String>>("standing")? {
                Some(word) => Some(node_standing(row.get("node_epoch")?, &word)),
                None => None,
            };
            Ok(stored(row)?.map(|stored| (stored.certificate, standing)))
        })?;
        // A damaged certificate admits nobody, and must not keep the others out.
        Ok(rows.into_iter().filter_map(Result::ok).collect())
    }

    fn last_number(&mut self, id: NodeId) -> RowResult<u64> {
        let sql = "SELECT coalesce(max(number), 0) FROM certificate WHERE node_id = $1";
        let last: i64 = self.one(sql, params![id.as_bytes()], |row| row.get(0))?;
        Ok(u64::try_from(last).unwrap_or(0))
    }

    fn issued_since(&mut self, id: NodeId, since: UnixTime) -> RowResult<u32> {
        let sql = "SELECT count(*) FROM certificate WHERE node_id = $1 AND issued_at > $2";
        self.one(sql, params![id.as_bytes(), integer(since)], |row| row.get(0))
    }

    fn add_certificate(&mut self, stored: &StoredCertificate) -> RowResult<bool> {
        let StoredCertificate { certificate, issued_at, ended, fingerprint, encoded } = stored;
        let Certificate { serial, node_id, number, key, epoch, not_before, not_after, state } =
            certificate;
        let sql = "INSERT INTO certificate (serial, node_id, number, key, fingerprint, epoch, not_before, not_after, issued_at, state, out_at, der)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
        let row = params![
            serial.as_bytes(),
            node_id.as_bytes(),
            number.cast_signed(),
            key.as_bytes(),
            fingerprint,
            epoch,
            integer(*not_before),
            integer(*not_after),
            integer(*issued_at),
            state.as_str(),
            ended.map(integer),
            encoded,
        ];
        Ok(self.execute(sql, row)? == 1)
    }

    fn set_certificate(
        &mut self,
        serial: &Serial,
        state: CertificateState,
        ended: Option<UnixTime>,
    ) -> RowResult<()> {
        let sql = "UPDATE certificate SET state = $2, out_at = $3 WHERE serial = $1";
        self.execute(sql, params![serial.as_bytes(), state.as_str(), ended.map(integer)])?;
        Ok(())
    }

    fn revoke_certificates(
        &mut self,
        which: &RevokedCertificates,
        now: UnixTime,
    ) -> RowResult<Vec<Serial>> {
        const REVOKE: &str = "UPDATE certificate SET state = 'revoked', out_at = $1 WHERE state IN ('issued', 'delivered') AND";
        let now = integer(now);
        let serial = |row: &Row| row.get(0).map(|bytes: [u8; 20]| Serial::from_bytes(&bytes));
        let rows = match which {
            RevokedCertificates::Node(id) => {
                let sql = format!("{REVOKE} node_id = $2 RETURNING serial");
                self.all(&sql, params![now, id.as_bytes()], serial)
            }
            RevokedCertificates::Serial(of) => {
                let sql = "UPDATE certificate SET state = 'revoked', out_at = coalesce(out_at, $1)
                           WHERE state <> 'revoked' AND serial = $2 RETURNING serial";
                self.all(sql, params![now, of.as_bytes()], serial)
            }
            RevokedCertificates::Key(key) => {
                let sql = format!("{REVOKE} key = $2 RETURNING serial");
                self.all(&sql, params![now, key.as_bytes()], serial)
            }
            RevokedCertificates::Before(time) => {
                let sql = format!("{REVOKE} issued_at < $2 RETURNING serial");
                self.all(&sql, params![now, integer(*time)], serial)
            }
        };
        // A damaged number names no certificate that could be linked with.
        Ok(rows?.into_iter().flatten().collect())
    }

    fn forget_certificates(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM certificate WHERE seq IN (SELECT seq FROM certificate
                   WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn supersede_issued_after(&mut self, latest: UnixTime, every_run: bool) -> RowResult<u64> {
        let sql = "UPDATE certificate SET state = 'superseded', out_at = $1 WHERE state IN ('issued', 'delivered') AND issued_at > $1
                   AND (run = this_run() OR ($2 AND run_is_over(run, this_run())))";
        Ok(self.execute(sql, params![integer(latest), every_run])? as u64)
    }

    fn revoke_certificate_key(&mut self, key: &KeyHash, now: UnixTime) -> RowResult<()> {
        let sql = "INSERT INTO revoked_certificate_key VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, params![key.as_bytes(), integer(now)])?;
        Ok(())
    }

    fn is_certificate_key_revoked(&mut self, key: &KeyHash) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM revoked_certificate_key WHERE key = $1)";
        self.one(sql, params![key.as_bytes()], |row| row.get(0))
    }

    fn node_standing(&mut self, id: NodeId) -> RowResult<Option<NodeStanding>> {
        let sql = "SELECT epoch, standing FROM node WHERE node_id = $1";
        self.find(sql, params![id.as_bytes()], |row| {
            Ok(node_standing(row.get(0)?, &row.get::<_, String>(1)?))
        })
    }

    fn set_epoch(&mut self, id: NodeId, epoch: u32) -> RowResult<()> {
        let sql = "UPDATE node SET epoch = $2 WHERE node_id = $1";
        self.execute(sql, params![id.as_bytes(), epoch])?;
        Ok(())
    }
}
