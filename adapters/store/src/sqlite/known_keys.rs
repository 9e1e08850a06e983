//! Statements for the gateway's static key as each node knows it.

use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;
use rusqlite::params;

use super::tx::SqliteTx;
use crate::KeyCounts;
use crate::ops::{KnownKeyRows, RowResult};

impl KnownKeyRows for SqliteTx<'_> {
    fn set_known_key(&mut self, id: NodeId, key: &PublicKey) -> RowResult<()> {
        let sql = "INSERT INTO known_key (node_id, key) SELECT node_id, ?2 FROM node WHERE node_id = ?1
                   ON CONFLICT (node_id) DO UPDATE SET key = excluded.key WHERE key <> excluded.key";
        self.execute(sql, params![id.as_bytes(), key.as_bytes()])?;
        Ok(())
    }

    fn count_known_key(&mut self, key: &PublicKey) -> RowResult<KeyCounts> {
        let sql = "SELECT count(known_key.key), count(*) - count(known_key.key)
                   FROM node INDEXED BY node_keyed LEFT JOIN known_key
                       ON known_key.node_id = node.node_id AND known_key.key = ?1
                   WHERE static_key IS NOT NULL AND standing <> 'revoked' AND standing IN ('paired', 'muted')";
        let counts = self
            .one(sql, [key.as_bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        Ok(KeyCounts { know: counts.0.unsigned_abs(), lack: counts.1.unsigned_abs() })
    }
}
