//! The steps, messages and jobs of the world of dispatches.

use handfast_core::link::dispatch::{DispatchEnd, Known};

/// A step of the gateway, the node, the operator or the link between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node opens a link, and the gateway asks about what is unknown.
    Connect,
    /// The link is cut, with all that is under way on it.
    Cut,
    /// The gateway notices that the link is gone.
    NoticeLostLink,
    /// The gateway stores that a dispatch is sent, and sends it.
    Push {
        /// The dispatch.
        which: usize,
    },
    /// The gateway stores that a dispatch is sent, and crashes before it leaves.
    PushAndCrash {
        /// The dispatch.
        which: usize,
    },
    /// The gateway receives the next message.
    GatewayReceives,
    /// The gateway crashes and starts again.
    Crash,
    /// The operator cancels a dispatch.
    Cancel {
        /// The dispatch.
        which: usize,
    },
    /// The operator sends an expired dispatch again.
    Retry {
        /// The dispatch.
        which: usize,
    },
    /// A second passes.
    SecondPasses,
    /// The gateway looks at its deadlines.
    GatewayTicks,
    /// The node receives the next message.
    NodeReceives,
    /// The node's handler begins.
    NodeBegins {
        /// The dispatch.
        which: usize,
    },
    /// The node's handler ends, and its end is stored.
    NodeEnds {
        /// The dispatch.
        which: usize,
        /// Its end.
        end: DispatchEnd,
    },
    /// The node sends a stored end.
    NodeSends {
        /// The dispatch.
        which: usize,
    },
    /// The node loses its power.
    PowerCut,
    /// The node starts again from its stored board.
    Boot,
    /// The gateway's registry is backed up.
    BackUpRegistry,
    /// The gateway's registry is put back to its backup.
    RestoreRegistry,
    /// The node's storage is backed up.
    BackUpNode,
    /// The node's storage is put back to its backup. That is noticed by the clone alarm, and the
    /// operator has released it before it links again.
    RestoreNode,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ToNode {
    Dispatch { which: usize, number: u64 },
    Cancel { which: usize },
    Query { which: usize, number: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ToGateway {
    Started { which: usize },
    Outcome { which: usize, end: DispatchEnd },
    Answer { which: usize, known: Known },
}

/// Both directions of a link, in order; the channel is sealed, so nothing is repeated or swapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Link {
    pub(super) to_node: Vec<ToNode>,
    pub(super) to_gateway: Vec<ToGateway>,
}

/// The work of the node on one dispatch, lost at a power cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    Taken { which: usize },
    Works { which: usize },
    Ended { which: usize, end: DispatchEnd },
}

impl Job {
    pub(super) fn which(&self) -> usize {
        match self {
            Self::Taken { which } | Self::Works { which } | Self::Ended { which, .. } => *which,
        }
    }
}
