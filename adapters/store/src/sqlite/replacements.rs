//! The rows of replacements.

use handfast_core::{NodeId, UnixTime};
use rusqlite::{Row, params};

use super::rows::{integer, seconds};
use super::tx::SqliteTx;
use crate::Replacement;
use crate::ops::{ReplacementRows, RowResult};

impl ReplacementRows for SqliteTx<'_> {
    fn add_replacement(&mut self, old: NodeId, new: NodeId, now: UnixTime) -> RowResult<bool> {
        let sql = "INSERT INTO replacement (old_id, new_id, at) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO NOTHING";
        Ok(self.execute(sql, params![old.as_bytes(), new.as_bytes(), integer(now)])? == 1)
    }

    fn predecessor(&mut self, new: NodeId) -> RowResult<Option<Replacement>> {
        let sql = "SELECT old_id, at FROM replacement WHERE new_id = ?1";
        Ok(self.find(sql, [new.as_bytes()], replacement)?)
    }

    fn successor(&mut self, old: NodeId) -> RowResult<Option<Replacement>> {
        let sql = "SELECT new_id, at FROM replacement WHERE old_id = ?1";
        Ok(self.find(sql, [old.as_bytes()], replacement)?)
    }

    fn move_dispatches(&mut self, from: NodeId, to: NodeId) -> RowResult<()> {
        let sql = "UPDATE dispatch SET node_id = ?2 WHERE node_id = ?1";
        self.execute(sql, params![from.as_bytes(), to.as_bytes()])?;
        Ok(())
    }
}

/// Reads a replacement. The schema allows only 16 bytes as an id.
fn replacement(row: &Row<'_>) -> rusqlite::Result<Replacement> {
    let node_id = NodeId::from_bytes(row.get(0)?);
    Ok(Replacement { node_id, at: seconds(row.get(1)?) })
}
