//! The capabilities of a node: what an operator may have it do.

use core::future::pending;

use handfast_core::wire::native::CapabilityName;
use handfast_core::wire::native::link::{Announce, DispatchId, Percent};
use handfast_core::{Label, NodeId, Span};

/// The tasks that a node can do, which an embedder implements.
///
/// The driver announces the capabilities after each link. It notes a task durably before
/// [`start`](Self::start), and its end before the gateway learns of it, so a task is started once
/// at most, whatever happens to the power.
///
/// A task that is done at once, such as switching a pin, is done in `start`. One that takes longer
/// goes on beside the link: `start` returns [`Started::Runs`], and [`next`](Self::next) tells how
/// it goes on.
///
/// ```
/// use handfast_edge::native::{Capabilities, Capability, Started, Task, TaskEnd};
///
/// /// A lamp that an operator switches.
/// struct Lamp { is_on: bool }
///
/// const LIGHT: Capability =
///     Capability { name: "light", version: "1", available: true, idempotent: true };
///
/// impl Capabilities for Lamp {
///     fn capability(&self, at: usize) -> Option<Capability> {
///         (at == 0).then_some(LIGHT)
///     }
///
///     fn start(&mut self, task: &Task<'_>, _output: &mut [u8]) -> Started {
///         match task.input {
///             b"on" => self.is_on = true,
///             b"off" => self.is_on = false,
///             _ => return Started::Ended(TaskEnd::Rejected("on or off")),
///         }
///         Started::Ended(TaskEnd::Succeeded(0))
///     }
/// }
/// assert_eq!(LIGHT.check(), Ok(()));
/// # let lamp = Lamp { is_on: false };
/// # assert!(lamp.capability(1).is_none());
/// ```
pub trait Capabilities {
    /// Returns the capability at this place, counted from 0; `None` behind the last one.
    fn capability(&self, at: usize) -> Option<Capability>;

    /// Starts a task of an available capability and writes its result, if it has one already, to
    /// `output`. `output` is as long as a result may be.
    fn start(&mut self, task: &Task<'_>, output: &mut [u8]) -> Started;

    /// Waits for the next event of a task that runs, and writes the result or the note that comes
    /// with it to `output`. Dropping the future loses nothing.
    async fn next(&mut self, _output: &mut [u8]) -> TaskEvent {
        pending().await
    }

    /// Stops a task that runs, if it can be stopped. Its end follows from [`next`](Self::next), as
    /// without that.
    fn cancel(&mut self, _id: DispatchId) {}
}

/// A capability, as a node announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Capability {
    /// The name: 1 to 32 of `a`–`z`, `0`–`9`, `.`, `-` and `_`. A capability with another name is
    /// not announced; [`check`](Self::check) tells beforehand.
    pub name: &'static str,
    /// The version: at most 64 characters, none of them a control character.
    pub version: &'static str,
    /// `true` if it can be dispatched now.
    pub available: bool,
    /// `true` if running a task twice does no more than running it once.
    pub idempotent: bool,
}

/// The reason for which a capability cannot be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CapabilityError {
    /// The name is not 1 to 32 of `a`–`z`, `0`–`9`, `.`, `-` and `_`.
    Name,
    /// The version is longer than 64 characters, or holds a control character.
    Version,
}

impl Capability {
    /// Checks that the capability can be announced, for instance in a test of the firmware.
    ///
    /// # Errors
    /// [`CapabilityError`] with the field that cannot be sent.
    pub fn check(&self) -> Result<(), CapabilityError> {
        self.announced().map(|_| ())
    }

    /// Makes the message that announces the capability.
    pub(super) fn announced(&self) -> Result<Announce<'static>, CapabilityError> {
        Ok(Announce {
            capability: CapabilityName::parse(self.name).ok_or(CapabilityError::Name)?,
            version: Label::parse(self.version).ok_or(CapabilityError::Version)?,
            available: self.available,
            idempotent: self.idempotent,
        })
    }
}

/// A task for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Task<'b> {
    /// The id of the dispatch.
    pub id: DispatchId,
    /// The id of the node itself.
    pub node_id: NodeId,
    /// The name of the capability.
    pub capability: &'b str,
    /// The input.
    pub input: &'b [u8],
    /// Time in which the result is due.
    pub within: Span,
    /// Maximum length of the result in bytes, for one that comes later.
    pub max_result: usize,
}

/// Outcome of [`Capabilities::start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Started {
    /// The task runs.
    Runs,
    /// A person at the device has to agree first.
    AwaitsMediation,
    /// The task is over.
    Ended(TaskEnd),
}

/// The end of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TaskEnd {
    /// The task is done; its result is this number of bytes at the beginning of `output`.
    Succeeded(usize),
    /// The task was tried and failed, for a reason of 1 to 160 bytes.
    Failed(&'static str),
    /// The task was not tried, for a reason of 1 to 160 bytes.
    Rejected(&'static str),
    /// The task was not done in time.
    TimedOut,
    /// The task was stopped, because the gateway cancelled it.
    Cancelled,
}

/// An event of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TaskEvent {
    /// What [`Capabilities::capability`] returns has changed, so that all are announced anew.
    Changed,
    /// The task goes on, after a person has agreed or from the start.
    Runs(DispatchId),
    /// A person at the device has to agree first.
    AwaitsMediation(DispatchId),
    /// The task has come so far.
    Progress {
        /// The id of the dispatch.
        id: DispatchId,
        /// The share that is done.
        percent: Option<Percent>,
        /// Length of the note for people at the beginning of `output`, in bytes; 0 for none.
        note: usize,
    },
    /// The task is over.
    Ended(DispatchId, TaskEnd),
}
