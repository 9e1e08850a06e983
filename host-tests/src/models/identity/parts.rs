//! The requests, messages and steps of the world of a node's identity.

/// The requests that the node makes: for little, and for everything with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// Little.
    Little,
    /// Everything, with another key for the certificate.
    Everything,
}

/// A message that the network holds; it may arrive any number of times, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// The node asks.
    Ask(Request),
    /// The certificate with this number.
    Certificate(u64),
    /// The node has stored the certificate with this number.
    Confirm(u64),
    /// The node opens a link with this certificate.
    Use(u64),
    /// The node asks for a new certificate.
    Renew,
}

/// A step of the node, the gateway, an operator or the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node asks to be paired.
    NodeAsks(Request),
    /// The node confirms the certificate that it has stored.
    NodeConfirms,
    /// The node opens a link with its certificate.
    NodeUses,
    /// The node asks for a new certificate.
    NodeRenews,
    /// The gateway sends the certificate with this number.
    GatewayDelivers(u64),
    /// A message arrives, for the first time or again.
    Arrives(Message),
    /// An operator's display shows the request.
    Look(usize),
    /// An operator approves what their display shows.
    Approve(usize),
    /// An operator rejects the request.
    Reject,
    /// An operator rejects the request for good.
    RejectForGood,
    /// An operator mutes the node.
    Mute,
    /// An operator unmutes the node.
    Unmute,
    /// An operator revokes the node.
    Revoke,
    /// An operator evicts the node.
    Evict,
    /// An hour passes.
    HourPasses,
}
