//! HTTP, plain or over TLS, on the accept loop. Silent sockets are closed, and nothing waits for a
//! slow handshake.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use handfast_core::Source;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use crate::connection::preauth_bytes::Metered;
use crate::connection::slots::SeatGuard;
use crate::gateway::Gateway;
use crate::http::admin::WAIT_MOST;
use crate::http::session_api;
use crate::http::session_api::ending::Unhurried;
use crate::listen::accept::{Arrived, Listening, accept};
use crate::listen::over_tls::{Tls, TlsAcceptor};
use crate::listen::router::Accepted;
use crate::proxies::LocalAddress;

/// Time for the client to read an answer, in addition to the time in which it has to send its next
/// request.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Time to answer a request: longer than anything behind the gateway may take.
const WORK_WITHIN: Duration = Duration::from_secs(40);
// A request that waits for a change is answered in time.
const _: () = assert!(WAIT_MOST.as_secs() < WORK_WITHIN.as_secs());
/// Time for connections that may stay as long as they like: a year.
const A_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// Maximum size of a request's head in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Serves a gateway on a listener until `until` completes, then closes every connection with "going
/// away" and waits a moment for them to end.
///
/// With `tls`, only TLS is spoken; a build without the feature `tls` has no [`TlsAcceptor`]. TCP_NODELAY is on. Failing accepts are logged and retried. Each
/// request over the connection of a listed proxy counts for the address that the proxy names
/// ([`ProxySettings`](crate::proxies::ProxySettings)).
pub async fn serve(
    gateway: Gateway,
    listener: impl Into<Listening>,
    tls: Option<TlsAcceptor>,
    until: impl Future<Output = ()>,
) {
    let router = gateway.router();
    let served = gateway.clone();
    let tls = tls.map(Tls::of_browsers);
    let each = move |arrived| one(router.clone(), arrived, tls.clone(), served.clone());
    accept(&gateway, listener.into(), until, each).await;
}

/// Serves one connection until it becomes a WebSocket, which continues in its own task. Each
/// request sets a new deadline for the next one. While a request is answered, the connection is
/// displaced only after silent ones.
pub(crate) async fn one(router: Router, arrived: Arrived, tls: Option<Tls>, gateway: Gateway) {
    let Arrived { stream, peer, seat } = arrived;
    // A connection from a listed proxy has had no source until now. The client that its PROXY
    // header names counts in that client's own share; if the header names a listed proxy again,
    // requests name the client.
    if !gateway.inner.proxies.lists(peer.ip())
        && seat.as_ref().is_some_and(|seat| !seat.counts_for(Some(Source::of(peer.ip()))))
    {
        tracing::debug!(%peer, "a connection is closed: its source has its share of places, and nobody silent in it");
        return;
    }
    let at = (peer, stream.local_addr().ok());
    let displaced = seat.as_ref().map(SeatGuard::watch);
    let stream = Metered { stream, meter: seat.as_ref().map(SeatGuard::meter) };
    let head_within = Duration::from_millis(gateway.inner.limits.first_message.as_millis());
    let accepted = Accepted { at: gateway.inner.clock.now(), seat: Arc::new(Mutex::new(seat)) };
    let pace = Pace::new(head_within + ANSWER_WITHIN);
    let work = async {
        match tls {
            None => http(router, stream, at, accepted, &gateway, &pace).await,
            // A slow handshake holds a place like a late first message, and has the same limit.
            Some(tls) => match timeout(head_within, tls.accept(stream, router, &gateway)).await {
                Ok(Ok((router, stream))) => {
                    http(router, stream, at, accepted, &gateway, &pace).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    };
    tokio::select! {
        () = work => {}
        // The connection is silent without a WebSocket, and another one needs its slot.
        () = async { match displaced { Some(displaced) => displaced.notified().await, None => std::future::pending().await } } => {}
        () = pace.over() => tracing::debug!("a connection took too long to ask for something, or to hear it"),
    }
}

/// Deadline for the next step of a connection.
#[derive(Clone)]
struct Pace {
    rest: Duration,
    until: watch::Sender<Instant>,
}

impl Pace {
    fn new(rest: Duration) -> Self {
        Self { rest, until: watch::Sender::new(Instant::now() + rest) }
    }

    /// Sets the deadline of an answer: a request is in progress.
    fn works(&self) {
        self.until.send_replace(Instant::now() + WORK_WITHIN);
    }

    /// Removes the deadline: the answer goes on, as a stream does.
    fn stays(&self) {
        self.until.send_replace(Instant::now() + A_LIFE);
    }

    /// Sets the deadline of the next request: the answer is complete.
    fn rests(&self) {
        self.until.send_replace(Instant::now() + self.rest);
    }

    /// Completes at the deadline.
    async fn over(&self) {
        let mut changed = self.until.subscribe();
        loop {
            let until = *changed.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                _ = changed.changed() => {}
            }
        }
    }
}

/// Serves the requests of one connection between two addresses.
async fn http<S>(
    router: Router,
    stream: S,
    (peer, local): (SocketAddr, Option<SocketAddr>),
    accepted: Accepted,
    gateway: &Gateway,
    pace: &Pace,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (paced, served) = (pace.clone(), gateway.clone());
    let proxied = gateway.inner.proxies.lists(peer.ip());
    let again = AtomicBool::new(false);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        let address = served.inner.proxies.address(peer.ip(), request.headers());
        // The first message is due from accept on; over a connection that was used before, from the
        // request on.
        let since = if again.swap(true, Ordering::Relaxed) {
            served.inner.clock.now()
        } else {
            accepted.at
        };
        let mut accepted = Accepted { at: since, ..accepted.clone() };
        let crowded = proxied && !accepted.counts_for(Some(address));
        if crowded {
            // The slot stays with the connection, for the next client of the proxy.
            accepted.seat = Arc::default();
        }
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer));
        extensions.insert(address);
        extensions.insert(accepted.clone());
        if let Some(local) = local {
            extensions.insert(LocalAddress(local));
        }
        let (router, paced) = (router.clone(), paced.clone());
        async move {
            paced.works();
            // An upgrade goes on without a slot: the WebSocket itself carries the refusal.
            if crowded && !request.headers().contains_key(header::UPGRADE) {
                paced.rests();
                return Ok(crowd(request.uri().path()));
            }
            accepted.seated(SeatGuard::rests);
            let Ok(answer) = router.oneshot(request).await;
            match answer.extensions().get::<Unhurried>() {
                Some(Unhurried) => paced.stays(),
                None => {
                    accepted.seated(SeatGuard::falls_silent);
                    if proxied {
                        // The next request over this connection may come for another client.
                        accepted.counts_for(None);
                    }
                    paced.rests();
                }
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // Without a timer the library cannot apply the timeout below.
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(gateway.inner.limits.first_message.as_millis()))
        // The library's default is about 400 KiB for each connection.
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut shutdown = gateway.inner.shutdown.subscribe();
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = async { shutdown.wait_for(|down| *down).await.map(drop) } => {
            // Requests in progress are answered, and a WebSocket that is just opening receives its
            // close frame; an idle connection ends.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Answers a proxy's request for a client that holds its share of unauthenticated connections.
fn crowd(path: &str) -> Response {
    let text =
        "Too many connections from your address have not authenticated. Try again in a moment.\n";
    let mut response = match session_api::is_api(path) {
        true => session_api::refuse(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text.trim_end()),
        false => (StatusCode::TOO_MANY_REQUESTS, text).into_response(),
    };
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
