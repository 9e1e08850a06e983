//! Authority of a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use handfast_core::registry::authority::{Authority, Maker};

use super::failure::AdminFailure;
use crate::hex::hex;

/// The authority of a request. A layer inserts it; a request without one is not served.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Authority>);

impl Caller {
    pub(crate) fn new(authority: Authority) -> Self {
        Self(Arc::new(authority))
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.0
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
