//! HTTP, plain or in TLS, over the accept loop: silent sockets end, and nothing waits for a slow handshake.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::accept::accept;
use crate::gateway::Gateway;
use crate::meter::Metered;
use crate::router::Accepted;
use crate::seats::SeatGuard;

/// How long answering a request may take, beyond the time it had to be asked in.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What HTTP reads of one head at most.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves a gateway on a listener until `until` ends, then closes every connection with "going away" and waits a moment for them.
///
/// With `tls`, only TLS is spoken. TCP_NODELAY is on. Failing accepts are logged and tried again.
pub async fn serve(gateway: Gateway, listener: TcpListener, tls: Option<TlsAcceptor>, until: impl Future<Output = ()>) {
    let router = gateway.router();
    let served = gateway.clone();
    let each = move |stream, peer, seat| one(router.clone(), stream, peer, tls.clone(), seat, served.clone());
    accept(&gateway, listener, until, each).await;
}

/// One connection until it has become a WebSocket, which goes on in a task of its own. All it may do before that (TLS, heads of requests, looks at the
/// health) has one bound together.
async fn one(
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    seat: Option<SeatGuard>,
    gateway: Gateway,
) {
    let displaced = seat.as_ref().map(SeatGuard::watch);
    let stream = Metered { stream, meter: seat.as_ref().map(SeatGuard::meter) };
    let head_within = Duration::from_millis(gateway.inner.limits.first_message.as_millis());
    let accepted = Accepted { at: gateway.inner.clock.now(), seat: Arc::new(Mutex::new(seat)) };
    let work = async {
        match tls {
            None => http(router, stream, peer, accepted, &gateway, head_within).await,
            Some(tls) => match tokio::time::timeout(head_within, tls.accept(stream)).await {
                Ok(Ok(stream)) => http(router, stream, peer, accepted, &gateway, head_within).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    };
    tokio::select! {
        () = work => {}
        // Silent before it even asked for a WebSocket, and somebody else needs the seat.
        () = async { match displaced { Some(displaced) => displaced.notified().await, None => std::future::pending().await } } => {}
        () = tokio::time::sleep(head_within + ANSWER_WITHIN) => tracing::debug!("a connection took too long to ask for something"),
    }
}

async fn http<S>(router: Router, stream: S, peer: SocketAddr, accepted: Accepted, gateway: &Gateway, head_within: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(accepted.clone());
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut shutdown = gateway.inner.shutdown.subscribe();
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = async { shutdown.wait_for(|down| *down).await.map(drop) } => {
            // What is under way is answered, and a WebSocket that is just opening gets to hear goodbye; what is idle ends.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
    }
}
