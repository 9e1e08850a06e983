//! Dispatches and capabilities.

use async_trait::async_trait;
use handfast_core::link::dispatch::{
    DispatchEnd, DispatchEvent, DispatchLife, DispatchState, deadline, next_number,
};
use handfast_core::registry::record::{Credential, Standing};
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span, UnixTime};

use super::{Database, Decided, RowResult, Tx, makers};
use crate::audit::{Detail, Entry, What};
use crate::{
    CAPABILITIES, Capability, DISPATCHES_KEPT, DISPATCHES_QUEUED, DispatchReport, DispatchTask,
    Dispatches, Enqueued, NotQueued, SteppedDispatch, StoreError, StoredDispatch, rules,
};

/// The rows of dispatches and of capabilities. A dispatch is open until it
/// [is over](DispatchState::is_over).
pub(crate) trait DispatchRows {
    /// Returns a dispatch.
    fn dispatch(&mut self, id: DispatchId) -> RowResult<Option<StoredDispatch>>;

    /// Returns the dispatches of a node, the highest number first.
    fn dispatches_of(&mut self, id: NodeId, limit: usize) -> RowResult<Vec<StoredDispatch>>;

    /// Returns the open dispatches of a node, or all, ordered by node and number.
    fn open_dispatches(&mut self, id: Option<NodeId>) -> RowResult<Vec<StoredDispatch>>;

    /// Returns the highest number of a node's dispatches.
    fn last_dispatch(&mut self, id: NodeId) -> RowResult<Option<u64>>;

    /// Adds a dispatch; `false` if its id is taken.
    fn add_dispatch(&mut self, dispatch: &StoredDispatch) -> RowResult<bool>;

    /// Replaces everything of a dispatch but its task.
    fn set_dispatch(&mut self, dispatch: &StoredDispatch) -> RowResult<()>;

    /// Returns the dispatches that end by time alone and whose deadline is not after this one, the
    /// earliest first.
    fn dispatches_due(&mut self, now: UnixTime, limit: usize) -> RowResult<Vec<StoredDispatch>>;

    /// Returns the earliest deadline of the dispatches that end by time alone.
    fn next_due(&mut self) -> RowResult<Option<UnixTime>>;

    /// Removes at most `most` dispatches that changed last before this time, the earliest first.
    fn forget_dispatches(&mut self, before: UnixTime, most: u32) -> RowResult<()>;

    /// Removes at most `most` dispatches of a node that are over, except the `kept` with the
    /// highest numbers.
    fn forget_dispatches_of(&mut self, id: NodeId, kept: usize, most: u32) -> RowResult<()>;

    /// Returns the capabilities of a node, ordered by name.
    fn capabilities(&mut self, id: NodeId) -> RowResult<Vec<Capability>>;

    /// Adds or replaces a capability, if there is such a node; `false` if there is none.
    fn set_capability(&mut self, id: NodeId, capability: &Capability) -> RowResult<bool>;
}

/// Returns `true` if a dispatch in this state ends by time alone.
pub(crate) const fn ends_by_time(state: DispatchState) -> bool {
    matches!(state, DispatchState::Queued) || state.is_under_way()
}

/// Decides whether a node may be given tasks.
fn takes_tasks(tx: &mut dyn Tx, id: NodeId) -> Result<Result<(), NotQueued>, StoreError> {
    let Some(stored) = tx.node(id)? else { return Ok(Err(NotQueued::NotPaired)) };
    let standing = match &stored.record.standing {
        Standing::Paired { credential: Credential::Keys, .. } => Ok(()),
        Standing::Muted { credential: Credential::Keys, .. } => Err(NotQueued::Muted),
        Standing::Paired {
            credential: Credential::Token(_) | Credential::Undelivered(_), ..
        }
        | Standing::Muted {
            credential: Credential::Token(_) | Credential::Undelivered(_), ..
        } => Err(NotQueued::TakesNone),
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => {
            Err(NotQueued::NotPaired)
        }
    };
    let quarantined = tx.counter(id)?.is_some_and(|stored| stored.counter.is_quarantined());
    Ok(standing.and(if quarantined { Err(NotQueued::Quarantined) } else { Ok(()) }))
}

/// Decides whether a dispatch may be queued now. Returns `true` if its capability may run twice.
fn may_queue(
    tx: &mut dyn Tx,
    task: &DispatchTask,
    now: UnixTime,
) -> Result<Result<bool, NotQueued>, StoreError> {
    if makers::end_of(tx, task.maker, now)?.is_none() {
        return Ok(Err(NotQueued::MakerEnded));
    }
    if let Err(no) = takes_tasks(tx, task.node_id)? {
        return Ok(Err(no));
    }
    let mut capabilities = tx.capabilities(task.node_id)?.into_iter();
    let idempotent = match capabilities.find(|capability| capability.name == task.capability) {
        None => return Ok(Err(NotQueued::NotAnnounced)),
        Some(Capability { available: false, .. }) => return Ok(Err(NotQueued::NotAvailable)),
        Some(Capability { idempotent, .. }) => idempotent,
    };
    match tx.open_dispatches(Some(task.node_id))?.len() >= DISPATCHES_QUEUED {
        true => Ok(Err(NotQueued::Full)),
        false => Ok(Ok(idempotent)),
    }
}

