//! The stored state of the clock: the mark, the number of the run, and entries seen to be over.

use async_trait::async_trait;
use handfast_core::grant::certificate::Serial;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::policies::PolicyId;
use handfast_core::registry::sessions::SessionId;
use handfast_core::registry::trusted_time::ClockStep;
use handfast_core::{NodeId, UnixTime};

use crate::{SenderName, StoreError};

/// A run of the gateway that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number that is stored with everything that the run makes.
    pub number: u64,
    /// The latest time known to earlier runs: the stored mark, or just after the last thing that
    /// the last run made. `None` if no earlier run stored a mark.
    pub mark: Option<UnixTime>,
}

/// The changes that a step of the clock caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TakenOver {
    /// Number of entries of this run whose times were moved.
    pub moved: u64,
    /// Number of entries of earlier runs that ended, because they were made under a wrong clock.
    pub ended: u64,
}

/// An entry whose end was seen to have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// A companion's session.
    Session(SessionId),
    /// A node's grant. Not an offer that was not confirmed in time: it stays the latest decision
    /// about its node's permissions.
    Grant(NodeId, GrantId),
    /// A request that waits for the operator.
    Request(NodeId),
    /// A PIN or a code.
    Code(CodeId),
    /// The pairing window.
    Window,
    /// A setup code that expires at this time.
    SetupCode(UnixTime),
    /// A sender's permission.
    Sender(SenderName),
    /// An approval policy.
    Policy(PolicyId),
    /// A certificate.
    Certificate(Serial),
}

/// The part of a [`Store`](crate::Store) for time.
///
/// The store itself records the number of the run with everything that has an end, when it is made
/// and when its end is set again.
#[async_trait]
pub trait Timekeeping: Send + Sync + 'static {
    /// Begins a run: what is made from now on is stored with its number.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn begin_run(&self) -> Result<Run, StoreError>;

    /// Stores the mark, if it is later than the stored one.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn raise_mark(&self, mark: UnixTime) -> Result<(), StoreError>;

    /// Applies a step of the clock: moves the times of what this run made, and writes the mark, in
    /// one step. If the operator sets the time back, entries that earlier runs made more than a
    /// minute after it end.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable, and then nothing was moved.
    async fn take_over(&self, step: ClockStep) -> Result<TakenOver, StoreError>;

    /// Records that an entry is over, if it is by `now`; it stays over whatever the clock says
    /// later. `false` if that was recorded before, the entry is not over, or it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn write_over(&self, what: Over, now: UnixTime) -> Result<bool, StoreError>;
}
