//! The rows of replacements, by the node whose place was taken.

use handfast_core::{NodeId, UnixTime};

use super::MemoryTx;
use crate::Replacement;
use crate::ops::{ReplacementRows, RowResult};

impl ReplacementRows for MemoryTx {
    fn add_replacement(&mut self, old: NodeId, new: NodeId, now: UnixTime) -> RowResult<bool> {
        let has = self.replacements.values().any(|row| row.node_id == new);
        Ok(!has && self.replacements.add(old, Replacement { node_id: new, at: now }))
    }

    fn predecessor(&mut self, new: NodeId) -> RowResult<Option<Replacement>> {
        let found = self.replacements.iter().find(|(_, row)| row.node_id == new);
        Ok(found.map(|(old, row)| Replacement { node_id: *old, at: row.at }))
    }

    fn successor(&mut self, old: NodeId) -> RowResult<Option<Replacement>> {
        Ok(self.replacements.get(&old).copied())
    }

    fn move_dispatches(&mut self, from: NodeId, to: NodeId) -> RowResult<()> {
        self.dispatches.change_all(
            |_, row| row.stored.task.node_id == from,
            |row| row.stored.task.node_id = to,
        );
        Ok(())
    }
}
