//! Tasks for nodes, and what nodes tell of them.

use serde::{Deserialize, Serialize};

use crate::id::opaque_id;
use crate::wire::native::{CapabilityName, Payload, ReasonText};

opaque_id! {
    /// The id of a dispatch; a node runs each id once.
    DispatchId
}

/// A task for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dispatch<'b> {
    /// The id of this dispatch.
    pub id: DispatchId,
    /// The number of this dispatch; it rises with each dispatch to the node.
    pub number: u64,
    /// The node's capability that runs the task.
    #[serde(borrow)]
    pub capability: CapabilityName<'b>,
    /// Time in which the result is due, in milliseconds.
    pub remaining_ms: u32,
    /// Maximum length of the result, in bytes.
    pub max_payload: u16,
    /// The input of the capability.
    #[serde(borrow)]
    pub input: Payload<'b>,
}

/// The outcome of a dispatch, with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DispatchResult<'b> {
    /// The id of the dispatch.
    pub id: DispatchId,
    /// The outcome so far.
    #[serde(borrow)]
    pub outcome: DispatchOutcome<'b>,
}

/// The state of a dispatch, as its node reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DispatchOutcome<'b> {
    /// A person at the node has to agree first; another outcome follows.
    AwaitingMediation,
    /// The task is done, with this result.
    Succeeded(#[serde(borrow)] Payload<'b>),
    /// The task was tried and failed.
    Failed(#[serde(borrow)] ReasonText<'b>),
    /// The task was not tried.
    Rejected(#[serde(borrow)] ReasonText<'b>),
    /// The task was not done in time.
    TimedOut,
    /// The task runs; another outcome follows.
    Started,
    /// The gateway cancelled the task, and the node stopped it.
    Cancelled,
}

impl DispatchOutcome<'_> {
    /// Returns `true` if no other outcome follows.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::AwaitingMediation | Self::Started => false,
            Self::Succeeded(_)
            | Self::Failed(_)
            | Self::Rejected(_)
            | Self::TimedOut
            | Self::Cancelled => true,
        }
    }
}

/// A [`DispatchOutcome`] after which no other one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(try_from = "DispatchOutcome<'b>")]
pub struct FinalOutcome<'b>(#[serde(borrow)] DispatchOutcome<'b>);

impl<'b> FinalOutcome<'b> {
    /// Checks that the outcome is final.
    #[must_use]
    pub const fn new(outcome: DispatchOutcome<'b>) -> Option<Self> {
        if outcome.is_final() { Some(Self(outcome)) } else { None }
    }

    /// Returns the outcome.
    #[must_use]
    pub const fn outcome(&self) -> DispatchOutcome<'b> {
        self.0
    }
}

impl<'b> TryFrom<DispatchOutcome<'b>> for FinalOutcome<'b> {
    type Error = &'static str;

    fn try_from(outcome: DispatchOutcome<'b>) -> Result<Self, Self::Error> {
        Self::new(outcome).ok_or("another outcome follows this one")
    }
}

/// How far a dispatch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DispatchProgress<'b> {
    /// The id of the dispatch.
    pub id: DispatchId,
    /// The share that is done.
    pub percent: Option<Percent>,
    /// A sentence for people.
    #[serde(borrow)]
    pub note: Option<ReasonText<'b>>,
}

/// A share in percent, from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(try_from = "u8")]
pub struct Percent(u8);

impl Percent {
    /// Checks a number; returns `None` above 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = &'static str;

    fn try_from(percent: u8) -> Result<Self, Self::Error> {
        Self::new(percent).ok_or("more than all")
    }
}

/// A node's knowledge of a dispatch, with the id and the number that the gateway asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DispatchAnswer<'b> {
    /// The id of the dispatch.
    pub id: DispatchId,
    /// The number of the dispatch.
    pub number: u64,
    /// The node's knowledge of it.
    #[serde(borrow)]
    pub known: KnownDispatch<'b>,
}

/// A node's knowledge of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KnownDispatch<'b> {
    /// The task runs.
    Running,
    /// A person at the node has to agree first.
    AwaitingMediation,
    /// The task is over, with this outcome.
    Done(#[serde(borrow)] FinalOutcome<'b>),
    /// The task is done; its result was too long for the node to keep.
    NotKept,
    /// The task was started and a power cut ended it. Its effects are unknown to the node.
    Interrupted,
    /// The task did not reach the node, which would remember it.
    NeverCame,
    /// The number is older than what the node remembers.
    Forgotten,
}
