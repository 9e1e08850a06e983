//! Our own accept loop: seats are counted from accept, silent sockets end, and nothing waits for a slow handshake.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use handfast_core::id::Source;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::gateway::Gateway;
use crate::meter::Metered;
use crate::router::Accepted;
use crate::seats::SeatGuard;

/// How long answering a request may take, beyond the time it had to be asked in.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
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
    let mut complained: Option<tokio::time::Instant> = None;
    tokio::pin!(until);
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a connection failed");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: whoever has sent nothing makes room.
                gateway.inner.seats.evict_oldest();
                if complained.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
                    complained = Some(tokio::time::Instant::now());
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
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
            one(router, stream, peer, tls, seat, gateway).await;
            // One that found no seat is told so; only so many at a time are.
            drop(refusal);
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
    tune(&stream);
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
