//! A gateway of the native wire: core's `Connection`, a registry of a few maps, and a WebSocket,
//! TCP or any other stream.

mod certificates;
mod registry;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::native::link::{CloneMark, DispatchId};
use handfast_core::{Entropy, NodeId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::soon;
use certificates::Authority;
pub(crate) use registry::{Registry, Shared};
use session::{Wire, serve, serve_tls};

/// An observation of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Pin(String),
    Asked(Fingerprint),
    Offered(NodeId),
    Activated(NodeId),
    Linked(NodeId),
    Delegate,
    Renewed(NodeId),
    App(String, Vec<u8>),
    Subscribed(String),
    /// The name of a capability.
    Announced(String),
    /// The state of the dispatch with this number, in the words of its debug text.
    Outcome(u64, String),
    Progress(u64, Option<u8>, Option<String>),
    /// What the node knows of the dispatch with this number.
    Answered(u64, String),
    NotDispatched(u64),
    /// The mark that the node showed when it linked.
    Showed(Option<CloneMark>),
    MarkStored(CloneMark),
    CertificateStored(u64),
    /// A connection over TLS with a client certificate.
    Tls,
    Gone(Option<NodeId>),
}

#[derive(Clone)]
pub(crate) enum Push {
    Notice(NodeId, Notice),
    Decided,
    Shutdown,
    Dispatch(Task),
    Cancel(u64),
    Query(u64),
}

/// A dispatch. Its number makes its id.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) number: u64,
    pub(crate) capability: &'static str,
    pub(crate) input: String,
    pub(crate) remaining_ms: u32,
}

impl Task {
    pub(crate) fn new(number: u64, capability: &'static str, input: &str) -> Self {
        Self { number, capability, input: input.to_owned(), remaining_ms: 60_000 }
    }
}

/// Returns the id of the dispatch with this number.
pub(crate) fn dispatch_id(number: u64) -> DispatchId {
    DispatchId::from_bytes(u128::from(number).to_be_bytes())
}

/// Returns the number of the dispatch with this id.
pub(crate) fn number_of(id: &DispatchId) -> u64 {
    u64::try_from(u128::from_be_bytes(*id.as_bytes())).unwrap()
}

pub(crate) struct NativeGateway {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    seen: mpsc::UnboundedReceiver<Seen>,
    accepting: tokio::task::JoinHandle<()>,
}

pub(crate) fn random<const N: usize>() -> Entropy<N> {
    Entropy::try_draw(&mut getrandom::SysRng).expect("the system has randomness")
}

impl NativeGateway {
    /// Starts a gateway on WebSockets.
    pub(crate) async fn start() -> Self {
        Self::begin(true).await
    }

    /// Starts a gateway on plain TCP.
    pub(crate) async fn start_tcp() -> Self {
        Self::begin(false).await
    }

    async fn begin(web: bool) -> Self {
        let (seen_in, seen) = mpsc::unbounded_channel();
        let shared =
            Arc::new(Shared::new(OwnKeys::generate(&random()), seen_in, broadcast::channel(16).0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            address,
            accepting: tokio::spawn(accept(listener, shared.clone(), web)),
            shared,
            seen,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn tcp(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.shared.keys.channel.public())
    }

    /// Serves one stream that never ends, such as a serial line, one connection after the other.
    pub(crate) fn serve_line(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let mut wire = Wire::stream(stream);
            loop {
                serve(&mut wire, &shared).await;
            }
        });
    }

    /// Issues certificates from now on, and accepts links with them at another port. They belong to
    /// the only node that is paired.
    pub(crate) async fn issues_certificates(&self) -> SocketAddr {
        let authority = Authority::new();
        let acceptor = authority.acceptor();
        self.registry(|registry| registry.authority = Some(authority));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept_tls(listener, acceptor, self.shared.clone()));
        address
    }

    /// Changes the registry.
    pub(crate) fn registry<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        change(&mut self.shared.registry.lock().unwrap())
    }

    /// Makes the gateway ignore everything after a grant.
    pub(crate) fn deaf_after_grants(&self, deaf: bool) {
        self.shared.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Ends all links.
    pub(crate) fn hang_up(&self) {
        let _ = self.shared.pushes.send(Push::Shutdown);
    }

    pub(crate) fn push(&self, id: NodeId, notice: Notice) {
        let _ = self.shared.pushes.send(Push::Notice(id, notice));
    }

    pub(crate) fn approve(&self, scopes: &str) {
        self.registry(|registry| registry.approved = Some(scopes.to_owned()));
        let _ = self.shared.pushes.send(Push::Decided);
    }

    pub(crate) async fn until<T>(&mut self, what: &str, wanted: impl Fn(&Seen) -> Option<T>) -> T {
        loop {
            let seen = soon(what, self.seen.recv()).await.expect("the gateway lives");
            if let Some(found) = wanted(&seen) {
                return found;
            }
        }
    }

    pub(crate) fn pushes(&self, push: Push) {
        let _ = self.shared.pushes.send(push);
    }

    /// Waits for the final outcome of a dispatch.
    pub(crate) async fn outcome(&mut self, number: u64) -> String {
        self.until("an outcome", |seen| match seen {
            Seen::Outcome(of, outcome)
                if *of == number && outcome != "Started" && outcome != "AwaitingMediation" =>
            {
                Some(outcome.clone())
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn pin(&mut self) -> String {
        self.until("a PIN", |seen| if let Seen::Pin(pin) = seen { Some(pin.clone()) } else { None })
            .await
    }

    pub(crate) async fn linked(&mut self) -> NodeId {
        self.until("a link", |seen| if let Seen::Linked(id) = seen { Some(*id) } else { None })
            .await
    }

    pub(crate) async fn sees(&mut self, wanted: Seen) {
        self.until(&format!("{wanted:?}"), |seen| (*seen == wanted).then_some(())).await;
    }
}

impl Drop for NativeGateway {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, web: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let shared = shared.clone();
        tokio::spawn(async move {
            let mut wire = if web {
                let stream: Box<dyn session::Stream> = Box::new(stream);
                match tokio_tungstenite::accept_hdr_async(stream, subprotocol).await {
                    Ok(socket) => Wire::WebSocket(Box::new(socket)),
                    Err(_) => return,
                }
            } else {
                Wire::stream(stream)
            };
            serve(&mut wire, &shared).await;
            wire.end().await;
        });
    }
}

async fn accept_tls(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let exporter = stream
                .get_ref()
                .1
                .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
                .unwrap();
            // A gateway whose allow-list refuses ends the connection here.
            if !shared.accepts_certificates.load(Ordering::SeqCst) {
                return;
            }
            let stream: Box<dyn session::Stream> = Box::new(stream);
            let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, subprotocol).await else {
                return;
            };
            let node = shared.registry.lock().unwrap().records.values().next().unwrap().node_id;
            let mut wire = Wire::WebSocket(Box::new(socket));
            shared.saw(Seen::Tls);
            serve_tls(&mut wire, &shared, node, exporter).await;
            wire.end().await;
        });
    }
}

#[allow(clippy::result_large_err, reason = "the WebSocket library's own type")]
fn subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let asked =
        request.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
    if let Some(name @ ("handfast.v1" | "handfast.link.v1")) = asked {
        let name = HeaderValue::from_str(name).unwrap();
        response.headers_mut().insert("sec-websocket-protocol", name);
    }
    Ok(response)
}
