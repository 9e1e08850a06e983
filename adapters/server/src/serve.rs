//! Our own accept loop: seats are counted from accept, silent sockets end, and nothing waits for a slow handshake.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use handfast_core::id::Source;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::gateway::Gateway;
use crate::router::AcceptedSeat;
use crate::seats::SeatGuard;

/// How long a TLS handshake or the head of a request may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long connections may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);
/// Connections over the limit that may be told so at the same time; more are dropped without a word.
const MOST_REFUSALS: usize = 64;
/// What HTTP reads of one head at most.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves a gateway on a listener until `until` ends, then closes every connection with "going away" and waits a moment for them.
///
/// With `tls`, only TLS is spoken. TCP_NODELAY is on.
///
/// # Errors
/// None once it runs; failing accepts are logged and tried again.
pub async fn serve(gateway: Gateway, listener: TcpListener, tls: Option<TlsAcceptor>, until: impl Future<Output = ()>) {
    let router = gateway.router();
    let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
    let mut connections = JoinSet::new();
    tokio::pin!(until);
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: those that are open go on, and some will end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let seat = gateway.inner.seats.take(Source::of(peer.ip()));
        let refusal = match &seat {
            Some(_) => None,
            None => match Arc::clone(&refusals).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => continue,
            },
        };
        let (router, tls, gateway) = (router.clone(), tls.clone(), gateway.clone());
        connections.spawn(async move {
            let work = one(router, stream, peer, tls, seat, gateway);
            match refusal {
                // Told why, but not for long.
                Some(permit) => {
                    let _ = tokio::time::timeout(HANDSHAKE_WITHIN, work).await;
                    drop(permit);
                }
                None => work.await,
            }
        });
    }
    drop(listener);
    gateway.shut_down();
    let mut sessions = gateway.inner.sessions.subscribe();
    let all = async {
        while connections.join_next().await.is_some() {}
        let _ = sessions.wait_for(|open| *open == 0).await;
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("some connections did not end in time and were dropped");
    }
}

async fn one(
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    seat: Option<SeatGuard>,
    gateway: Gateway,
) {
    tune(&stream);
    match tls {
        None => http(router, stream, peer, seat, gateway).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => http(router, stream, peer, seat, gateway).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn http<S>(router: Router, stream: S, peer: SocketAddr, seat: Option<SeatGuard>, gateway: Gateway)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let displaced = seat.as_ref().map(SeatGuard::watch);
    let seat = AcceptedSeat(Arc::new(Mutex::new(seat)));
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(seat.clone());
        router.clone().oneshot(request)
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_WITHIN).max_buf_size(HEAD_BYTES).keep_alive(true);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut shutdown = gateway.inner.shutdown.subscribe();
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        // Silent before it even asked for a WebSocket, and somebody else needs the seat.
        () = async { match displaced { Some(displaced) => displaced.notified().await, None => std::future::pending().await } } => Ok(()),
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

/// Without this, an answer in two writes waits 40 ms for the peer's acknowledgement.
fn tune(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nagle_is_off_on_every_accepted_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tune(&stream);
        assert!(stream.nodelay().unwrap());
    }
}
