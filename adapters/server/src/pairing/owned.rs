//! What a connection and the gateway hand each other about a request to pair: core's words, with
//! texts of their own, so that they outlive an await.

use std::net::IpAddr;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::{ed25519, x25519};
use handfast_core::flow::native::gateway::Offer;
use handfast_core::id::NodeId;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::text::Name;
use handfast_core::wire::native::Reason;
use handfast_core::wire::native::pair::{self, Method};
use handfast_core::wire::token::Token;

/// A request to pair whose signature was verified.
#[derive(Clone, Debug)]
pub(crate) struct OwnedRequest {
    /// The static key that it proved on its channel.
    pub key: x25519::PublicKey,
    /// The key with which it signed.
    pub signing: ed25519::PublicKey,
    /// What it calls itself.
    pub name: Name,
    /// Where it says it stands.
    pub room: Name,
    /// What it is made of: a JSON object.
    pub profile: String,
    /// What it shows.
    pub method: Method,
    /// The certificate request that came with it. Nothing issues certificates over this wire yet.
    #[expect(dead_code, reason = "kept for whoever issues certificates")]
    pub csr: Option<Vec<u8>>,
    /// From where; 0.0.0.0 for a serial line.
    pub address: IpAddr,
    /// Tells it from others of the same device, however often it is settled.
    pub number: u64,
}

/// How a request goes on.
#[derive(Debug)]
pub(crate) enum OwnedPrepared {
    Refused(OwnedRefusal),
    Pin { id: CodeId, code: Code, expires_in: u32, attempts: u8 },
    Code { id: Option<CodeId>, code: Code },
    Setup,
    Settle,
}

/// A grant that is durable and ready to be sent.
#[derive(Debug)]
pub(crate) struct OwnedOffer {
    pub id: GrantId,
    pub node_id: NodeId,
    pub room: Name,
    pub token: Option<Token>,
    pub chain: Option<Vec<u8>>,
    pub message: Option<String>,
}

impl OwnedOffer {
    /// The offer as core takes it. The token goes along; a second call has none.
    pub(crate) fn lend(&mut self) -> Offer<'_> {
        Offer {
            id: self.id,
            node_id: self.node_id,
            room: self.room.label(),
            token: self.token.take(),
            chain: self.chain.as_deref(),
            message: self.message.as_deref().and_then(Reason::parse),
        }
    }
}

/// What became of a request.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it comes once for a connection, and is not kept")]
pub(crate) enum OwnedVerdict {
    Offered(OwnedOffer),
    /// The operator has to decide about it.
    Waits {
        /// The entry that waits.
        node_id: NodeId,
        /// For so many seconds.
        expires_in: u32,
    },
    Refused(OwnedRefusal),
}

/// Which part of a grant is wanted anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RenewKind {
    /// A bearer for HTTP.
    Token,
    /// The capability.
    Chain,
}

/// Why a node is not paired: [`pair::Refusal`] with a text of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedRefusal {
    Expired,
    Locked,
    Closed,
    Denied { reason: Option<String> },
    Revoked,
    Busy { retry_in: u32 },
    Spent,
    CannotStore { retry_in: u32 },
}

impl OwnedRefusal {
    /// When to come again if the fault is ours, in seconds.
    pub(crate) const BUSY: Self = Self::Busy { retry_in: 5 };

    /// The store failed.
    pub(crate) const CANNOT_STORE: Self = Self::CannotStore { retry_in: 5 };

    /// The refusal as core takes it.
    pub(crate) fn lend(&self) -> pair::Refusal<'_> {
        match self {
            Self::Expired => pair::Refusal::Expired,
            Self::Locked => pair::Refusal::Locked,
            Self::Closed => pair::Refusal::Closed,
            Self::Denied { reason } => {
                pair::Refusal::Denied { reason: reason.as_deref().and_then(Reason::parse) }
            }
            Self::Revoked => pair::Refusal::Revoked,
            Self::Busy { retry_in } => pair::Refusal::Busy { retry_in: *retry_in },
            Self::Spent => pair::Refusal::Spent,
            Self::CannotStore { retry_in } => pair::Refusal::CannotStore { retry_in: *retry_in },
        }
    }
}
