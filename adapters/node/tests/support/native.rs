//! A gateway of the native wire: core's `Connection`, a registry of a few maps, and a WebSocket,
//! TCP or any other stream.

mod registry;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::{Entropy, NodeId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::soon;
pub(crate) use registry::{Registry, Shared};
use session::{Wire, serve};

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
    Gone(Option<NodeId>),
}

#[derive(Clone, Copy)]
pub(crate) enum Push {
    Notice(NodeId, Notice),
    Decided,
    Shutdown,
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

#[allow(clippy::result_large_err, reason = "the WebSocket library's own type")]
fn subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let asked =
        request.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
    if asked == Some("handfast.v1") {
        response
            .headers_mut()
            .insert("sec-websocket-protocol", HeaderValue::from_static("handfast.v1"));
    }
    Ok(response)
}
