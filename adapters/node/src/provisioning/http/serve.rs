//! The listener of the API: few connections, each bounded in time, and none outside the setup window
//! of a provisioned node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use handfast_core::flow::provisioning::settings::Openness;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::probes::LocalAddress;
use super::{ApiState, closed_router, router};

/// Connections at once. More wait in the system's queue.
const CONNECTIONS: usize = 32;
/// Limit for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Limit for a connection, whatever it does: a phone opens another one.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);
/// Wait after an error of the system, or before the port is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provisioning) enum Port {
    /// The API and the page.
    Api,
    /// Where phones look for a page by themselves. It is there to set the node up, and for nothing
    /// else.
    Captive,
}

impl Port {
    const fn openness(self, node: Openness) -> Openness {
        match (self, node) {
            (Self::Captive, Openness::Settings) => Openness::Closed,
            (Self::Api | Self::Captive, node) => node,
        }
    }
}

/// Serves the API while it is open, and closes its port while it is not.
pub(in crate::provisioning) async fn serve(
    listener: TcpListener,
    port: Port,
    api: ApiState,
    mut open: watch::Receiver<Openness>,
) {
    let Ok(address) = listener.local_addr() else { return };
    let mut bound = Some(listener);
    let mut warned = false;
    loop {
        let wanted = open.wait_for(|open| port.openness(*open) != Openness::Closed).await;
        let Ok(openness) = wanted.map(|open| port.openness(*open)) else { return };
        let listener = match bound.take() {
            Some(listener) => listener,
            None => match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(why) => {
                    // Tried again, but said once.
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!("the setup API cannot listen on {address}: {why}");
                    }
                    sleep(AGAIN).await;
                    continue;
                }
            },
        };
        tokio::select! {
            () = accept(&listener, &api, openness) => {}
            changed = open.wait_for(|open| port.openness(*open) != openness) => {
                let Ok(now) = changed.map(|open| port.openness(*open)) else { return };
                let number = address.port();
                match now {
                    Openness::Setup => {}
                    Openness::Settings => tracing::info!(
                        "the setup window is over: port {number} takes only what is sealed under K2"
                    ),
                    Openness::Closed => {
                        tracing::info!("the setup window is over: port {number} is closed");
                        continue;
                    }
                }
                bound = Some(listener);
            }
        }
    }
}

/// Accepts connections; dropping the future ends all of them.
async fn accept(listener: &TcpListener, api: &ApiState, openness: Openness) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let api = api.clone();
                connections.spawn(async move {
                    one(stream, from, api, openness).await;
                    drop(place);
                });
            }
            Err(why) => {
                tracing::debug!("a connection could not be accepted: {why}");
                sleep(AGAIN).await;
            }
        }
    }
}

async fn one(stream: TcpStream, from: SocketAddr, api: ApiState, openness: Openness) {
    let _ = stream.set_nodelay(true);
    // A connection without an address of its own is over already.
    let Ok(local) = stream.local_addr() else { return };
    let router = match openness {
        Openness::Setup => router(api),
        Openness::Settings | Openness::Closed => closed_router(api),
    };
    let router = router.layer(Extension(ConnectInfo(from))).layer(Extension(LocalAddress(local)));
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    // An error is the phone's, which then tries again.
    let _ = timeout(CONNECTION_WITHIN, connection).await;
}
