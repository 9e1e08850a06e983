//! Statements for the audit log.

use crate::value::params;
use handfast_core::NodeId;
use handfast_core::crypto::{labels, sha256};
use handfast_core::registry::audit_tree::{Hash, Subtree};

use super::tx::PostgresTx;
use crate::ops::{AuditRows, Meant, RowResult};
use crate::rows::most;
use crate::{SenderName, StoreError};

impl AuditRows for PostgresTx<'_> {
    fn audit_size(&mut self) -> RowResult<u64> {
        // The last entry of an index, so it costs the same however long the log is.
        let size = "SELECT coalesce(max(number) + 1, 0) FROM audit";
        Ok(self.one(size, params![], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    fn add_audit_entry(&mut self, number: u64, leaf: &Hash, line: &str) -> RowResult<()> {
        let sql = "INSERT INTO audit (number, leaf, line) VALUES ($1, $2, $3)";
        self.execute(sql, params![place(number)?, leaf, line])?;
        Ok(())
    }

    fn audit_entry(&mut self, number: u64) -> RowResult<Option<(String, Hash)>> {
        let sql = "SELECT line, leaf FROM audit WHERE number = $1";
        self.find(sql, params![place(number)?], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn audit_lines(&mut self, from: u64, limit: usize) -> RowResult<Vec<String>> {
        let sql = "SELECT line FROM audit WHERE number >= $1 ORDER BY number LIMIT $2";
        self.all(sql, params![place(from)?, most(limit)], |row| row.get(0))
    }

    fn audit_lines_of(&mut self, id: NodeId, before: u64, limit: usize) -> RowResult<Vec<String>> {
        // A number from a request may lie beyond those that a column holds.
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let sql = "SELECT line FROM audit
                   WHERE node = $1 AND number < $2 ORDER BY number DESC LIMIT $3";
        self.all(sql, params![id.to_string(), before, most(limit)], |row| row.get(0))
    }

    fn audit_hash(&mut self, Subtree { level, index }: Subtree) -> RowResult<Option<Hash>> {
        let index = place(index)?;
        match level {
            0 => self
                .find("SELECT leaf FROM audit WHERE number = $1", params![index], |row| row.get(0)),
            _ => {
                let sql = "SELECT hash FROM audit_subtree WHERE level = $1 AND place = $2";
                self.find(sql, params![level, index], |row| row.get(0))
            }
        }
    }

    fn set_audit_hash(&mut self, subtree: Subtree, hash: &Hash) -> RowResult<()> {
        let Subtree { level, index } = subtree;
        // A log whose end was cut off goes on; a checkpoint from before shows the cut.
        let sql = "INSERT INTO audit_subtree (level, place, hash) VALUES ($1, $2, $3)
                   ON CONFLICT (level, place) DO UPDATE SET hash = excluded.hash";
        self.execute(sql, params![level, place(index)?, hash])?;
        Ok(())
    }

    fn sender_reference(&mut self, name: &SenderName) -> RowResult<Hash> {
        let SenderName { channel, account, sender } = name;
        let sql = "SELECT reference FROM audit_sender WHERE channel = $1 AND account = $2 AND sender = $3";
        if let Some(found) = self.find(sql, params![channel, account, sender], |row| row.get(0))? {
            return Ok(found);
        }
        // Without these bytes, which are removed with the name, nobody can try names.
        let salt: [u8; 16] = self.one("SELECT substring(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) FOR 16)", params![], |row| row.get(0))?;
        let parts = [&salt, channel.as_bytes(), account.as_bytes(), sender.as_bytes()];
        let reference = sha256::hash_parts(labels::AUDIT_SENDER, &parts);
        let sql = "INSERT INTO audit_sender (reference, salt, channel, account, sender) VALUES ($1, $2, $3, $4, $5)";
        self.execute(sql, params![reference, salt, channel, account, sender])?;
        Ok(reference)
    }

    fn referred_sender(&mut self, reference: &Hash) -> RowResult<Option<SenderName>> {
        let sql = "SELECT channel, account, sender FROM audit_sender WHERE reference = $1";
        self.find(sql, params![reference], |row| {
            Ok(SenderName { channel: row.get(0)?, account: row.get(1)?, sender: row.get(2)? })
        })
    }

    fn forget_references(&mut self, (channel, account, sender): Meant<'_>) -> RowResult<Vec<Hash>> {
        let sql = "SELECT reference FROM audit_sender
                   WHERE channel = $1 AND sender = $3 AND ($2::text IS NULL OR account = $2)
                   ORDER BY account";
        let found: Vec<Hash> =
            self.all(sql, params![channel, account, sender], |row| row.get(0))?;
        for reference in &found {
            self.execute("DELETE FROM audit_sender WHERE reference = $1", params![reference])?;
        }
        Ok(found)
    }
}

/// Converts the number of an entry. Nobody writes so many that one does not fit.
fn place(number: u64) -> RowResult<i64> {
    i64::try_from(number)
        .map_err(|_| StoreError::Database(format!("no entry has the number {number}")))
}
