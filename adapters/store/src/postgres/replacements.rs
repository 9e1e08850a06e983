//! The rows of replacements.

use crate::value::params;
use handfast_core::{NodeId, UnixTime};

use super::tx::PostgresTx;
use crate::Replacement;
use crate::ops::{ReplacementRows, RowResult};
use crate::rows::integer;
use crate::rows::replacements::replacement;

impl ReplacementRows for PostgresTx<'_> {
    fn add_replacement(&mut self, old: NodeId, new: NodeId, now: UnixTime) -> RowResult<bool> {
        let sql = "INSERT INTO replacement (old_id, new_id, at) VALUES ($1, $2, $3)
                   ON CONFLICT DO NOTHING";
        Ok(self.execute(sql, params![old.as_bytes(), new.as_bytes(), integer(now)])? == 1)
    }

    fn predecessor(&mut self, new: NodeId) -> RowResult<Option<Replacement>> {
        let sql = "SELECT old_id, at FROM replacement WHERE new_id = $1";
        self.find(sql, params![new.as_bytes()], replacement)
    }

    fn successor(&mut self, old: NodeId) -> RowResult<Option<Replacement>> {
        let sql = "SELECT new_id, at FROM replacement WHERE old_id = $1";
        self.find(sql, params![old.as_bytes()], replacement)
    }

    fn move_dispatches(&mut self, from: NodeId, to: NodeId) -> RowResult<()> {
        let sql = "UPDATE dispatch SET node_id = $2 WHERE node_id = $1";
        self.execute(sql, params![from.as_bytes(), to.as_bytes()])?;
        Ok(())
    }
}