fn enqueue(
    tx: &mut dyn Tx,
    task: DispatchTask,
    within: Span,
    now: UnixTime,
) -> Result<Result<Enqueued, NotQueued>, StoreError> {
    // A request that is repeated gets the answer of the first one, whatever holds now.
    if let Some(before) = tx.dispatch(task.id)? {
        return Ok(match before.task == task {
            true => Ok(Enqueued::Before(before)),
            false => Err(NotQueued::IdTaken),
        });
    }
    let idempotent = match may_queue(tx, &task, now)? {
        Ok(idempotent) => idempotent,
        Err(no) => return Ok(Err(no)),
    };
    tx.forget_dispatches(rules::oldest_dispatch(now), rules::PURGE)?;
    tx.forget_dispatches_of(task.node_id, DISPATCHES_KEPT, rules::PURGE)?;
    let number = next_number(tx.last_dispatch(task.node_id)?, now);
    let life = DispatchLife::queued(number, within, idempotent, now);
    let dispatch = StoredDispatch { task, life, report: None, made_at: now, changed_at: now };
    Ok(match tx.add_dispatch(&dispatch)? {
        true => Ok(Enqueued::New(dispatch)),
        false => Err(NotQueued::IdTaken),
    })
}

fn retry(
    tx: &mut dyn Tx,
    node_id: NodeId,
    id: DispatchId,
    within: Span,
    now: UnixTime,
) -> Result<Result<StoredDispatch, NotQueued>, StoreError> {
    let Some(before) = tx.dispatch(id)?.filter(|before| before.task.node_id == node_id) else {
        return Ok(Err(NotQueued::Unknown));
    };
    if !before.life.may_retry() {
        return Ok(Err(NotQueued::MayHaveRun));
    }
    if let Err(no) = may_queue(tx, &before.task, now)? {
        return Ok(Err(no));
    }
    let number = next_number(tx.last_dispatch(node_id)?, now);
    let event = DispatchEvent::Retry { number, deadline: deadline(within, now) };
    let (life, _) = before.life.step(event);
    let again = StoredDispatch { life, report: None, made_at: now, changed_at: now, ..before };
    tx.set_dispatch(&again)?;
    Ok(Ok(again))
}

fn step(
    tx: &mut dyn Tx,
    before: StoredDispatch,
    event: DispatchEvent,
    report: Option<DispatchReport>,
    now: UnixTime,
) -> Result<SteppedDispatch, StoreError> {
    let (event, report) = within_bounds(&before, event, report);
    let (life, action) = before.life.step(event);
    let changed = life != before.life;
    if !changed {
        return Ok(SteppedDispatch { dispatch: before, action, changed });
    }
    // What the node told first stays.
    let report = before.report.clone().or(report);
    let dispatch = StoredDispatch { life, report, changed_at: now, ..before };
    tx.set_dispatch(&dispatch)?;
    Ok(SteppedDispatch { dispatch, action, changed })
}

/// A result that is longer than was asked for is a failure.
fn within_bounds(
    of: &StoredDispatch,
    event: DispatchEvent,
    report: Option<DispatchReport>,
) -> (DispatchEvent, Option<DispatchReport>) {
    let most = of.task.max_payload;
    match report {
        Some(DispatchReport::Result(bytes)) if bytes.len() > usize::from(most) => {
            let reason = format!("its result has {} bytes, and {most} were allowed", bytes.len());
            (DispatchEvent::Outcome(DispatchEnd::Failed), Some(DispatchReport::Reason(reason)))
        }
        report @ (Some(DispatchReport::Result(_) | DispatchReport::Reason(_)) | None) => {
            (event, report)
        }
    }
}

fn step_one(
    tx: &mut dyn Tx,
    node_id: NodeId,
    id: DispatchId,
    event: DispatchEvent,
    report: Option<DispatchReport>,
    now: UnixTime,
) -> Result<Option<SteppedDispatch>, StoreError> {
    // Only the addressed node has a say.
    let Some(before) = tx.dispatch(id)?.filter(|before| before.task.node_id == node_id) else {
        return Ok(None);
    };
    // Checked in the step that sends, so that nothing leaves for a session that has ended.
    let is_orphan = matches!(event, DispatchEvent::Pushed { .. })
        && makers::end_of(tx, before.task.maker, now)?.is_none();
    let event = if is_orphan { DispatchEvent::Cancel } else { event };
    step(tx, before, event, report, now).map(Some)
}

