//! Who decides about a request to pair: a handler, which sees it once its proof has held.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::record::Mode;
use handfast_core::wire::native::pair;

use super::request::OwnedRequest;
use super::rules::Terms;
use crate::telemetry::log_lines::{CausedBy, limited};

/// How long a handler may take; the operator decides where it takes longer.
const WITHIN: Duration = Duration::from_secs(30);

/// Decides about nodes with keys that ask to be paired. Whoever shows a PIN or a code has proven to
/// know it before the handler is asked.
///
/// One that panics, or takes longer than 30 seconds, has decided nothing: the operator is asked,
/// and the log says so.
#[async_trait]
pub trait PairingHandler: Send + Sync + 'static {
    /// Decides about a request.
    async fn decide(&self, request: &PairingRequest<'_>) -> PairingDecision;
}

/// What a handler sees of a request.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PairingRequest<'r> {
    /// What it calls itself.
    pub name: &'r str,
    /// Where it says it stands.
    pub room: &'r str,
    /// What it is made of: a JSON object of its own making.
    pub profile: &'r str,
    /// From where; none for a serial line.
    pub address: Option<IpAddr>,
    /// The fingerprint of its static key.
    pub fingerprint: Fingerprint,
    /// What it has shown.
    pub method: Method,
    /// What the operator called the code that it has shown.
    pub code_label: Option<&'r str>,
    /// What the code that it has shown allows; none for a PIN.
    pub code_permissions: Option<&'r ScopesBuf>,
    /// How long the grant lives that the code brings, if the operator said so.
    pub code_expires_in: Option<Duration>,
}

/// What a node has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// That it knows a PIN that this gateway showed for it.
    Pin,
    /// That it knows a code that was minted beforehand.
    Code,
    /// Nothing but its key.
    Approval,
    /// A setup code of the operator's. No handler is asked about it: making it was the operator's
    /// word.
    Setup,
}

impl Method {
    /// The word for it in configurations and views.
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

impl From<pair::Method> for Method {
    fn from(method: pair::Method) -> Self {
        match method {
            pair::Method::Approval => Self::Approval,
            pair::Method::Pin => Self::Pin,
            pair::Method::Code { .. } => Self::Code,
            pair::Method::Setup => Self::Setup,
        }
    }
}

/// What a handler decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairingDecision {
    /// It is paired.
    Approve {
        /// What it may do; nothing, with none.
        permissions: ScopesBuf,
        /// For how long, in whole seconds; as the settings say, if there is no time.
        expires_in: Option<Duration>,
        /// In which mode. A node that is paired already keeps its own: only the operator changes
        /// that.
        mode: Mode,
        /// What it is told; at most 160 bytes on one line, or it is not told.
        message: Option<String>,
    },
    /// It is turned down. Nothing is kept of it: it may ask again.
    Reject {
        /// What it is told; at most 160 bytes on one line, or it is not told.
        reason: Option<String>,
    },
    /// The operator decides.
    Ask,
    /// The operator decides, and these are the terms unless they choose others. They are kept until
    /// the gateway stops; then they are as for everybody.
    Propose(Terms),
}

/// The code that was proven, as far as a handler sees it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) label: String,
    /// None for a PIN.
    pub(crate) permissions: Option<ScopesBuf>,
    pub(crate) expires_in: Option<Duration>,
}

/// Asks the handler in a task of its own, so that what it does there is its own problem.
pub(crate) async fn ask(
    handler: &Arc<dyn PairingHandler>,
    request: &OwnedRequest,
    shown: Option<&Shown>,
) -> PairingDecision {
    let (handler, asked, shown) = (Arc::clone(handler), request.clone(), shown.cloned());
    let decide = async move {
        let view = PairingRequest {
            name: asked.name.as_str(),
            room: asked.room.as_str(),
            profile: &asked.profile,
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
            task.abort();
            let name = &request.name;
            limited!(error, CausedBy::Any, { ?name, within = ?WITHIN, } "the pairing handler took too long; the operator is asked instead");
            PairingDecision::Ask
        }
    }
}
