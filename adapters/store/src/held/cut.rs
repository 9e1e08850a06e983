//! The decisions that are in force before they are stored.

use handfast_core::crypto::x25519;
use handfast_core::grant::capability;
use handfast_core::id::NodeId;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::sessions::SessionId;

use crate::{EndedWith, Revoked, SenderChange};

/// A decision that takes something away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A node is muted, unpaired or turned down.
    Node {
        /// The node.
        node_id: NodeId,
        /// The decision.
        decision: Decision,
        /// Its static key, if what rests on it ends as well.
        key: Option<x25519::PublicKey>,
    },
    /// A node may do no more than this.
    Ceiling {
        /// The node.
        node_id: NodeId,
        /// What it may do at most.
        ceiling: Box<Ceiling>,
    },
    /// Grants of a node end.
    Grants {
        /// The node.
        node_id: NodeId,
        /// The grant; all of them, if there is none.
        which: Option<GrantId>,
        /// The capabilities that end by it.
        capabilities: Vec<capability::Id>,
    },
    /// A block or a key is revoked.
    Revoked(Revoked),
    /// A companion's session ends.
    Session {
        /// The session.
        id: SessionId,
        /// What ends with it, as far as that is known: without it, what the session itself made.
        with: Box<EndedWith>,
    },
    /// A PIN or code is withdrawn.
    Code(CodeId),
    /// Pairing is closed.
    Window,
    /// A sender may write no longer.
    Sender {
        /// The channel.
        channel: String,
        /// The account; all of them, if there is none.
        account: Option<String>,
        /// The sender, as its channel spells it.
        sender: String,
        /// The decision.
        change: SenderChange,
    },
}

/// What a cut is about. There is one cut for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Node(NodeId),
    Ceiling(NodeId),
    Grants(NodeId, Option<GrantId>),
    Revoked(Revoked),
    Session(SessionId),
    Code(CodeId),
    Window,
    Sender(String, Option<String>, String),
}

impl Cut {
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Node { node_id, .. } => Subject::Node(*node_id),
            Self::Ceiling { node_id, .. } => Subject::Ceiling(*node_id),
            Self::Grants { node_id, which, .. } => Subject::Grants(*node_id, *which),
            Self::Revoked(what) => Subject::Revoked(*what),
            Self::Session { id, .. } => Subject::Session(*id),
            Self::Code(id) => Subject::Code(*id),
            Self::Window => Subject::Window,
            Self::Sender { channel, account, sender, .. } => {
                Subject::Sender(channel.clone(), account.clone(), sender.clone())
            }
        }
    }

    /// The key of which every block is out by this.
    pub(super) const fn key(&self) -> Option<&x25519::PublicKey> {
        match self {
            Self::Node { decision: Decision::Unpair, key: Some(key), .. }
            | Self::Revoked(Revoked::Key(key)) => Some(key),
            Self::Node { .. }
            | Self::Ceiling { .. }
            | Self::Grants { .. }
            | Self::Revoked(Revoked::Block(_))
            | Self::Session { .. }
            | Self::Code(_)
            | Self::Window
            | Self::Sender { .. } => None,
        }
    }

    /// The blocks that are out by this.
    pub(super) fn blocks(&self) -> &[capability::Id] {
        match self {
            Self::Grants { capabilities, .. } => capabilities,
            Self::Session { with, .. } => &with.capabilities,
            Self::Revoked(Revoked::Block(id)) => std::slice::from_ref(id),
            Self::Node { .. }
            | Self::Ceiling { .. }
            | Self::Revoked(Revoked::Key(_))
            | Self::Code(_)
            | Self::Window
            | Self::Sender { .. } => &[],
        }
    }
}
