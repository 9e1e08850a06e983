//! What a store keeps of the time: the mark, the number of the run, and what was seen to be over.

use async_trait::async_trait;
use handfast_core::id::NodeId;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::sessions::SessionId;
use handfast_core::registry::trusted_time::Step;
use handfast_core::time::UnixTime;

use crate::{SenderName, StoreError};

/// A run that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The number with which all that it makes is stored.
    pub number: u64,
    /// The latest time that earlier runs knew: the mark that was kept, or just behind what the last
    /// run made since. None, if none of them kept it.
    pub mark: Option<UnixTime>,
}

/// How much a step of the clock has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TakenOver {
    /// Entries of this run whose times were moved.
    pub moved: u64,
    /// Entries of earlier runs that ended, because they were made under a false time.
    pub ended: u64,
}

/// Something whose time was seen to be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// A companion's session.
    Session(SessionId),
    /// A node's grant. An offer that was not confirmed in time is none: it stays the last word on
    /// what its node may do.
    Grant(NodeId, GrantId),
    /// A request that waits for the operator.
    Request(NodeId),
    /// A PIN or code.
    Code(CodeId),
    /// The pairing window.
    Window,
    /// A setup code that ends then.
    SetupCode(UnixTime),
    /// What a sender was allowed.
    Sender(SenderName),
}

/// The part of a [`Store`](crate::Store) that is about time.
///
/// The store itself writes the number of the run with all that has an end, when it is made and when
/// its end is set anew.
#[async_trait]
pub trait Timekeeping: Send + Sync + 'static {
    /// Begins a run: from now on what is made is stored with its number.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn begin_run(&self) -> Result<Run, StoreError>;

    /// Writes the mark, if it is later than the one that is kept.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn raise_mark(&self, mark: UnixTime) -> Result<(), StoreError>;

    /// Takes a step of the clock over: moves the times of what this run made, and writes the mark,
    /// in one step. Where the operator sets the time back, what earlier runs made more than a
    /// minute after it ends.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable, and then nothing was moved.
    async fn take_over(&self, step: Step) -> Result<TakenOver, StoreError>;

    /// Writes that something is over, if by `now` it is: it stays so whatever the clock says later.
    /// `false` if that was written before, or it is not over, or not there.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn write_over(&self, what: Over, now: UnixTime) -> Result<bool, StoreError>;
}
