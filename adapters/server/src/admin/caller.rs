//! By whose right a request comes.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use handfast_core::registry::authority::{Authority, Maker};

use super::failure::Failure;
use crate::pairing::hex;

/// By whose right a request comes; a layer says so, and a request of which none has is not served.
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
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or(Failure::NoCaller)
    }
}

/// A maker as views name it.
pub(crate) fn made_by(maker: Maker) -> String {
    match maker {
        Maker::Operator => "operator".to_owned(),
        Maker::Session(id) => format!("session {}", hex(id.as_bytes())),
    }
}

/// Who made what a gateway that does not say so lists.
pub(crate) fn by_operator() -> String {
    made_by(Maker::Operator)
}
