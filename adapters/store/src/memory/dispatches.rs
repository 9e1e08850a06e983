//! The rows of dispatches and of capabilities.

use std::cmp::Reverse;

use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, UnixTime};

use super::MemoryTx;
use crate::ops::{DispatchRows, RowResult, ends_by_time};
use crate::{Capability, StoredDispatch};

/// A dispatch, the order in which it came, and the run that set its deadline.
#[derive(Clone, Debug)]
pub(super) struct DispatchRow {
    pub(super) stored: StoredDispatch,
    place: usize,
    pub(super) run: u64,
}

impl DispatchRow {
    fn is_open(&self) -> bool {
        !self.stored.life.state.is_over()
    }

    fn ends_by_time(&self) -> bool {
        ends_by_time(self.stored.life.state)
    }
}

impl MemoryTx {
    fn dispatches_such(&self, such: impl Fn(&DispatchRow) -> bool) -> Vec<StoredDispatch> {
        let rows = self.dispatches.values().filter(|row| such(row));
        let mut found: Vec<_> = rows.map(|row| row.stored.clone()).collect();
        found.sort_by_key(|it| (it.task.node_id, it.life.number));
        found
    }
}

impl DispatchRows for MemoryTx {
    fn dispatch(&mut self, id: DispatchId) -> RowResult<Option<StoredDispatch>> {
        Ok(self.dispatches.get(&id).map(|row| row.stored.clone()))
    }

    fn dispatches_of(&mut self, id: NodeId, limit: usize) -> RowResult<Vec<StoredDispatch>> {
        let mut found = self.dispatches_such(|row| row.stored.task.node_id == id);
        found.reverse();
        found.truncate(limit);
        Ok(found)
    }

    fn open_dispatches(&mut self, id: Option<NodeId>) -> RowResult<Vec<StoredDispatch>> {
        let of = |row: &DispatchRow| id.is_none_or(|id| row.stored.task.node_id == id);
        Ok(self.dispatches_such(|row| row.is_open() && of(row)))
    }

    fn last_dispatch(&mut self, id: NodeId) -> RowResult<Option<u64>> {
        let of_node = self.dispatches_such(|row| row.stored.task.node_id == id);
        Ok(of_node.last().map(|last| last.life.number))
    }

    fn add_dispatch(&mut self, stored: &StoredDispatch) -> RowResult<bool> {
        let last = self.dispatches.values().map(|row| row.place).max();
        let place = last.map_or(0, |last| last + 1);
        let row = DispatchRow { stored: stored.clone(), place, run: self.singles.run };
        Ok(self.dispatches.add(stored.task.id, row))
    }

    fn set_dispatch(&mut self, stored: &StoredDispatch) -> RowResult<()> {
        let run = self.singles.run;
        self.dispatches.change(&stored.task.id, |row| {
            if row.stored.life.deadline != stored.life.deadline {
                row.run = run;
            }
            row.stored = stored.clone();
        });
        Ok(())
    }

    fn dispatches_due(&mut self, now: UnixTime, limit: usize) -> RowResult<Vec<StoredDispatch>> {
        let is_due = |row: &DispatchRow| row.ends_by_time() && row.stored.life.deadline <= now;
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let ids = self
            .dispatches
            .first(most, |_, row| is_due(row).then_some((row.stored.life.deadline, row.place)));
        let of = |id: &DispatchId| self.dispatches.get(id).map(|row| row.stored.clone());
        Ok(ids.iter().filter_map(of).collect())
    }

    fn next_due(&mut self) -> RowResult<Option<UnixTime>> {
        let waiting = self.dispatches.values().filter(|row| row.ends_by_time());
        Ok(waiting.map(|row| row.stored.life.deadline).min())
    }

    fn forget_dispatches(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let ids = self.dispatches.first(most, |_, row| {
            let at = row.stored.changed_at;
            (at < before).then_some((at, row.place))
        });
        for id in ids {
            self.dispatches.remove(&id);
        }
        Ok(())
    }

    fn forget_dispatches_of(&mut self, id: NodeId, kept: usize, most: u32) -> RowResult<()> {
        let over = self.dispatches.first(u32::MAX, |_, row| {
            let is_such = row.stored.task.node_id == id && !row.is_open();
            is_such.then_some(Reverse(row.stored.life.number))
        });
        for id in over.into_iter().skip(kept).take(most as usize) {
            self.dispatches.remove(&id);
        }
        Ok(())
    }

    fn capabilities(&mut self, id: NodeId) -> RowResult<Vec<Capability>> {
        let of_node = self.capabilities.iter().filter(|((node_id, _), _)| *node_id == id);
        Ok(of_node.map(|(_, capability)| capability.clone()).collect())
    }

    fn set_capability(&mut self, id: NodeId, capability: &Capability) -> RowResult<bool> {
        let is_there = self.nodes.has(&id);
        if is_there {
            self.capabilities.put((id, capability.name.clone()), capability.clone());
        }
        Ok(is_there)
    }
}
