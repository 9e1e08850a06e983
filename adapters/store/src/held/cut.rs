//! Held decisions: in force before they are stored.

use handfast_core::NodeId;
use handfast_core::crypto::x25519;
use handfast_core::grant::capability;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::sessions::{LoginId, SessionId};

use crate::{EndedWith, Revoked, RevokedCertificates, SenderChange};

/// A decision that takes something away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A node is muted, revoked or rejected.
    Node {
        /// Id of the node.
        node_id: NodeId,
        /// The decision of the operator.
        decision: Decision,
        /// The node's static key, if the tokens that name it end as well.
        key: Option<x25519::PublicKey>,
    },
    /// A node's permissions are limited.
    Ceiling {
        /// Id of the node.
        node_id: NodeId,
        /// Upper bound of the node's permissions.
        ceiling: Box<Ceiling>,
    },
    /// Grants of a node end.
    Grants {
        /// Id of the node.
        node_id: NodeId,
        /// Id of the grant; `None` for all grants of the node.
        which: Option<GrantId>,
        /// Capabilities that end with the grants.
        capabilities: Vec<capability::Id>,
    },
    /// A block or a key is revoked.
    Revoked(Revoked),
    /// A companion's session ends.
    Session {
        /// Id of the session.
        id: SessionId,
        /// The known consequences. Without them, only what the session itself made ends.
        with: Box<EndedWith>,
    },
    /// An operator's session or token ends.
    Login(LoginId),
    /// A PIN or code is withdrawn.
    Code(CodeId),
    /// The pairing window is closed.
    Window,
    /// A sender loses permission to write.
    Sender {
        /// Name of the channel.
        channel: String,
        /// The account on the channel; `None` for all accounts.
        account: Option<String>,
        /// The sender's id, spelled as on its channel.
        sender: String,
        /// The change that the operator decided.
        change: SenderChange,
    },
    /// Certificates are revoked.
    Certificates(RevokedCertificates),
    /// A node is evicted: the certificates of its epoch are not valid any more.
    Evicted {
        /// Id of the node.
        node_id: NodeId,
        /// The epoch that ends.
        from: u32,
    },
}

/// The subject of a cut. There is at most one cut for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Node(NodeId),
    Ceiling(NodeId),
    Grants(NodeId, Option<GrantId>),
    Revoked(Revoked),
    Session(SessionId),
    Login(LoginId),
    Code(CodeId),
    Window,
    Sender(String, Option<String>, String),
    Certificates(RevokedCertificates),
    Evicted(NodeId),
}

impl Cut {
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Node { node_id, .. } => Subject::Node(*node_id),
            Self::Ceiling { node_id, .. } => Subject::Ceiling(*node_id),
            Self::Grants { node_id, which, .. } => Subject::Grants(*node_id, *which),
            Self::Revoked(what) => Subject::Revoked(*what),
            Self::Session { id, .. } => Subject::Session(*id),
            Self::Login(id) => Subject::Login(*id),
            Self::Code(id) => Subject::Code(*id),
            Self::Window => Subject::Window,
            Self::Sender { channel, account, sender, .. } => {
                Subject::Sender(channel.clone(), account.clone(), sender.clone())
            }
            Self::Certificates(which) => Subject::Certificates(*which),
            Self::Evicted { node_id, .. } => Subject::Evicted(*node_id),
        }
    }

    /// Returns the key whose blocks are all invalid by this cut.
    pub(super) const fn key(&self) -> Option<&x25519::PublicKey> {
        match self {
            Self::Node { decision: Decision::Unpair, key: Some(key), .. }
            | Self::Revoked(Revoked::Key(key)) => Some(key),
            Self::Node { .. }
            | Self::Ceiling { .. }
            | Self::Grants { .. }
            | Self::Revoked(Revoked::Block(_))
            | Self::Session { .. }
            | Self::Login(_)
            | Self::Code(_)
            | Self::Window
            | Self::Sender { .. }
            | Self::Certificates(_)
            | Self::Evicted { .. } => None,
        }
    }

    /// Returns the blocks that are invalid by this cut.
    pub(super) fn blocks(&self) -> &[capability::Id] {
        match self {
            Self::Grants { capabilities, .. } => capabilities,
            Self::Session { with, .. } => &with.capabilities,
            Self::Revoked(Revoked::Block(id)) => std::slice::from_ref(id),
            Self::Node { .. }
            | Self::Ceiling { .. }
            | Self::Revoked(Revoked::Key(_))
            | Self::Login(_)
            | Self::Code(_)
            | Self::Window
            | Self::Sender { .. }
            | Self::Certificates(_)
            | Self::Evicted { .. } => &[],
        }
    }
}
