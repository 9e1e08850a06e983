//! Dispatches. A node that a held decision has muted or put out is given no task.

use async_trait::async_trait;
use handfast_core::link::dispatch::DispatchEvent;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span, UnixTime};

use super::{Cut, HeldStore};
use crate::{
    Capability, DispatchReport, DispatchTask, Dispatches, Enqueued, NotQueued, SteppedDispatch,
    StoreError, StoredDispatch,
};

impl HeldStore {
    /// Returns the held reason for which a node is given no task.
    fn takes_no_task(&self, node_id: NodeId) -> Option<NotQueued> {
        let Some(Cut::Node { decision, .. }) = self.held.node(node_id) else { return None };
        match decision {
            Decision::Unpair | Decision::Reject | Decision::Bar => Some(NotQueued::NotPaired),
            Decision::Mute => Some(NotQueued::Muted),
            // These give something, and what gives something is never held.
            Decision::Approve(_)
            | Decision::Issue(_)
            | Decision::Reissue(_)
            | Decision::Unmute
            | Decision::SetMode(_) => None,
        }
    }
}

#[async_trait]
impl Dispatches for HeldStore {
    async fn enqueue(
        &self,
        task: DispatchTask,
        within: Span,
        now: UnixTime,
    ) -> Result<Result<Enqueued, NotQueued>, StoreError> {
        if let Some(no) = self.takes_no_task(task.node_id) {
            return Ok(Err(no));
        }
        self.wrote(self.store.enqueue(task, within, now).await)
    }

    async fn takes_tasks(&self, node_id: NodeId) -> Result<Result<(), NotQueued>, StoreError> {
        match self.takes_no_task(node_id) {
            Some(no) => Ok(Err(no)),
            None => self.store.takes_tasks(node_id).await,
        }
    }

    async fn retry_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
        within: Span,
        now: UnixTime,
    ) -> Result<Result<StoredDispatch, NotQueued>, StoreError> {
        if let Some(no) = self.takes_no_task(node_id) {
            return Ok(Err(no));
        }
        self.wrote(self.store.retry_dispatch(node_id, id, within, now).await)
    }

    async fn step_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
        event: DispatchEvent,
        report: Option<DispatchReport>,
        now: UnixTime,
    ) -> Result<Option<SteppedDispatch>, StoreError> {
        // Nothing is sent to a node that is out; what it has said is kept.
        if matches!(event, DispatchEvent::Pushed { .. }) && self.takes_no_task(node_id).is_some() {
            return Ok(None);
        }
        self.wrote(self.store.step_dispatch(node_id, id, event, report, now).await)
    }

    async fn step_open_dispatches(
        &self,
        node_id: Option<NodeId>,
        event: DispatchEvent,
        now: UnixTime,
    ) -> Result<Vec<SteppedDispatch>, StoreError> {
        self.wrote(self.store.step_open_dispatches(node_id, event, now).await)
    }

    async fn dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
    ) -> Result<Option<StoredDispatch>, StoreError> {
        self.store.dispatch(node_id, id).await
    }

    async fn dispatches_of(
        &self,
        node_id: NodeId,
        limit: usize,
    ) -> Result<Vec<StoredDispatch>, StoreError> {
        self.store.dispatches_of(node_id, limit).await
    }

    async fn open_dispatches(&self, node_id: NodeId) -> Result<Vec<StoredDispatch>, StoreError> {
        self.store.open_dispatches(node_id).await
    }

    async fn dispatches_due(
        &self,
        now: UnixTime,
        limit: usize,
    ) -> Result<Vec<StoredDispatch>, StoreError> {
        self.store.dispatches_due(now, limit).await
    }

    async fn next_dispatch_deadline(&self) -> Result<Option<UnixTime>, StoreError> {
        self.store.next_dispatch_deadline().await
    }

    async fn announce(&self, node_id: NodeId, capability: Capability) -> Result<bool, StoreError> {
        self.wrote(self.store.announce(node_id, capability).await)
    }

    async fn capabilities(&self, node_id: NodeId) -> Result<Vec<Capability>, StoreError> {
        self.store.capabilities(node_id).await
    }
}
