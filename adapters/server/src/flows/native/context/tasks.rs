//! Effects of dispatches: tasks for the linked node, and what it tells of them.

use futures_util::future::join_all;
use handfast_core::NodeId;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::link::dispatch::{DispatchAction, DispatchEnd, DispatchEvent, DispatchState};
use handfast_core::wire::native::link::DispatchId;
use handfast_store::{DispatchReport, DispatchTask, SteppedDispatch, StoredDispatch};
use tokio::runtime::Handle;

use super::NativeContext;
use crate::flows::native::reports::NodeReport;
use crate::gateway::common::failed;
use crate::telemetry::log_lines::{CausedBy, limited};

/// A message to the node about a dispatch, which may leave now.
pub(in crate::flows::native) enum TaskOrder {
    Send { task: DispatchTask, number: u64, remaining_ms: u32 },
    Cancel(DispatchId),
    Query(DispatchId, u64),
}

impl NativeContext {
    /// Returns the linked node, if this is still its link: what a replaced link delivers late does
    /// not count.
    fn node(&self) -> Option<NodeId> {
        let Some(Peer::Node(node_id)) = self.attached else { return None };
        self.gateway.inner.hub.is_link_of(node_id, &self.mailbox).then_some(node_id)
    }

    /// Makes what waits in the registry ready to leave: each task is durable as sent by then. The
    /// first call on a link also asks for what earlier links left open.
    pub(in crate::flows::native) async fn orders(&mut self) -> Vec<TaskOrder> {
        let Some(node_id) = self.node() else { return Vec::new() };
        // The link hears again that tasks may wait once the registry is reached.
        if !self.gateway.inner.hub.contact().admits() {
            return Vec::new();
        }
        let store = &self.gateway.inner.store;
        let mut orders = Vec::new();
        let open = match store.open_dispatches(node_id).await {
            Ok(open) => open,
            Err(error) => {
                failed(error);
                return orders;
            }
        };
        let has_asked = std::mem::replace(&mut self.has_asked, true);
        if !has_asked && !open.is_empty() {
            let linked = DispatchEvent::Linked;
            match store.step_open_dispatches(Some(node_id), linked, self.now()).await {
                Ok(stepped) => orders.extend(stepped.iter().filter_map(|one| self.order(one))),
                Err(error) => {
                    failed(error);
                    // The question is asked with the next attempt.
                    self.has_asked = false;
                    return orders;
                }
            }
        }
        // All at once, so that they share one wait for the disk.
        let pushed = open.iter().map(|one| {
            let event = DispatchEvent::Pushed { now: self.now() };
            store.step_dispatch(node_id, one.task.id, event, None, self.now())
        });
        for stepped in join_all(pushed).await {
            match stepped {
                Ok(stepped) => orders.extend(stepped.and_then(|one| self.order(&one))),
                Err(error) => {
                    failed(error);
                }
            }
        }
        if has_asked {
            orders.extend(self.cancelled_elsewhere(&open).into_iter().map(TaskOrder::Cancel));
        }
        self.has_sent |= !orders.is_empty();
        orders
    }

    /// Returns the tasks that another gateway has cancelled and that this link was not told to
    /// stop.
    fn cancelled_elsewhere(&mut self, open: &[StoredDispatch]) -> Vec<DispatchId> {
        // A gateway with a registry of its own tells the link when it cancels.
        if self.gateway.inner.sharing.is_none() {
            return Vec::new();
        }
        let stop = open.iter().filter(|one| one.life.is_to_stop()).map(|one| one.task.id);
        let told = std::mem::replace(&mut self.told_to_stop, stop.collect());
        self.told_to_stop.iter().filter(|id| !told.contains(id)).copied().collect()
    }

    /// Tells of the change, and returns the message that may leave because of it.
    fn order(&self, stepped: &SteppedDispatch) -> Option<TaskOrder> {
        self.gateway.inner.dispatch_stepped(stepped);
        let StoredDispatch { task, life, .. } = &stepped.dispatch;
        Some(match stepped.action? {
            DispatchAction::Send { remaining_ms } => {
                TaskOrder::Send { task: task.clone(), number: life.number, remaining_ms }
            }
            DispatchAction::Cancel => TaskOrder::Cancel(task.id),
            DispatchAction::Query => TaskOrder::Query(task.id, life.number),
        })
    }

