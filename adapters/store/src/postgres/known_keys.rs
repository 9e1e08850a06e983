//! Statements for the gateway's static key as each node knows it.

use crate::value::params;
use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;

use super::tx::PostgresTx;
use crate::KeyCounts;
use crate::ops::{KnownKeyRows, RowResult};

impl KnownKeyRows for PostgresTx<'_> {
    fn set_known_key(&mut self, id: NodeId, key: &PublicKey) -> RowResult<()> {
        let sql = "INSERT INTO known_key (node_id, key) SELECT node_id, $2::bytea FROM node WHERE node_id = $1
                   ON CONFLICT (node_id) DO UPDATE SET key = excluded.key WHERE known_key.key <> excluded.key";
        self.execute(sql, params![id.as_bytes(), key.as_bytes()])?;
        Ok(())
    }

    fn count_known_key(&mut self, key: &PublicKey) -> RowResult<KeyCounts> {
        let sql = "SELECT count(known_key.key), count(*) - count(known_key.key)
                   FROM node LEFT JOIN known_key
                       ON known_key.node_id = node.node_id AND known_key.key = $1
                   WHERE static_key IS NOT NULL AND standing <> 'revoked' AND standing IN ('paired', 'muted')";
        self.one(sql, params![key.as_bytes()], |row| {
            let [know, lack] = [row.get::<_, i64>(0)?, row.get::<_, i64>(1)?];
            Ok(KeyCounts { know: know.unsigned_abs(), lack: lack.unsigned_abs() })
        })
    }
}