/// Applies an event to all open dispatches of a node, or to all.
pub(super) fn step_open(
    tx: &mut dyn Tx,
    node_id: Option<NodeId>,
    event: DispatchEvent,
    now: UnixTime,
) -> Result<Vec<SteppedDispatch>, StoreError> {
    let mut stepped = Vec::new();
    for before in tx.open_dispatches(node_id)? {
        stepped.push(step(tx, before, event, None, now)?);
    }
    Ok(stepped)
}

fn announce(tx: &mut dyn Tx, id: NodeId, capability: &Capability) -> Result<bool, StoreError> {
    let known = tx.capabilities(id)?;
    if known.contains(capability) {
        return Ok(true);
    }
    let is_new = !known.iter().any(|other| other.name == capability.name);
    if is_new && known.len() >= CAPABILITIES {
        return Ok(false);
    }
    tx.set_capability(id, capability)
}

fn entry(what: What, dispatch: &StoredDispatch) -> Entry {
    let DispatchTask { node_id, id, .. } = dispatch.task;
    Entry::new(what, [Detail::Node(node_id), Detail::Dispatch(id)])
}

#[async_trait]
impl<D: Database> Dispatches for D {
    async fn enqueue(
        &self,
        task: DispatchTask,
        within: Span,
        now: UnixTime,
    ) -> Result<Result<Enqueued, NotQueued>, StoreError> {
        self.decide(move |tx| {
            let queued = enqueue(tx, task, within, now)?;
            Ok::<_, StoreError>(match &queued {
                Ok(Enqueued::New(dispatch)) => {
                    let entry = entry(What::Invoke, dispatch);
                    Decided::by(queued, entry.at(now))
                }
                // A request that is repeated decides nothing anew.
                Ok(Enqueued::Before(_)) | Err(_) => Decided::nothing(queued),
            })
        })
        .await
    }

    async fn takes_tasks(&self, node_id: NodeId) -> Result<Result<(), NotQueued>, StoreError> {
        self.point(move |tx| takes_tasks(tx, node_id)).await
    }

    async fn retry_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
        within: Span,
        now: UnixTime,
    ) -> Result<Result<StoredDispatch, NotQueued>, StoreError> {
        self.decide(move |tx| {
            let again = retry(tx, node_id, id, within, now)?;
            Ok::<_, StoreError>(match &again {
                Ok(dispatch) => {
                    let entry = entry(What::Retry, dispatch);
                    Decided::by(again, entry.at(now))
                }
                Err(_) => Decided::nothing(again),
            })
        })
        .await
    }

    async fn step_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
        event: DispatchEvent,
        report: Option<DispatchReport>,
        now: UnixTime,
    ) -> Result<Option<SteppedDispatch>, StoreError> {
        self.decide(move |tx| {
            let stepped = step_one(tx, node_id, id, event, report, now)?;
            // Everything else is what the node, or time, has brought about.
            Ok::<_, StoreError>(match &stepped {
                Some(SteppedDispatch { dispatch, changed: true, .. })
                    if matches!(event, DispatchEvent::Cancel) =>
                {
                    let entry = entry(What::Cancel, dispatch);
                    Decided::by(stepped, entry.at(now))
                }
                Some(_) | None => Decided::nothing(stepped),
            })
        })
        .await
    }

    async fn step_open_dispatches(
        &self,
        node_id: Option<NodeId>,
        event: DispatchEvent,
        now: UnixTime,
    ) -> Result<Vec<SteppedDispatch>, StoreError> {
        self.change(move |tx| step_open(tx, node_id, event, now)).await
    }

    async fn dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
    ) -> Result<Option<StoredDispatch>, StoreError> {
        let found = self.point(move |tx| tx.dispatch(id)).await?;
        Ok(found.filter(|found| found.task.node_id == node_id))
    }

    async fn dispatches_of(
        &self,
        node_id: NodeId,
        limit: usize,
    ) -> Result<Vec<StoredDispatch>, StoreError> {
        self.page(move |tx| tx.dispatches_of(node_id, limit)).await
    }

    async fn open_dispatches(&self, node_id: NodeId) -> Result<Vec<StoredDispatch>, StoreError> {
        self.point(move |tx| tx.open_dispatches(Some(node_id))).await
    }

    async fn dispatches_due(
        &self,
        now: UnixTime,
        limit: usize,
    ) -> Result<Vec<StoredDispatch>, StoreError> {
        self.page(move |tx| tx.dispatches_due(now, limit)).await
    }

    async fn next_dispatch_deadline(&self) -> Result<Option<UnixTime>, StoreError> {
        self.point(|tx| tx.next_due()).await
    }

    async fn announce(&self, node_id: NodeId, capability: Capability) -> Result<bool, StoreError> {
        self.change(move |tx| announce(tx, node_id, &capability)).await
    }

    async fn capabilities(&self, node_id: NodeId) -> Result<Vec<Capability>, StoreError> {
        self.point(move |tx| tx.capabilities(node_id)).await
    }
}
