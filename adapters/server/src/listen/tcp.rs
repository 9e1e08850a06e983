//! The native wire over TCP, for peers without HTTP. It needs no TLS: everything after the
//! handshake is sealed.

use std::future::Future;

use crate::connection::framed::FramedTransport;
use crate::connection::preauth_bytes::Metered;
use crate::connection::slots::SeatGuard;
use crate::flows::native::flow;
use crate::gateway::Gateway;
use crate::listen::accept::{Arrived, Listening, accept};
use crate::proxies::PeerAddress;
use crate::telemetry::spans;

/// Serves the native wire on a listener until `until` completes, then closes every connection and
/// waits a moment for them to end. Slots, budgets and the behaviour without free descriptors are as
/// for [`crate::serve`]; TCP_NODELAY is on.
pub async fn serve_tcp(
    gateway: Gateway,
    listener: impl Into<Listening>,
    until: impl Future<Output = ()>,
) {
    let served = gateway.clone();
    let each = move |Arrived { stream, peer, seat }: Arrived| {
        spans::flow("native");
        let (gateway, since) = (served.clone(), served.inner.clock.now());
        let address = PeerAddress::new(peer.ip());
        // The slot of a proxy's connection has no source until now.
        let seat = seat.filter(|seat| seat.counts_for(Some(address.source())));
        let stream = Metered { stream, meter: seat.as_ref().map(SeatGuard::meter) };
        flow::driver(gateway, FramedTransport::new(stream), address.ip(), since, seat.into()).run()
    };
    accept(&gateway, listener.into(), until, each).await;
}