    /// Records what the node tells about a dispatch or a capability. Returns the message that is
    /// due because of it.
    pub(in crate::flows::native) async fn told(&mut self, report: NodeReport) -> Option<TaskOrder> {
        let node_id = self.node()?;
        let store = &self.gateway.inner.store;
        let (id, event, report) = match report {
            NodeReport::Announced(capability) => {
                match store.announce(node_id, capability).await {
                    Ok(true) => {}
                    Ok(false) => {
                        limited!(warn, CausedBy::Node(node_id), { %node_id, } "a node announces too many capabilities");
                    }
                    Err(error) => {
                        failed(error);
                    }
                }
                return None;
            }
            NodeReport::Progress(id, progress) => {
                // It decides nothing, so a node that repeats it makes the disk no work.
                let found = store.dispatch(node_id, id).await.map_err(failed).ok().flatten()?;
                if found.life.state.is_over() {
                    return None;
                }
                self.gateway.inner.dispatches.progressed(id, progress);
                (id, DispatchEvent::Progress, None)
            }
            NodeReport::Outcome(id, event, report) => (id, event, report),
            NodeReport::Answered { id, number, known, report } => {
                let found = store.dispatch(node_id, id).await.map_err(failed).ok().flatten()?;
                // An answer about an earlier sending says nothing about the present one.
                if found.life.number != number {
                    return None;
                }
                (id, DispatchEvent::Answered { known, now: self.now() }, report)
            }
        };
        self.task_stepped(node_id, id, event, report).await
    }

    /// Ends the dispatch with this id, which was not sent.
    pub(in crate::flows::native) async fn not_dispatched(
        &mut self,
        id: DispatchId,
    ) -> Option<TaskOrder> {
        let node_id = self.node()?;
        let reason = "the node takes no tasks, or may be given none now".to_owned();
        let event = DispatchEvent::Outcome(DispatchEnd::Rejected);
        self.task_stepped(node_id, id, event, Some(DispatchReport::Reason(reason))).await
    }

    async fn task_stepped(
        &mut self,
        node_id: NodeId,
        id: DispatchId,
        event: DispatchEvent,
        report: Option<DispatchReport>,
    ) -> Option<TaskOrder> {
        let store = &self.gateway.inner.store;
        self.has_sent = true;
        match store.step_dispatch(node_id, id, event, report, self.now()).await {
            Ok(Some(stepped)) => {
                if stepped.changed && stepped.dispatch.life.state == DispatchState::Queued {
                    // It never came, and may be sent again.
                    self.mailbox.has_tasks();
                }
                self.order(&stepped)
            }
            Ok(None) => {
                limited!(warn, CausedBy::Node(node_id), { %node_id, } "a node tells of a task that is not its own, or was forgotten");
                None
            }
            Err(error) => {
                failed(error);
                // The node is asked again once the registry is reached.
                self.has_asked = false;
                None
            }
        }
    }

    /// Counts what this link has sent as lost. The node is asked for it after its next link.
    pub(super) fn tasks_lost(&self, node_id: NodeId) {
        // Without a runtime the process ends, and the next one counts every link as lost.
        let (true, Ok(runtime)) = (self.has_sent, Handle::try_current()) else { return };
        let gateway = self.gateway.clone();
        // The connection ends without waiting for the disk.
        runtime.spawn(async move {
            // A newer link has counted it as lost already, and sends on its own account.
            if gateway.inner.hub.is_live(node_id) {
                return;
            }
            // Nor is one at another gateway disturbed.
            match gateway.link_elsewhere(node_id).await {
                Ok(None) => {}
                Ok(Some(_)) => return,
                Err(error) => {
                    failed(error);
                }
            }
            let (store, now) = (&gateway.inner.store, gateway.inner.clock.unix());
            let lost = DispatchEvent::LinkLost;
            match store.step_open_dispatches(Some(node_id), lost, now).await {
                Ok(stepped) => stepped.iter().for_each(|one| gateway.inner.dispatch_stepped(one)),
                // The next link counts what was sent as lost, too.
                Err(error) => {
                    failed(error);
                }
            }
        });
    }
}
