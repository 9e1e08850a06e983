//! Dispatches: an operator gives a node a task, follows it, cancels it, and reads its result.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::limits::PAYLOAD_BYTES;
use handfast_core::link::dispatch::{DispatchAction, DispatchEvent};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span, UnixTime};
use handfast_store::{
    Capability, DISPATCHES_QUEUED, DispatchTask, Enqueued, NotQueued, SteppedDispatch,
    StoredDispatch,
};
use tokio::time::{Instant, timeout_at};

use crate::entropy;
use crate::events::Event;
use crate::gateway::dispatches::Progress;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, Inner, to_its_end};
use crate::hex::hex;

/// The interval at which dispatches of other processes are looked for; those of this one wake the
/// task themselves.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The longest sleep while a deadline lies ahead, because the clock may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The interval at which a dispatch is looked at whose node is linked at another gateway.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(1);
/// The maximum number of dispatches that one round ends.
const ROUND: usize = 64;

/// A task that an operator gives to a node.
#[derive(Clone, Debug)]
pub struct NewDispatch {
    /// Id of the request, if the caller chose one: the task runs at most once, however often the
    /// request is made.
    pub id: Option<DispatchId>,
    /// Name of the node's capability.
    pub capability: String,
    /// Input of the capability, as JSON.
    pub input: Vec<u8>,
    /// Time in which the task has to be done.
    pub within: Span,
    /// Maximum length of the result, in bytes.
    pub max_payload: u16,
}

/// A dispatch as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchStatus {
    /// The dispatch in the registry.
    pub stored: StoredDispatch,
    /// How far it has come, if the node has told.
    pub progress: Option<Progress>,
}

impl Gateway {
    /// Gives a node a task: queues it, and sends it at once if the node is linked. A request with
    /// an id that was made before answers with what became of it.
    ///
    /// # Errors
    /// [`OperatorError::NotDispatched`] with the reason; [`OperatorError::Store`].
    pub async fn invoke(
        &self,
        node_id: NodeId,
        new: NewDispatch,
        maker: Maker,
    ) -> Result<DispatchStatus, OperatorError> {
        let NewDispatch { id, capability, input, within, max_payload } = new;
        if input.len() > PAYLOAD_BYTES {
            return Err(OperatorError::Usage(format!(
                "an input has at most {PAYLOAD_BYTES} bytes as JSON, and this one {}",
                input.len()
            )));
        }
        let id = id.unwrap_or_else(|| DispatchId::new(&entropy::draw()));
        let task = DispatchTask { id, node_id, capability, input, max_payload, maker };
        let name = task.capability.clone();
        let gateway = self.clone();
        to_its_end(async move {
            let inner = &gateway.inner;
            match gateway.store().enqueue(task, within, inner.clock.unix()).await? {
                Ok(Enqueued::New(stored)) => {
                    gateway.dispatch_queued(&stored);
                    Ok(gateway.status_of(stored))
                }
                Ok(Enqueued::Before(stored)) => Ok(gateway.status_of(stored)),
                Err(no) => Err(gateway.not_dispatched(node_id, id, &name, no).await),
            }
        })
        .await
    }

