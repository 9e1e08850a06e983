//! Dispatches: tasks for nodes and their results, and the capabilities that nodes have announced.

use async_trait::async_trait;
use handfast_core::link::dispatch::{DispatchAction, DispatchEvent, DispatchLife};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span, UnixTime};

use crate::StoreError;

/// Maximum number of dispatches of one node that are not over.
pub const DISPATCHES_QUEUED: usize = 64;
/// Maximum number of dispatches of one node that are kept after they are over.
pub const DISPATCHES_KEPT: usize = 256;
/// Maximum number of capabilities of one node.
pub const CAPABILITIES: usize = 32;

/// A task for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchTask {
    /// Id of the dispatch, which the caller may have chosen: each id runs at most once.
    pub id: DispatchId,
    /// The node that runs the task.
    pub node_id: NodeId,
    /// Name of the node's capability.
    pub capability: String,
    /// Input of the capability.
    pub input: Vec<u8>,
    /// Maximum length of the result, in bytes.
    pub max_payload: u16,
    /// Maker of the dispatch. It is not sent once the maker's session has ended.
    pub maker: Maker,
}

/// What a node told about the end of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DispatchReport {
    /// The result.
    Result(Vec<u8>),
    /// The reason for a failure or a refusal, as text for people.
    Reason(String),
}

/// A dispatch as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDispatch {
    /// The task.
    pub task: DispatchTask,
    /// The state in its life.
    pub life: DispatchLife,
    /// What the node told about its end, late or in time.
    pub report: Option<DispatchReport>,
    /// Time at which it was queued, or queued again.
    pub made_at: UnixTime,
    /// Time of its last change.
    pub changed_at: UnixTime,
}

/// A dispatch that is in the queue, or was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The dispatch is new.
    New(StoredDispatch),
    /// The same request was made before: this is what became of it.
    Before(StoredDispatch),
}

impl Enqueued {
    /// Returns the dispatch.
    #[must_use]
    pub fn into_dispatch(self) -> StoredDispatch {
        match self {
            Self::New(dispatch) | Self::Before(dispatch) => dispatch,
        }
    }
}

/// The reason for which a dispatch was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// The node is unknown or not paired.
    NotPaired,
    /// The node is paired by a token; its dialect takes no dispatch.
    TakesNone,
    /// The node is muted.
    Muted,
    /// The node is in quarantine because it may have been copied.
    Quarantined,
    /// The node has announced no capability of this name.
    NotAnnounced,
    /// The node has announced that the capability is not available now.
    NotAvailable,
    /// Too many dispatches of the node are not over.
    Full,
    /// Another dispatch has this id.
    IdTaken,
    /// The maker's session has ended.
    MakerEnded,
    /// The node has no dispatch with this id.
    Unknown,
    /// The dispatch may have run, or is not over.
    MayHaveRun,
}

/// A dispatch after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteppedDispatch {
    /// The dispatch as it is stored now.
    pub dispatch: StoredDispatch,
    /// The message that may leave now.
    pub action: Option<DispatchAction>,
    /// `true` if the event has changed anything.
    pub changed: bool,
}

/// A capability of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Name of the capability.
    pub name: String,
    /// Version of the capability.
    pub version: String,
    /// `true` if it can be dispatched now.
    pub available: bool,
    /// `true` if running it twice does no more than running it once.
    pub idempotent: bool,
}

/// The part of a [`Store`](crate::Store) for dispatches. [`handfast_core::link::dispatch`] decides.
///
/// A node has at most [`DISPATCHES_QUEUED`] dispatches that are not over. Of those that are, the
/// last [`DISPATCHES_KEPT`] are kept, for 30 days. An id runs at most once for as long as its
/// dispatch is kept.
#[async_trait]
pub trait Dispatches: Send + Sync + 'static {
    /// Queues a task that has to be done within this time. A call with the same task again answers
    /// with what became of it. Each call also removes dispatches that are over for long.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable. The inner error is the reason for which the
    /// task was not queued.
    async fn enqueue(
        &self,
        task: DispatchTask,
        within: Span,
        now: UnixTime,
    ) -> Result<Result<Enqueued, NotQueued>, StoreError>;

    /// Decides whether a node may be given tasks at all, whatever it can do. The inner error is one
    /// of the first four of [`NotQueued`].
    ///
    /// # Errors
    /// [`StoreError`] if the node cannot be read.
    async fn takes_tasks(&self, node_id: NodeId) -> Result<Result<(), NotQueued>, StoreError>;

    /// Queues a dispatch again that certainly never ran, with a new number and deadline.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    async fn retry_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
        within: Span,
        now: UnixTime,
    ) -> Result<Result<StoredDispatch, NotQueued>, StoreError>;

    /// Applies an event to a dispatch of a node, in one step. A report is stored if the event
    /// changes the dispatch. `None` if the node has no dispatch with this id.
    ///
    /// A dispatch whose maker has ended is cancelled instead of pushed.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable; the action must not be carried out then.
    async fn step_dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
        event: DispatchEvent,
        report: Option<DispatchReport>,
        now: UnixTime,
    ) -> Result<Option<SteppedDispatch>, StoreError>;

    /// Applies an event to all dispatches that are not over: those of one node, or all. Returns
    /// those of one node in order of their numbers.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn step_open_dispatches(
        &self,
        node_id: Option<NodeId>,
        event: DispatchEvent,
        now: UnixTime,
    ) -> Result<Vec<SteppedDispatch>, StoreError>;

    /// Reads a dispatch of a node.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn dispatch(
        &self,
        node_id: NodeId,
        id: DispatchId,
    ) -> Result<Option<StoredDispatch>, StoreError>;

    /// Reads the dispatches of a node, the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn dispatches_of(
        &self,
        node_id: NodeId,
        limit: usize,
    ) -> Result<Vec<StoredDispatch>, StoreError>;

    /// Reads the dispatches of a node that are not over, in order of their numbers.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn open_dispatches(&self, node_id: NodeId) -> Result<Vec<StoredDispatch>, StoreError>;

    /// Returns dispatches whose time is over by now, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn dispatches_due(
        &self,
        now: UnixTime,
        limit: usize,
    ) -> Result<Vec<StoredDispatch>, StoreError>;

    /// Returns the earliest deadline of all dispatches that wait for one.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn next_dispatch_deadline(&self) -> Result<Option<UnixTime>, StoreError>;

    /// Stores a capability as the node announces it; nothing is written if it did so before.
    /// `false` if the node has too many already, or there is no such node.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn announce(&self, node_id: NodeId, capability: Capability) -> Result<bool, StoreError>;

    /// Reads the capabilities that a node has announced, ordered by name.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn capabilities(&self, node_id: NodeId) -> Result<Vec<Capability>, StoreError>;
}
