//! Authority of a request.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use handfast_core::registry::authority::{Authority, Maker};

use super::failure::AdminFailure;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::hex::hex;

/// The authority of a request. A layer inserts it; a request without one is not served.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    authority: Arc<Authority>,
    from: Option<IpAddr>,
}

impl Caller {
    /// Returns the caller with this authority, and the address of its peer if it came over a
    /// network.
    pub(crate) fn new(authority: Authority, from: Option<IpAddr>) -> Self {
        Self { authority: Arc::new(authority), from }
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// The gateway as this caller acts on it: what the caller decides is recorded as its own. Every
/// handler of the operator's API takes the gateway in this way.
pub(in crate::http) struct Acting(pub(in crate::http) Gateway);

impl FromRequestParts<Gateway> for Acting {
    type Rejection = AdminFailure;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Gateway,
    ) -> Result<Self, AdminFailure> {
        let caller = Caller::from_request_parts(parts, gateway).await?;
        let maker = caller.authority.code_maker().map_err(OperatorError::from)?;
        Ok(Self(gateway.by(maker.into(), caller.from)))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = AdminFailure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AdminFailure> {
        parts.extensions.get::<Self>().cloned().ok_or(AdminFailure::NoCaller)
    }
}

/// Returns the `made_by` value of views: `operator`, `session ID` of a companion, or `login ID` of
/// an operator.
pub(crate) fn made_by(maker: Maker) -> String {
    match maker {
        Maker::Operator => "operator".to_owned(),
        Maker::Session(id) => format!("session {}", hex(id.as_bytes())),
        Maker::Login(id) => format!("login {}", hex(id.as_bytes())),
    }
}

/// Returns the `made_by` default for answers of a gateway that does not send the field.
pub(crate) fn by_operator() -> String {
    made_by(Maker::Operator)
}
