//! Clone counters.

use async_trait::async_trait;
use handfast_core::flow::identity::clone_counter::{CloneCounter, LinkVerdict, Shown};
use handfast_core::link::dispatch::DispatchEvent;
use handfast_core::{NodeId, UnixTime};

use super::{Database, Decided, RowResult, Tx, dispatches};
use crate::audit::{Detail, Entry, What};
use crate::{Clones, LinkedFrom, StoreError, StoredCounter, rules};

/// The rows of clone counters.
pub(crate) trait CloneRows {
    /// Returns the counter of a node.
    fn counter(&mut self, id: NodeId) -> RowResult<Option<StoredCounter>>;

    /// Adds or replaces the counter of a node, if there is such a node.
    fn set_counter(&mut self, id: NodeId, counter: &StoredCounter) -> RowResult<()>;

    /// Returns the nodes in quarantine, ordered by id, after this id.
    fn quarantined_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<(NodeId, StoredCounter)>>;
}

fn linked(
    tx: &mut dyn Tx,
    id: NodeId,
    shown: Shown,
    from: LinkedFrom,
) -> Result<LinkVerdict, StoreError> {
    let before = tx.counter(id)?.unwrap_or_default();
    let (counter, verdict) = before.counter.linked(shown, from.at);
    let mut after = StoredCounter { counter, ..before };
    if verdict.alarm {
        after.alarmed = Some(from);
    } else if !verdict.quarantined && !verdict.overtaken && rules::tells_more(before.linked, from) {
        after.linked = Some(from);
    }
    // Most links change nothing, and then nothing is written.
    if after != before {
        tx.set_counter(id, &after)?;
    }
    Ok(verdict)
}

/// Changes a node's counter. Returns `true` if anything changed.
fn change(
    tx: &mut dyn Tx,
    id: NodeId,
    change: impl FnOnce(CloneCounter) -> CloneCounter,
) -> Result<bool, StoreError> {
    let Some(before) = tx.counter(id)? else { return Ok(false) };
    let counter = change(before.counter);
    let changes = counter != before.counter;
    if changes {
        tx.set_counter(id, &StoredCounter { counter, ..before })?;
    }
    Ok(changes)
}

#[async_trait]
impl<D: Database> Clones for D {
    async fn linked(
        &self,
        node_id: NodeId,
        shown: Shown,
        from: LinkedFrom,
    ) -> Result<LinkVerdict, StoreError> {
        self.change(move |tx| linked(tx, node_id, shown, from)).await
    }

    async fn mark_stored(
        &self,
        node_id: NodeId,
        value: u64,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let stored = move |counter: CloneCounter| counter.stored(value, now);
        self.change(move |tx| change(tx, node_id, stored).map(drop)).await
    }

    async fn release(&self, node_id: NodeId, now: UnixTime) -> Result<bool, StoreError> {
        self.decide(move |tx| {
            if !change(tx, node_id, |counter| counter.release(now))? {
                return Ok::<_, StoreError>(Decided::nothing(false));
            }
            // Its board may be older than what was sent to it.
            let event = DispatchEvent::NodeRestored;
            dispatches::step_open(tx, Some(node_id), event, now)?;
            let entry = Entry::new(What::Release, [Detail::Node(node_id)]);
            Ok(Decided::by(true, entry.at(now)))
        })
        .await
    }

    async fn paired_anew(&self, node_id: NodeId, now: UnixTime) -> Result<(), StoreError> {
        let anew = move |counter: CloneCounter| counter.paired_anew(now);
        self.change(move |tx| change(tx, node_id, anew).map(drop)).await
    }

    async fn clone_counter(&self, node_id: NodeId) -> Result<Option<StoredCounter>, StoreError> {
        self.point(move |tx| tx.counter(node_id)).await
    }

    async fn quarantined(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<(NodeId, StoredCounter)>, StoreError> {
        self.page(move |tx| tx.quarantined_after(after, limit)).await
    }
}
