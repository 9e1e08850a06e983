//! A connection with its adapter's state, and what is fed to it.

use handfast_core::budget::{Attempt, NoPlace};
use handfast_core::crypto::code::Code;
use handfast_core::flow::native::gateway::{CloneStanding, NativeConnection, PingAnswer};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::CHAIN_BYTES;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::Record;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::wire::native::pair::PairRefusal;
use handfast_core::wire::native::part::{Assembly, Object};
use handfast_core::wire::path::Action;
use handfast_core::{Machine, UnixTime};

use crate::native::identity::Task;
use crate::native::registry::{Offered, Request, Settled};

/// A connection with the state of its adapter.
#[derive(Debug)]
pub struct Seat {
    /// The machine; `None` once it has ended.
    pub machine: Option<NativeConnection>,
    /// The peer's self-description.
    pub request: Option<Request>,
    /// `true` once a code was proved on this connection and spent.
    pub proven: bool,
    /// Scopes of the peer's grant or chain, and the bounds on them.
    pub scopes: Option<(ScopesBuf, Vec<ScopesBuf>)>,
    /// The certificate request of the peer that pairs.
    pub csr: Option<Vec<u8>>,
    /// Patterns to which the peer subscribed.
    pub subscribed: Vec<String>,
    /// Messages of the peer's application.
    pub apps: Vec<(String, Vec<u8>)>,
    /// Outcomes of pings, by their numbers.
    pub ponged: Vec<(u32, PingAnswer)>,
    /// Number of heartbeats that were stored.
    pub observed: u32,
    pub(super) guesses: u8,
    pub(super) attempt: Option<Attempt>,
    pub(super) enters: Option<[u8; 32]>,
    pub(super) came: Option<Vec<u8>>,
    pub(super) assembly: Assembly,
    pub(super) room: Box<[u8; CHAIN_BYTES]>,
}

/// An input of a connection.
#[allow(clippy::large_enum_variant, reason = "few of them live at once")]
#[derive(Debug)]
pub enum GateIn {
    /// A frame from the peer.
    Frame(Vec<u8>),
    /// An answer of the store.
    Answer(Answer),
    /// A decision of the operator.
    Push(Notice),
    /// The result of a new look at the grant in force.
    Bounded(Option<UnixTime>, bool),
    /// The end of a subscription.
    Unsubscribed(String),
    /// A ping of the operator.
    Ping(u32),
    /// A task for the node.
    Dispatch(Task),
    /// The end of a task that is not wanted any more.
    Cancel(DispatchId),
    /// A question about a task.
    Query(DispatchId, u64),
    /// A message of the application.
    Deliver(Action, String, Vec<u8>),
    /// The deadline has passed.
    Tick,
    /// The gateway shuts down.
    Shutdown,
    /// Another connection needs the slot.
    Evict,
    /// The peer has disconnected.
    Closed,
}

/// The registry's data of a node.
pub type Loaded = (Record, Vec<Grant>, Option<Ceiling>);

/// An answer of the store.
#[derive(Debug)]
pub enum Answer {
    /// The answer to `Asked::Enter`.
    Entered(Result<(), NoPlace>),
    /// The answer to `Asked::Find`.
    Found(Result<Option<Loaded>, ()>),
    /// The answer to `Asked::Attach`.
    Attached(Result<Option<Loaded>, ()>, CloneStanding),
    /// A refusal in answer to `Asked::Prepare`.
    Refused(PairRefusal<'static>),
    /// The answer to `Asked::Prepare` for a PIN.
    Pin(CodeId, String),
    /// The answer to `Asked::Prepare` for a code.
    Code(Option<CodeId>, Code),
    /// The answer to `Asked::Prepare` for a setup code.
    Setup,
    /// The answer to `Asked::Prepare` without a proof: settle at once.
    Settle,
    /// The answer to `Asked::Reserve`.
    Reserved(Result<u8, NoGuess>),
    /// The answer to `Asked::Spend`.
    Spent(Result<bool, ()>),
    /// The answer to `Asked::Settle`.
    Settled(Settled),
    /// The store failed on `Asked::Settle` or `Asked::Prepare`.
    Busy,
    /// The answer to `Asked::Activate`.
    Activated(Result<Option<Option<UnixTime>>, ()>),
    /// The answer to `Asked::Present`.
    Presented(Option<(UnixTime, (ScopesBuf, Vec<ScopesBuf>))>),
    /// The answer to `Asked::Renew`.
    Renewed(Option<Offered>, Option<String>),
    /// The answer to `Asked::Issue`.
    Issued(Option<(u64, Object, Vec<u8>)>),
    /// The answer to `Asked::Name`.
    Name(String),
    /// The answer to `Asked::Addresses`, or a new list.
    Addresses(&'static str),
}

impl Seat {
    pub(super) fn new(machine: NativeConnection) -> Self {
        Self {
            machine: Some(machine),
            request: None,
            proven: false,
            scopes: None,
            csr: None,
            subscribed: Vec::new(),
            apps: Vec::new(),
            ponged: Vec::new(),
            observed: 0,
            guesses: 0,
            attempt: None,
            enters: None,
            came: None,
            assembly: Assembly::IDLE,
            room: Box::new([0; CHAIN_BYTES]),
        }
    }

    /// Returns the name of the machine's state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.machine.as_ref().map_or("gone", NativeConnection::state_name)
    }
}
