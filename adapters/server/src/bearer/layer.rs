//! A layer that lets through only requests whose bearer allows what they do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use handfast_core::grant::scope::{Action, Address, ScopeError};
use tower::{Layer, Service};

use super::permit::{BearerRefused, Permit};
use crate::gateway::Gateway;

impl Gateway {
    /// A layer that demands a bearer which allows this action at the path of the request: as the
    /// router sees it, so without what the router is nested under. The handler behind it may
    /// extract the [`Permit`].
    #[must_use]
    pub fn require(&self, action: Action) -> Require {
        Require { gateway: self.clone(), action, address: None }
    }

    /// The same for one address, whatever the path is.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn require_at(&self, action: Action, address: &str) -> Result<Require, ScopeError> {
        Address::parse(address)?;
        Ok(Require { gateway: self.clone(), action, address: Some(address.into()) })
    }
}

/// The layer that [`Gateway::require`] makes.
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

/// A service behind [`Require`].
#[derive(Clone)]
pub struct Required<S> {
    inner: S,
    require: Require,
}

impl Require {
    async fn check(&self, parts: &Parts) -> Result<Permit, BearerRefused> {
        let permit = Permit::of(&self.gateway, parts).await?;
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

fn allows(permit: &Permit, action: Action, address: &str) -> Result<bool, BearerRefused> {
    let address = Address::parse(address).map_err(BearerRefused::BadAddress)?;
    Ok(permit.allows(action, &address))
}

/// The text of a path, decoded once. An escape that hides a slash, a backslash or another escape is
/// refused: whoever decoded it differently behind us would serve another address than the one that
/// is allowed.
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
        // The one that is ready goes; its clone stays.
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
