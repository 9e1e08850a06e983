//! Nodes as clients: over TLS with a certificate, and over TCP sealed by Noise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use handfast_core::Label;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::{ik, xx};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::limits::{MESSAGE_BYTES, STREAM_BUFFER, STREAM_FRAME};
use handfast_core::wire::frame::{FrameDecoder, encode};
use handfast_core::wire::native::link::{
    Announce, DispatchId, DispatchOutcome, DispatchResult, FromGateway, FromNode, Hello,
};
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::{CapabilityName, Features, Payload};
use handfast_host_tests::native::raw::{Channel, Says, hello};
use handfast_server::LINK_SUBPROTOCOL;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::nodes::{Fleet, chance, keys_of};

/// Connects over TLS.
pub(crate) async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// A node that is linked by its certificate.
pub(crate) struct TlsNode {
    pub(crate) number: u32,
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl TlsNode {
    pub(crate) async fn link(address: SocketAddr, fleet: &Fleet, number: u32) -> Self {
        let stream = connect(address, fleet.client(number, None)).await.unwrap();
        let mut request = "wss://localhost/".into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", LINK_SUBPROTOCOL.parse().unwrap());
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        let mut node = Self { number, socket };
        let features = Features::APP.with(Features::PING).with(Features::DISPATCH);
        node.say(&FromNode::Hello(Hello { features, mark: None, holds: None })).await;
        node
    }

    async fn say(&mut self, message: &FromNode<'_>) {
        self.socket.send(Message::binary(message.bytes())).await.unwrap();
    }

    pub(crate) async fn announce(&mut self) {
        let announce = Announce {
            capability: CapabilityName::parse("echo").unwrap(),
            version: Label::parse("1").unwrap(),
            available: true,
            idempotent: false,
        };
        self.say(&FromNode::Announce(announce)).await;
    }

    /// Waits for the next task.
    pub(crate) async fn task(&mut self) -> DispatchId {
        loop {
            let message = self.socket.next().await.unwrap().unwrap().into_data();
            if let Ok(FromGateway::Dispatch(task)) = FromGateway::parse(&message) {
                return task.id;
            }
        }
    }

    pub(crate) async fn succeed(&mut self, id: DispatchId) {
        let outcome = DispatchOutcome::Succeeded(Payload::new(b"{}").unwrap());
        self.say(&FromNode::DispatchResult(DispatchResult { id, outcome })).await;
    }

    /// Waits until the gateway ends the link, and returns the time.
    pub(crate) async fn until_cut(mut self) -> Instant {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Instant::now(),
                Some(Ok(_)) => {}
            }
        }
    }
}

/// A stream of frames.
pub(crate) struct Framed {
    stream: TcpStream,
    decoder: Box<FrameDecoder<[u8; STREAM_BUFFER]>>,
    unread: Vec<u8>,
}

impl Framed {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("the gateway listens")
    }

    async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let decoder = Box::new(FrameDecoder::new([0; STREAM_BUFFER]));
        Ok(Self { stream, decoder, unread: Vec::new() })
    }

    pub(crate) async fn send(&mut self, frame: &[u8]) {
        let mut room = [0; STREAM_FRAME];
        let encoded = encode(frame, &mut room).unwrap();
        self.stream.write_all(encoded).await.unwrap();
    }

    pub(crate) async fn recv(&mut self) -> Vec<u8> {
        self.try_recv().await.expect("the gateway keeps the connection")
    }

    /// Receives a frame; `None` if the gateway ends the connection.
    async fn try_recv(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut unread = &self.unread[..];
            if let Some(frame) = self.decoder.read(&mut unread) {
                let frame = frame.unwrap().to_vec();
                self.unread = unread.to_vec();
                return Some(frame);
            }
            self.unread.clear();
            match self.stream.read_buf(&mut self.unread).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// Waits until the gateway ends the connection, and returns the time.
    pub(crate) async fn until_cut(mut self) -> Instant {
        while self.try_recv().await.is_some() {}
        Instant::now()
    }

    /// Performs the handshake of a peer that the gateway does not know.
    pub(crate) async fn meet(&mut self, own: &OwnKeys) -> Channel {
        let open = Open::new(Intent::Pair);
        let mut room = [0; MESSAGE_BYTES];
        let (initiator, first) =
            xx::Initiator::start(open.prologue(), &chance(), &[], &mut room).unwrap();
        self.send(open.as_bytes()).await;
        self.send(first).await;
        let mut second = self.recv().await;
        let (introduced, _) = initiator.read_second(&mut second).unwrap();
        let (established, third) = introduced.write_third(&own.channel, &[], &mut room).unwrap();
        self.send(third).await;
        Channel::new(established)
    }
}

/// Links a node over TCP.
pub(crate) async fn link_over_noise(
    address: SocketAddr,
    gateway: PublicKey,
    number: u32,
) -> (Framed, Channel) {
    try_link(address, gateway, number).await.expect("the gateway lets the node in")
}

/// Links a node over TCP; `None` if nobody listens or the gateway ends the connection.
pub(crate) async fn try_link(
    address: SocketAddr,
    gateway: PublicKey,
    number: u32,
) -> Option<(Framed, Channel)> {
    let (own, mut wire) = (keys_of(number), Framed::try_connect(address).await.ok()?);
    let open = Open::new(Intent::Link);
    let mut room = [0; MESSAGE_BYTES];
    let started =
        ik::Initiator::start(open.prologue(), &own.channel, &gateway, &chance(), &[], &mut room);
    let (initiator, first) = started.unwrap();
    wire.send(open.as_bytes()).await;
    wire.send(first).await;
    let mut second = wire.try_recv().await?;
    let (established, _) = initiator.read_second(&own.channel, &mut second).unwrap();
    let mut channel = Channel::new(established);
    let greeting = channel.seal(&hello());
    wire.send(&greeting).await;
    Some((wire, channel))
}