    /// Sends a dispatch again that certainly never ran.
    ///
    /// # Errors
    /// As for [`invoke`](Self::invoke).
    pub async fn retry_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
        within: Span,
    ) -> Result<DispatchStatus, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move {
            let inner = &gateway.inner;
            let now = inner.clock.unix();
            match gateway.store().retry_dispatch(node_id, id, within, now).await? {
                Ok(stored) => {
                    gateway.dispatch_queued(&stored);
                    Ok(gateway.status_of(stored))
                }
                Err(no) => Err(gateway.not_dispatched(node_id, id, "it", no).await),
            }
        })
        .await
    }

    /// Cancels a dispatch: at once if it was not sent, else when its node has agreed.
    ///
    /// # Errors
    /// As for [`dispatch`](Self::dispatch).
    pub async fn cancel_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
    ) -> Result<DispatchStatus, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move {
            let inner = &gateway.inner;
            let now = inner.clock.unix();
            let cancel = DispatchEvent::Cancel;
            let stepped = gateway.store().step_dispatch(node_id, id, cancel, None, now).await?;
            let Some(stepped) = stepped else {
                return Err(no_such(node_id, &hex(id.as_bytes())));
            };
            inner.dispatch_stepped(&stepped);
            if stepped.action == Some(DispatchAction::Cancel) {
                // A node without a link is told after its next one.
                inner.hub.cancel_task(node_id, id);
            }
            Ok(gateway.status_of(stepped.dispatch))
        })
        .await
    }

    /// Returns a dispatch of a node.
    ///
    /// # Errors
    /// [`OperatorError::NotDispatched`] if the node has none with this id; [`OperatorError::Store`].
    pub async fn dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
    ) -> Result<DispatchStatus, OperatorError> {
        let stored = self.inner.store.dispatch(node_id, id).await?;
        stored
            .map(|stored| self.status_of(stored))
            .ok_or_else(|| no_such(node_id, &hex(id.as_bytes())))
    }

    /// Waits until a dispatch differs from what was known of it, at most for `within`, and returns
    /// it as it is then.
    ///
    /// # Errors
    /// As for [`dispatch`](Self::dispatch).
    pub async fn await_dispatch(
        &self,
        known: &DispatchStatus,
        within: Duration,
    ) -> Result<DispatchStatus, OperatorError> {
        let (until, DispatchTask { id, node_id, .. }) =
            (Instant::now() + within, known.stored.task.clone());
        let inner = &self.inner;
        let mut shutdown = self.inner.shutdown.subscribe();
        let mut changes = self.inner.dispatches.subscribe();
        loop {
            let now = self.dispatch(node_id, id).await?;
            if now != *known || now.stored.life.state.is_over() {
                return Ok(now);
            }
            let next = async {
                // One that is behind reads again as well.
                while changes.recv().await.is_ok_and(|changed| changed != id) {}
            };
            // What the node tells another gateway is not told here, so it is looked for.
            let looks = inner.sharing.is_some() && !inner.hub.is_live(node_id);
            let pause = if looks { LOOK_ELSEWHERE } else { within };
            tokio::select! {
                waited = timeout_at(until, next) => if waited.is_err() { return Ok(now) },
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|down| *down) => return Ok(now),
            }
        }
    }

    /// Returns the dispatches of a node, the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn dispatches(
        &self,
        node_id: NodeId,
        limit: usize,
    ) -> Result<Vec<DispatchStatus>, OperatorError> {
        let stored = self.inner.store.dispatches_of(node_id, limit).await?;
        Ok(stored.into_iter().map(|stored| self.status_of(stored)).collect())
    }

    /// Returns the capabilities that a node has announced, ordered by name.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn capabilities(&self, node_id: NodeId) -> Result<Vec<Capability>, OperatorError> {
        Ok(self.inner.store.capabilities(node_id).await?)
    }

    /// Returns the number of a node's tasks that are not over.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn open_dispatches(&self, node_id: NodeId) -> Result<usize, OperatorError> {
        Ok(self.inner.store.open_dispatches(node_id).await?.len())
    }

    /// Returns the reason for which a node may not be given tasks, whatever it can do; `None` if it
    /// may.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn takes_no_tasks(&self, node_id: NodeId) -> Result<Option<String>, OperatorError> {
        let takes = self.inner.store.takes_tasks(node_id).await?;
        Ok(takes.err().and_then(|no| standing(node_id, no)))
    }

    fn status_of(&self, stored: StoredDispatch) -> DispatchStatus {
        let progress = self.inner.dispatches.progress_of(stored.task.id);
        DispatchStatus { stored, progress }
    }

    fn dispatch_queued(&self, stored: &StoredDispatch) {
        let DispatchTask { id, node_id, .. } = stored.task;
        self.inner.dispatches.watch().queued(stored.life.deadline);
        self.inner.dispatches.tell(id);
        self.event(Event::Dispatch { node_id, id, state: stored.life.state.as_str() });
        self.inner.hub.has_tasks(node_id);
    }

    /// Explains why a task was not queued, with the remedy.
    async fn not_dispatched(
        &self,
        node_id: NodeId,
        id: DispatchId,
        capability: &str,
        no: NotQueued,
    ) -> OperatorError {
        if let Some(text) = standing(node_id, no) {
            return OperatorError::NotDispatched { no, text };
        }
        let text = match no {
            NotQueued::NotPaired
            | NotQueued::TakesNone
            | NotQueued::Muted
            | NotQueued::Quarantined => format!("node {node_id} takes no tasks"),
            NotQueued::NotAnnounced => {
                let known = self.inner.store.capabilities(node_id).await.unwrap_or_default();
                let names: Vec<&str> = known.iter().map(|one| one.name.as_str()).collect();
                match names.is_empty() {
                    true => format!(
                        "node {node_id} has announced no capability, so it takes no tasks; its software has to announce what it can do when it links"
                    ),
                    false => format!(
                        "node {node_id} has no capability {capability:?}; it has announced {}",
                        names.join(", ")
                    ),
                }
            }
            NotQueued::NotAvailable => format!(
                "node {node_id} says that its capability {capability:?} is not available now; try again later"
            ),
            NotQueued::Full => format!(
                "node {node_id} has {DISPATCHES_QUEUED} tasks that are not over, and takes no more; wait for them, or cancel some"
            ),
            NotQueued::IdTaken => format!(
                "the request id {} belongs to another task; leave it out, or take a new one",
                hex(id.as_bytes())
            ),
            NotQueued::MakerEnded => {
                "your session has ended, so it gives no task; begin another one".to_owned()
            }
            NotQueued::Unknown => return no_such(node_id, &hex(id.as_bytes())),
            NotQueued::MayHaveRun => format!(
                "task {} may have run, or is not over: only one that expired before it ran is sent again; make a new one to run it regardless",
                hex(id.as_bytes())
            ),
        };
        OperatorError::NotDispatched { no, text }
    }
}

