//! Our own accept loop, for whatever is spoken over it: seats are counted from accept, and who is silent makes room.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::id::Source;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::seats::SeatGuard;

/// How long connections may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);
/// Connections over the limit that may be told so at the same time; more are dropped without a word.
const MOST_REFUSALS: usize = 64;

/// Accepts until `until` ends and gives each connection to `each`, without a seat if there is none: then it is only to be told so. In the end it shuts the
/// gateway down and waits a moment for its connections.
pub(crate) async fn accept<F, W>(gateway: &Gateway, listener: TcpListener, until: impl Future<Output = ()>, each: F)
where
    F: Fn(TcpStream, SocketAddr, Option<SeatGuard>) -> W,
    W: Future<Output = ()> + Send + 'static,
{
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
        tune(&stream);
        let work = each(stream, peer, seat);
        connections.spawn(async move {
            work.await;
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
    let inner = &gateway.inner;
    inner.readings.flush(&inner.store, inner.clock.now()).await;
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
