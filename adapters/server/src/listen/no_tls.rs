//! The place of TLS in a build without the feature `tls`.

use std::io;

use axum::Router;

use crate::gateway::Gateway;

/// An acceptor of TLS. There is no value of it in a build without the feature `tls`.
#[derive(Clone, Copy, Debug)]
pub enum TlsAcceptor {}

/// The TLS of a listener, of which there is none.
#[derive(Clone, Copy)]
pub(crate) struct Tls(TlsAcceptor);

impl Tls {
    pub(crate) const fn of_browsers(acceptor: TlsAcceptor) -> Self {
        Self(acceptor)
    }

    pub(crate) async fn accept<S>(self, _: S, _: Router, _: &Gateway) -> io::Result<(Router, S)> {
        match self.0 {}
    }
}
