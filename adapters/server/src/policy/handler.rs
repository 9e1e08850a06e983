//! The handler that decides about a request to pair, after its proof has been verified.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::settle::PolicyVerdict;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::record::Mode;
use handfast_core::wire::native::pair;

use super::request::OwnedRequest;
use super::rules::ApprovalTerms;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The time that a handler may take; after it the operator decides.
const WITHIN: Duration = Duration::from_secs(30);

/// The embedder's decision about nodes with keys that ask to be paired. A PIN or a code is verified
/// before the handler is asked.
///
/// If the handler panics or takes longer than 30 seconds, the operator decides, and the log says
/// so.
#[async_trait]
pub trait PairingHandler: Send + Sync + 'static {
    /// Decides about one request.
    async fn decide(&self, request: &PairingRequest<'_>) -> PairingDecision;
}

/// A request as the handler sees it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PairingRequest<'r> {
    /// The node's own name for itself.
    pub name: &'r str,
    /// The room that the node says it is in.
    pub room: &'r str,
    /// The node's description of itself: a JSON object.
    pub profile: &'r str,
    /// The address of the request; `None` for a serial line.
    pub address: Option<IpAddr>,
    /// `true` if a web page of a foreign origin asks, in whoever's browser: no approval should rest
    /// on the address then.
    pub foreign_page: bool,
    /// The fingerprint of the node's static key.
    pub fingerprint: Fingerprint,
    /// The proof that the node has shown.
    pub method: ProofMethod,
    /// The operator's label of the code that was proven.
    pub code_label: Option<&'r str>,
    /// The permissions of the code that was proven; `None` for a PIN.
    pub code_permissions: Option<&'r ScopesBuf>,
    /// The life of the grant that the code yields, if the operator set one.
    pub code_expires_in: Option<Duration>,
}

/// The kind of a node's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofMethod {
    /// A PIN that this gateway showed for the node.
    Pin,
    /// A code that was minted beforehand.
    Code,
    /// The node's static key alone.
    Approval,
    /// An operator's setup code. No handler is asked, because making the code was the approval.
    Setup,
}

impl ProofMethod {
    /// Returns the word for it in configurations and views.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::Code => "code",
            Self::Approval => "approval",
            Self::Setup => "setup",
        }
    }
}

impl From<pair::Method> for ProofMethod {
    fn from(method: pair::Method) -> Self {
        match method {
            pair::Method::Approval => Self::Approval,
            pair::Method::Pin => Self::Pin,
            pair::Method::Code { .. } => Self::Code,
            pair::Method::Setup => Self::Setup,
        }
    }
}

/// The decision of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairingDecision {
    /// The node is paired.
    Approve {
        /// The permissions of the node; empty for none.
        permissions: ScopesBuf,
        /// The life of the permissions, in whole seconds; `None` for the settings' default.
        expires_in: Option<Duration>,
        /// The mode of the node. A node that is paired already keeps its own, which only the
        /// operator changes.
        mode: Mode,
        /// The message to the node, at most 160 bytes on one line; a longer one is not sent.
        message: Option<String>,
    },
    /// The request is rejected. The registry records nothing, and the node may ask again.
    Reject {
        /// The message to the node, at most 160 bytes on one line; a longer one is not sent.
        reason: Option<String>,
    },
    /// The operator decides.
    Ask,
    /// The operator decides, on these terms by default. The terms are kept until the gateway stops;
    /// after that the settings' terms apply.
    Propose(ApprovalTerms),
}

impl PairingDecision {
    /// Returns the decision without its terms.
    pub(crate) const fn policy(&self) -> PolicyVerdict {
        match self {
            Self::Approve { .. } => PolicyVerdict::Approves,
            Self::Reject { .. } => PolicyVerdict::Rejects,
            Self::Ask | Self::Propose(_) => PolicyVerdict::Asks,
        }
    }
}

/// The part of a proven code that a handler sees.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedCode {
    pub(crate) label: String,
    /// The permissions of the code; `None` for a PIN.
    pub(crate) permissions: Option<ScopesBuf>,
    pub(crate) expires_in: Option<Duration>,
}

/// Asks the handler in a task of its own, so that its panic does not affect the gateway.
pub(crate) async fn ask(
    handler: &Arc<dyn PairingHandler>,
    request: &OwnedRequest,
    shown: Option<&VerifiedCode>,
) -> PairingDecision {
    let (handler, asked, shown) = (Arc::clone(handler), request.clone(), shown.cloned());
    let decide = async move {
        let view = PairingRequest {
            name: asked.name.as_str(),
            room: asked.room.as_str(),
            profile: &asked.profile,
            foreign_page: asked.foreign_page,
            // A serial line has no address, and 0.0.0.0 stands for it.
            address: Some(asked.address).filter(|address| !address.is_unspecified()),
            fingerprint: Fingerprint::of(&asked.key),
            method: asked.method.into(),
            code_label: shown.as_ref().map(|shown| shown.label.as_str()),
            code_permissions: shown.as_ref().and_then(|shown| shown.permissions.as_ref()),
            code_expires_in: shown.as_ref().and_then(|shown| shown.expires_in),
        };
        handler.decide(&view).await
    };
    let mut task = tokio::spawn(decide);
    match tokio::time::timeout(WITHIN, &mut task).await {
        Ok(Ok(decision)) => decision,
        Ok(Err(_)) => {
            limited!(error, CausedBy::Any, { name = ?request.name, } "the pairing handler panicked; the operator is asked instead");
            PairingDecision::Ask
        }
        Err(_) => {
            // The handler must not go on and act on a request that the operator decides now.
            task.abort();
            let name = &request.name;
            limited!(error, CausedBy::Any, { ?name, within = ?WITHIN, } "the pairing handler took too long; the operator is asked instead");
            PairingDecision::Ask
        }
    }
}