/// Explains why a node takes no tasks as it stands, with the remedy.
fn standing(node_id: NodeId, no: NotQueued) -> Option<String> {
    Some(match no {
        NotQueued::NotPaired => {
            format!(
                "node {node_id} is not paired, so it takes no tasks; approve it first, if it waits"
            )
        }
        NotQueued::TakesNone => format!(
            "node {node_id} is paired by a token, and its dialect takes no tasks; pair it by its keys over the native wire"
        ),
        NotQueued::Muted => {
            format!("node {node_id} is muted, so it takes no tasks; unmute it first")
        }
        NotQueued::Quarantined => format!(
            "node {node_id} is in quarantine, because its state may have been copied, so it takes no tasks; release or revoke it"
        ),
        NotQueued::NotAnnounced
        | NotQueued::NotAvailable
        | NotQueued::Full
        | NotQueued::IdTaken
        | NotQueued::MakerEnded
        | NotQueued::Unknown
        | NotQueued::MayHaveRun => return None,
    })
}

/// Returns the error for an id, or the beginning of one, that no task of the node has.
pub(crate) fn no_such(node_id: NodeId, id: &str) -> OperatorError {
    let text =
        format!("node {node_id} has no task {id}, or it is over for so long that it is not kept");
    OperatorError::NotDispatched { no: NotQueued::Unknown, text }
}

impl Inner {
    /// Tells everybody who waits for it that a dispatch has changed.
    pub(crate) fn dispatch_stepped(&self, stepped: &SteppedDispatch) {
        if !stepped.changed {
            return;
        }
        let StoredDispatch { task, life, .. } = &stepped.dispatch;
        if life.state.is_over() {
            self.dispatches.is_over(task.id);
        }
        self.dispatches.tell(task.id);
        // A late result leaves the state as it was told.
        let state = if life.late.is_some() { "late" } else { life.state.as_str() };
        self.event(&Event::Dispatch { node_id: task.node_id, id: task.id, state });
    }

    /// Ends the dispatches whose time is over, and returns the next deadline and the time until the
    /// next round. While the clock is in doubt, those of earlier processes are spared.
    async fn end_dispatches_by_time(&self) -> (Option<UnixTime>, Duration) {
        let moment = self.clock.moment();
        let in_doubt = moment.claimed().is_some();
        let limit = if in_doubt { usize::MAX } else { ROUND };
        let due = match self.store.dispatches_due(moment.now, limit).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "the tasks that wait could not be read");
                return (None, LOOK_AGAIN);
            }
        };
        let (full, mut spared) = (due.len() == ROUND, false);
        for StoredDispatch { task, made_at, .. } in due {
            if moment.spares(made_at) {
                spared = true;
                continue;
            }
            let tick = DispatchEvent::Tick { now: moment.now };
            match self.store.step_dispatch(task.node_id, task.id, tick, None, moment.now).await {
                Ok(Some(stepped)) => self.dispatch_stepped(&stepped),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "that the time of a task is over could not be written");
                    return (None, LOOK_AGAIN);
                }
            }
        }
        if full && !in_doubt {
            return (None, Duration::ZERO);
        }
        let next = self.store.next_dispatch_deadline().await;
        let sleep = match &next {
            // The spared ones come first, and are looked at again until the doubt is settled.
            Ok(Some(_)) if spared => LOOK_AGAIN,
            Ok(Some(next)) => {
                let left = next.as_secs().saturating_sub(self.clock.unix().as_secs());
                // The clock has whole seconds, so a deadline is reached up to one later.
                Duration::from_secs(left).clamp(Duration::from_millis(200), LOOK_AGAIN)
            }
            Ok(None) => LOOK_EVERY,
            Err(_) => LOOK_AGAIN,
        };
        (next.ok().flatten(), sleep)
    }
}

/// Counts every link as lost that an earlier process had, because it may have sent what it did not
/// live to see answered.
pub(crate) async fn at_start(inner: &Inner) -> Result<(), handfast_store::StoreError> {
    if inner.sharing.is_some() {
        // Other gateways have links, too. A node's next link asks for what was sent over its last
        // one, wherever that was.
        return Ok(());
    }
    let lost = DispatchEvent::LinkLost;
    inner.store.step_open_dispatches(None, lost, inner.clock.unix()).await.map(drop)
}

/// Starts the task that ends dispatches by time, those of earlier processes too, as long as the
/// gateway lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    loop {
        let Some(inner) = gateway.upgrade() else { return };
        inner.dispatches.watch().looks();
        let (next, sleep) = inner.end_dispatches_by_time().await;
        let watch = Arc::clone(inner.dispatches.watch());
        let mut shutdown = inner.shutdown.subscribe();
        // A sleeping task must not keep the gateway alive.
        drop(inner);
        tokio::select! {
            () = watch.sleep(next, sleep) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
    }
}
