//! A tower layer that admits only requests whose bearer allows their action.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handfast_core::grant::scope::{Action, Address, ScopeError};
use tower::{Layer, Service};

use super::permit::{Bearer, BearerRefused};
use crate::gateway::Gateway;

impl Gateway {
    /// Creates a layer that demands a bearer which allows this action at the path of the request.
    /// The path is the one the router sees, without the prefix of a router that nests it. The
    /// handler behind the layer may extract the [`Bearer`].
    #[must_use]
    pub fn require(&self, action: Action) -> Require {
        Require { gateway: self.clone(), action, address: None }
    }

    /// Creates a layer that checks the action at a fixed address instead of the request's path.
    ///
    /// # Errors
    /// [`ScopeError`] if the address is malformed.
    pub fn require_at(&self, action: Action, address: &str) -> Result<Require, ScopeError> {
        Address::parse(address)?;
        Ok(Require { gateway: self.clone(), action, address: Some(address.into()) })
    }
}

/// The layer that [`Gateway::require`] and [`Gateway::require_at`] create.
#[derive(Clone)]
pub struct Require {
    gateway: Gateway,
    action: Action,
    address: Option<Arc<str>>,
}

impl<S> Layer<S> for Require {
    type Service = Required<S>;

    fn layer(&self, inner: S) -> Required<S> {
        Required { inner, require: self.clone() }
    }
}

/// The service that [`Require`] wraps around another.
#[derive(Clone)]
pub struct Required<S> {
    inner: S,
    require: Require,
}

impl Require {
    async fn check(&self, parts: &Parts) -> Result<Bearer, BearerRefused> {
        let permit = Bearer::of(&self.gateway, parts).await?;
        let allowed = match &self.address {
            Some(address) => allows(&permit, self.action, address)?,
            None => allows(
                &permit,
                self.action,
                &decoded(parts.uri.path()).map_err(BearerRefused::BadAddress)?,
            )?,
        };
        if allowed { Ok(permit) } else { Err(BearerRefused::NotAllowed(self.action)) }
    }
}

fn allows(permit: &Bearer, action: Action, address: &str) -> Result<bool, BearerRefused> {
    let address = Address::parse(address).map_err(BearerRefused::BadAddress)?;
    Ok(permit.allows(action, &address))
}

/// Returns the text of a path, percent-decoded once.
///
/// # Errors
/// [`ScopeError::Character`] for text that is not UTF-8, an incomplete escape, and an escape of a
/// slash, a backslash or a percent sign: a server behind this one that decodes it differently would
/// serve another address than the one that was checked.
pub(crate) fn decoded(path: &str) -> Result<String, ScopeError> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let escaped = digit().zip(digit()).map(|(high, low)| high << 4 | low);
        match escaped {
            Some(b'/' | b'\\' | b'%') | None => return Err(ScopeError::Character),
            Some(byte) => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| ScopeError::Character)
}

impl<S> Service<Request> for Required<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let require = self.require.clone();
        // `poll_ready` made this service ready, not its clone: the ready one handles the request.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match require.check(&parts).await {
                Ok(permit) => {
                    parts.extensions.insert(permit);
                    inner.call(Request::from_parts(parts, body)).await
                }
                Err(refused) => Ok(refused.into_response()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_decoded_once_and_never_into_what_parts_a_path() {
        assert_eq!(decoded("/k%C3%BCche/lamp%201").unwrap(), "/küche/lamp 1");
        for hidden in ["/a%2Fb", "/a%2fb", "/a%5c..", "/%252e%252e", "/%", "/%2", "/%zz", "/%ff"] {
            assert_eq!(decoded(hidden), Err(ScopeError::Character), "{hidden}");
        }
    }
}
