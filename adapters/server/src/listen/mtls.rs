//! The listener for nodes with certificates: TLS 1.3 alone, and in it a WebSocket with the
//! messages of a link.
//!
//! The certificate is decided about during the handshake, and once more when the handshake is
//! complete. No session is resumed, because that would skip the decision.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use handfast_core::Instant;
use handfast_core::limits::MESSAGE_BYTES;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, Span};

use crate::ca::{Admitted, AuthorityError, NodeVerifier, ServerCertificate};
use crate::clock::GatewayClock;
use crate::connection::slot_state::SlotState;
use crate::flows::native;
use crate::gateway::Gateway;
use crate::listen::accept::{Arrived, Listening, accept};
use crate::listen::over_tls::Tls;
use crate::listen::router::{Accepted, narrow};
use crate::listen::serve::one;
use crate::proxies::{NO_PEER, PeerAddress};
use crate::telemetry::spans;

/// The subprotocol of a link's messages over TLS: one message a frame, which is not sealed again.
pub const LINK_SUBPROTOCOL: &str = "handfast.link.v1";
/// The label of the exporter that binds a link to its TLS connection (RFC 9266).
const CHANNEL_BINDING: &[u8] = b"EXPORTER-Channel-Binding";
const ASK_FOR: &str = "This listener is for nodes with certificates: connect with a WebSocket and \
                       the subprotocol handfast.link.v1.\n";

/// Errors of a listener for nodes with certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MtlsError {
    /// The listener would let connections without a certificate in from other machines.
    #[error(
        "{0}: require_mtls = false is for a listener on loopback and without the PROXY protocol, \
         and other machines reach this one; listen on 127.0.0.1, or leave require_mtls on"
    )]
    NotOnLoopback(SocketAddr),
    /// The certificate authority does not sign the listener's certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The system does not tell the listener's address.
    #[error("the address of the listener is not known: {0}")]
    Address(#[from] std::io::Error),
}

/// A listener for nodes with certificates, ready to be served.
///
/// Available with the feature `tls`.
pub struct MtlsListening {
    listening: Listening,
    acceptor: TlsAcceptor,
}

/// A node's WebSocket over TLS, whose handshakes are complete.
pub struct TlsLink {
    /// The WebSocket, with the subprotocol [`LINK_SUBPROTOCOL`].
    pub socket: WebSocket,
    /// The node that its certificate names, and the certificate. `None` on a listener that lets
    /// connections without one in: the node has to prove itself by its own key.
    pub peer: Option<Admitted>,
    /// The bytes that only the two ends of this TLS connection know.
    pub binding: [u8; 32],
    /// Address of the node.
    pub address: IpAddr,
    /// Time of the accept on the gateway's monotonic clock, from which the first message is due.
    pub since: Instant,
    pub(crate) slot: SlotState,
}

impl TlsLink {
    /// Gives the slot back that a connection has until it has authenticated. In TLS 1.3 a node has
    /// done so with its first message: before that it may not know the verdict yet.
    pub fn authenticated(&mut self) {
        self.slot = SlotState::Free;
    }

    /// Completes when another connection needs the slot; until then the link may be waited for.
    pub async fn displaced(&self) {
        self.slot.evicted().await;
    }
}

/// The peer of a TLS connection, as its handshake has proven it.
#[derive(Clone, Debug)]
pub(crate) struct TlsPeer {
    admitted: Option<Admitted>,
    binding: [u8; 32],
}

impl TlsPeer {
    /// Returns the peer; `None` if its certificate is not allowed any more, because it was revoked
    /// while the handshake went on.
    fn of(connection: &ServerConnection, gateway: &Gateway) -> Option<Self> {
        // Only a listener that requires none lets a connection without a certificate come this far.
        let admitted = match connection.peer_certificates() {
            Some(chain) => Some(gateway.inner.allowed.admit(chain.first()?, gateway.now()).ok()?),
            None => None,
        };
        // A proof is bound to this TLS connection, so that it is of no use in another one.
        let exported = connection.export_keying_material([0; 32], CHANNEL_BINDING, None);
        Some(Self { admitted, binding: exported.ok()? })
    }
}

/// The time of the registry, for the validity of certificates.
#[derive(Debug)]
struct RegistryTime(GatewayClock);

impl TimeProvider for RegistryTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = std::time::Duration::from_secs(self.0.unix().as_secs());
        Some(UnixTime::since_unix_epoch(now))
    }
}

