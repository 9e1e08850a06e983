//! The TLS of a listener.

use std::io;

use axum::{Extension, Router};
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite};
pub use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::gateway::Gateway;
use crate::listen::mtls::TlsPeer;
use crate::proxies::OverTls;

/// The TLS of a listener.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// Reads who the peer is, on a listener for nodes with certificates. Without a result the
    /// connection is closed.
    pub(crate) peer: Option<ReadPeer>,
}

type ReadPeer = fn(&ServerConnection, &Gateway) -> Option<TlsPeer>;

impl Tls {
    /// Creates the TLS of a listener whose clients show no certificate.
    pub(crate) const fn of_browsers(acceptor: TlsAcceptor) -> Self {
        Self { acceptor, peer: None }
    }

    /// Completes the handshake. The requests of the router then say that they come over TLS, and
    /// from whom.
    ///
    /// # Errors
    /// That of the handshake, or of a certificate that was revoked during it.
    pub(crate) async fn accept<S>(
        self,
        stream: S,
        router: Router,
        gateway: &Gateway,
    ) -> io::Result<(Router, TlsStream<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor.accept(stream).await?;
        // The allow-list may have changed since the check during the handshake.
        let router = match self.peer.map(|read| read(stream.get_ref().1, gateway)) {
            None => router.layer(Extension(OverTls)),
            Some(Some(peer)) => router.layer(Extension(peer)),
            Some(None) => {
                return Err(io::Error::other("the certificate was revoked during the handshake"));
            }
        };
        Ok((router, stream))
    }
}
