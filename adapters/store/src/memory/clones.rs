//! The rows of clone counters.

use std::ops::Bound;

use handfast_core::NodeId;

use super::MemoryTx;
use crate::StoredCounter;
use crate::ops::{CloneRows, RowResult};

impl CloneRows for MemoryTx {
    fn counter(&mut self, id: NodeId) -> RowResult<Option<StoredCounter>> {
        Ok(self.counters.get(&id).copied())
    }

    fn set_counter(&mut self, id: NodeId, counter: &StoredCounter) -> RowResult<()> {
        if self.nodes.has(&id) {
            self.counters.put(id, *counter);
        }
        Ok(())
    }

    fn quarantined_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<(NodeId, StoredCounter)>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.counters.range((from, Bound::Unbounded));
        let quarantined = rows.filter(|(_, it)| it.counter.is_quarantined());
        Ok(quarantined.take(limit).map(|(id, it)| (*id, *it)).collect())
    }
}
