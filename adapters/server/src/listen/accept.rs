//! The accept loop of every listener. Connection slots are counted from accept, and silent
//! connections give way. Behind a proxy that speaks the PROXY protocol, a connection counts as
//! arrived once its header has been read.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::Source;
use handfast_core::limits::PROXY_HEADER_WITHIN;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::connection::slots::{SeatGuard, Seats};
use crate::gateway::Gateway;
use crate::proxies::read_header;
use crate::telemetry::spans;

/// Time for connections to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);
/// Maximum number of connections over the limit that are refused with a message at the same time;
/// more are dropped silently.
const MOST_REFUSALS: usize = 64;

/// A listener, and the form in which its connections begin.
#[derive(Debug)]
pub struct Listening {
    /// Listener that is bound already.
    pub listener: TcpListener,
    /// `true` if each connection begins with a PROXY header of version 2. Then only listed proxies
    /// may connect ([`ProxySettings`](crate::proxies::ProxySettings)), and they must send the
    /// header within two seconds.
    pub proxy_protocol: bool,
}

impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Self {
        Self { listener, proxy_protocol: false }
    }
}

/// An accepted connection, ready to be served.
pub(crate) struct Arrived {
    pub(crate) stream: TcpStream,
    /// Address of the peer, or the one that a proxy names.
    pub(crate) peer: SocketAddr,
    /// The connection's slot. `None` if there is none free: the connection is only refused. The
    /// slot of a listed proxy's connection has no source yet.
    pub(crate) seat: Option<SeatGuard>,
}

/// Accepts connections until `until` completes, and passes each to `each`. Then it shuts the
/// gateway down and waits a moment for its connections.
pub(crate) async fn accept<F, W>(
    gateway: &Gateway,
    listening: Listening,
    until: impl Future<Output = ()>,
    each: F,
) where
    F: Fn(Arrived) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let mut connections = accept_with(gateway, &gateway.inner.seats, listening, until, each).await;
    // Connections must hear of the shutdown before they are waited for.
    gateway.shut_down();
    // A WebSocket goes on in a task of its own, which only this count knows.
    let mut sessions = gateway.inner.sessions.subscribe();
    let all = async {
        while connections.join_next().await.is_some() {}
        let _ = sessions.wait_for(|open| *open == 0).await;
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("some connections did not end in time and were dropped");
    }
    let inner = &gateway.inner;
    // The connections have ended, so no node reports any more.
    inner.readings.flush(&inner.store, inner.clock.now()).await;
}

/// Accepts connections with separate slots, and without shutting the gateway down. Returns the
/// connections that are still open.
pub(crate) async fn accept_with<F, W>(
    gateway: &Gateway,
    seats: &Seats,
    listening: Listening,
    until: impl Future<Output = ()>,
    each: F,
) -> JoinSet<()>
where
    F: Fn(Arrived) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let Listening { listener, proxy_protocol } = listening;
    let (each, proxies) = (Arc::new(each), &gateway.inner.proxies);
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
                // Most likely no descriptors are free: a connection that has sent nothing gives
                // way.
                seats.evict_oldest();
                if complained.is_none_or(|last| last.elapsed() > Duration::from_secs(1)) {
                    complained = Some(tokio::time::Instant::now());
                    tracing::warn!(%error, "a connection could not be accepted");
                }
                // Without a pause the loop would spin until a descriptor is free.
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        };
        let listed = proxies.lists(peer.ip());
        if proxy_protocol && !listed {
            tracing::debug!(%peer, "a connection came from no listed proxy, where only these may connect");
            continue;
        }
        // The client behind a proxy is not known yet, so only the total bounds the proxy's
        // connections.
        let seat = seats.take((!listed).then(|| Source::of(peer.ip())));
        let refusal = match &seat {
            Some(_) => None,
            None => match Arc::clone(&refusals).try_acquire_owned() {
                Ok(permit) => Some(permit),
                // Enough connections are being refused already: this one is dropped silently.
                Err(_) => continue,
            },
        };
        tune(&stream);
        let each = Arc::clone(&each);
        let arrived = Arrived { stream, peer, seat };
        let span = spans::connection(arrived.peer.ip());
        let serving = async move {
            match proxy_protocol {
                false => each(arrived).await,
                true => {
                    // Boxed, so that connections without a header do not carry its future.
                    if let Some(arrived) = Box::pin(arrived.behind_a_header()).await {
                        each(arrived).await;
                    }
                }
            }
            // The permit bounds how many connections without a slot are refused with a message at
            // once.
            drop(refusal);
        };
        connections.spawn(serving.instrument(span));
    }
    connections
}

impl Arrived {
    /// Returns the connection with the peer that its PROXY header names; `None` if the header is
    /// missing, malformed or late.
    async fn behind_a_header(mut self) -> Option<Self> {
        let within = Duration::from_millis(PROXY_HEADER_WITHIN.as_millis());
        match tokio::time::timeout(within, read_header(&mut self.stream)).await {
            // A header that names nobody stands for the proxy itself.
            Ok(Ok(named)) => Some(Self { peer: named.unwrap_or(self.peer), ..self }),
            Ok(Err(error)) => {
                tracing::debug!(proxy = %self.peer, %error, "a proxy's connection is closed");
                None
            }
            Err(_) => {
                tracing::debug!(proxy = %self.peer, "a proxy took too long to say for whom it connects");
                None
            }
        }
    }
}

/// Enables TCP_NODELAY. Without it, an answer in two writes waits 40 ms for the peer's
/// acknowledgement.
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