impl MtlsListening {
    /// Prepares a listener. With `require` a connection without a certificate is refused.
    ///
    /// # Errors
    /// [`MtlsError`].
    pub fn new(
        gateway: &Gateway,
        listener: impl Into<Listening>,
        require: bool,
    ) -> Result<Self, MtlsError> {
        let listening = listener.into();
        let address = listening.listener.local_addr()?;
        // Through a proxy, other machines reach a listener on loopback, too.
        let is_near = address.ip().to_canonical().is_loopback() && !listening.proxy_protocol;
        if !require && !is_near {
            return Err(MtlsError::NotOnLoopback(address));
        }
        let acceptor = TlsAcceptor::from(Arc::new(config(gateway, require)?));
        Ok(Self { listening, acceptor })
    }
}

fn config(gateway: &Gateway, require: bool) -> Result<ServerConfig, MtlsError> {
    let (authority, clock) = (Arc::clone(&gateway.inner.authority), &gateway.inner.clock);
    let (allowed, time) =
        (Arc::clone(&gateway.inner.allowed), Arc::new(RegistryTime(clock.clone())));
    // The certificate that is shown follows the registry's clock, as those that are checked do.
    let shown = clock.clone();
    let certificate = ServerCertificate::new(Arc::clone(&authority), move || shown.unix())?;
    let verifier = NodeVerifier::new(authority, allowed, require);
    let mut config = ServerConfig::builder_with_details(Arc::new(default_provider()), time)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(certificate));
    // A resumed session would skip the decision about the certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Serves a listener for nodes with certificates until `until` completes, then closes every
/// connection and waits a moment for them to end. Slots, budgets and the time for a handshake are
/// as for [`crate::serve`].
///
/// Available with the feature `tls`.
pub async fn serve_mtls(
    gateway: Gateway,
    listening: MtlsListening,
    until: impl Future<Output = ()>,
) {
    let links = |gateway: Gateway, link: TlsLink| {
        let TlsLink { socket, peer, binding, address, since, slot } = link;
        native::flow::driver_over_tls(gateway, socket, address, since, slot, (peer, binding)).run()
    };
    serve_mtls_with(gateway, listening, links, until).await;
}

/// As [`serve_mtls`], with each link of a node served by `links`.
///
/// Available with the feature `tls`.
pub async fn serve_mtls_with<L, W>(
    gateway: Gateway,
    listening: MtlsListening,
    links: L,
    until: impl Future<Output = ()>,
) where
    L: Fn(Gateway, TlsLink) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let MtlsListening { listening, acceptor } = listening;
    let served = gateway.clone();
    let router =
        Router::new().fallback(move |request| open(served.clone(), links.clone(), request));
    let tls = Tls { acceptor, peer: Some(TlsPeer::of) };
    let served = gateway.clone();
    let each =
        move |arrived: Arrived| one(router.clone(), arrived, Some(tls.clone()), served.clone());
    accept(&gateway, listening, until, each).await;
}

const CUT_OFF: &str = "The gateway is cut off from its registry; try another one.\n";

async fn open<L, W>(gateway: Gateway, links: L, request: Request) -> Response
where
    L: Fn(Gateway, TlsLink) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let (mut parts, _) = request.into_parts();
    // The certificate was admitted by what this gateway remembers.
    if !gateway.inner.hub.contact().admits() {
        return (StatusCode::SERVICE_UNAVAILABLE, CUT_OFF).into_response();
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map(|upgrade| upgrade.protocols([LINK_SUBPROTOCOL]));
    let upgrade = match upgrade {
        Ok(upgrade) if upgrade.selected_protocol().is_some() => upgrade,
        Ok(_) | Err(_) => return (StatusCode::BAD_REQUEST, ASK_FOR).into_response(),
    };
    let (peer, accepted) = (parts.extensions.get::<TlsPeer>(), parts.extensions.get::<Accepted>());
    let address = parts.extensions.get::<PeerAddress>();
    let (Some(peer), Some(accepted), Some(address)) = (peer, accepted, address) else {
        return (StatusCode::INTERNAL_SERVER_ERROR, NO_PEER).into_response();
    };
    // The link takes the slot over, so that the end of the HTTP connection does not free it.
    let seat = accepted.seat.lock().ok().and_then(|mut seat| seat.take());
    let (peer, since, address) = (peer.clone(), accepted.at, address.ip());
    spans::flow("identity");
    let span = Span::current();
    narrow(upgrade, MESSAGE_BYTES).on_upgrade(async move |socket| {
        let TlsPeer { admitted: peer, binding } = peer;
        let link = TlsLink { socket, peer, binding, address, since, slot: seat.into() };
        // The task of the upgrade holds the memory of the handshake, so the link gets its own.
        tokio::spawn(links(gateway, link).instrument(span));
    })
}

#[cfg(test)]
mod tests;
