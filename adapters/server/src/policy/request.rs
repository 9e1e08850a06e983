//! Core's types for requests to pair, in owned form. A connection and the gateway exchange them,
//! and they outlive an await.

use std::net::IpAddr;
use std::sync::Arc;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::{ed25519, x25519};
use handfast_core::flow::native::gateway::Offer;
use handfast_core::grant::certificate::KeyHash;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::record::Asked;
use handfast_core::wire::native::ReasonText;
use handfast_core::wire::native::pair::{self, Method};
use handfast_core::wire::token::Token;
use handfast_core::{Name, NodeId};

use crate::ca::{NotARequest, RequestedKey};

/// A request to pair with a verified signature.
#[derive(Clone, Debug)]
pub(crate) struct OwnedRequest {
    /// The static key that the node proved on its channel.
    pub key: x25519::PublicKey,
    /// The key that made the signature; `None` if the node has none.
    pub signing: Option<ed25519::PublicKey>,
    /// The node's own name.
    pub name: Name,
    /// The room in which the node claims to stand.
    pub room: Name,
    /// The node's profile: a JSON object.
    pub profile: String,
    /// The kind of proof that the node offers.
    pub method: Method,
    /// The permissions that the node asks for.
    pub wants: AskedScopesBuf,
    /// The certificate request of the node.
    pub csr: Option<CertificateRequest>,
    /// Address of the node; 0.0.0.0 for a serial line.
    pub address: IpAddr,
    /// `true` if a web page of a foreign origin opened the connection, in whoever's browser.
    pub foreign_page: bool,
    /// Number of this request. It differs from those of other requests of the same device, and
    /// stays the same however often the request is settled.
    pub number: u64,
}

impl OwnedRequest {
    /// Returns the address, where it says in which network the one who asks stands. A serial line
    /// lies in none. A page of a foreign origin says only in whose browser it was opened, so no
    /// decision rests on that browser's network.
    pub(crate) fn network_address(&self) -> Option<IpAddr> {
        Some(self.address).filter(|address| !address.is_unspecified() && !self.foreign_page)
    }

    /// Returns what an approval is bound to besides keys and name.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            permissions: self.wants.clone(),
            csr_key: self
                .csr
                .as_ref()
                .and_then(|csr| csr.key().ok())
                .map(|key| KeyHash::of(key.der())),
            method: self.method.into(),
        }
    }
}

/// A node's request for an X.509 certificate (PKCS #10), as it was read when it came: its
/// signature is verified once.
#[derive(Clone, Debug)]
pub(crate) struct CertificateRequest(Result<Arc<RequestedKey>, NotARequest>);

impl CertificateRequest {
    /// Reads a request and verifies its signature.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self(RequestedKey::from_csr(bytes).map(Arc::new))
    }

    /// Returns the key that the certificate is for.
    ///
    /// # Errors
    /// [`NotARequest`]: no certificate comes of the request.
    pub(crate) fn key(&self) -> Result<Arc<RequestedKey>, NotARequest> {
        self.0.clone()
    }
}

/// The next step of a request.
#[derive(Debug)]
pub(crate) enum OwnedPrepared {
    Refused(OwnedRefusal),
    Pin { id: CodeId, code: Code, expires_in: u32, attempts: u8 },
    Code { id: Option<CodeId>, code: Code },
    Setup,
    Settle,
}

/// A durable grant that is ready to be sent.
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
    /// Returns the offer in core's borrowed form. The token moves into it: a second call has none.
    pub(crate) fn lend(&mut self) -> Offer<'_> {
        Offer {
            id: self.id,
            node_id: self.node_id,
            room: self.room.label(),
            token: self.token.take(),
            chain: self.chain.as_deref(),
            // A message that does not fit must not stop the offer, so it is left out.
            message: self.message.as_deref().and_then(ReasonText::parse),
        }
    }
}

/// The outcome of a request.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it comes once for a connection, and is not kept")]
pub(crate) enum OwnedVerdict {
    Offered(OwnedOffer),
    /// The request waits for the operator's decision.
    Waits {
        /// Id of the entry that waits.
        node_id: NodeId,
        /// Remaining wait in seconds.
        expires_in: u32,
    },
    Refused(OwnedRefusal),
}

/// Reason to refuse a node: [`pair::PairRefusal`] with owned text.
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
    /// Refusal because the gateway is busy; the node retries after 5 s.
    pub(crate) const BUSY: Self = Self::Busy { retry_in: 5 };

    /// Refusal because the store failed; the node retries after 5 s.
    pub(crate) const CANNOT_STORE: Self = Self::CannotStore { retry_in: 5 };

    /// Returns the refusal in core's borrowed form.
    pub(crate) fn lend(&self) -> pair::PairRefusal<'_> {
        match self {
            Self::Expired => pair::PairRefusal::Expired,
            Self::Locked => pair::PairRefusal::Locked,
            Self::Closed => pair::PairRefusal::Closed,
            Self::Denied { reason } => {
                pair::PairRefusal::Denied { reason: reason.as_deref().and_then(ReasonText::parse) }
            }
            Self::Revoked => pair::PairRefusal::Revoked,
            Self::Busy { retry_in } => pair::PairRefusal::Busy { retry_in: *retry_in },
            Self::Spent => pair::PairRefusal::Spent,
            Self::CannotStore { retry_in } => {
                pair::PairRefusal::CannotStore { retry_in: *retry_in }
            }
        }
    }
}
