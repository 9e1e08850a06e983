//! A node made of core's pieces, over whichever carrier.

use futures_util::{SinkExt, StreamExt};
use handfast_core::Label;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::transport::{Receiving, Sending};
use handfast_core::crypto::noise::{HandshakeHash, ik, xx};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::grant::scope::{Action, Address, Pattern};
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::registry::grants::GrantId;
use handfast_core::wire::native::link::{Admission, Admitted, App, FromGateway, FromNode, Hello};
use handfast_core::wire::native::open::{Intent, Open};
use handfast_core::wire::native::pair;
use handfast_core::wire::native::{Features, Payload};
use tokio::io::Join;
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::connection::framed::FramedTransport;
use crate::connection::transport::{FrameTransport, PeerEvent};
use crate::entropy;
use crate::flows::native::SUBPROTOCOL;

/// What carries the client's frames.
#[allow(clippy::large_enum_variant, reason = "there are few of them")]
pub(super) enum Wire {
    WebSocket(WebSocketStream<TcpStream>),
    Tcp(FramedTransport<TcpStream>),
    Serial(FramedTransport<Join<pipe::Receiver, pipe::Sender>>),
}

impl Wire {
    pub(super) async fn websocket(address: std::net::SocketAddr) -> Self {
        Self::websocket_for(address, &[]).await
    }

    /// Connects with these values of X-Forwarded-For, each in a header of its own.
    pub(super) async fn websocket_for(address: std::net::SocketAddr, whom: &[&str]) -> Self {
        Self::websocket_with(address, "X-Forwarded-For", whom).await
    }

    /// Connects with these values of a header, each in a header of its own.
    pub(super) async fn websocket_with(
        address: std::net::SocketAddr,
        header: &'static str,
        values: &[&str],
    ) -> Self {
        let mut request = format!("ws://{address}/pair").into_client_request().unwrap();
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", format!("chat, {SUBPROTOCOL}").parse().unwrap());
        for one in values {
            request.headers_mut().append(header, one.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], SUBPROTOCOL);
        Self::WebSocket(socket)
    }

    pub(super) async fn send(&mut self, frame: &[u8]) {
        match self {
            Self::WebSocket(socket) => {
                socket.send(Message::Binary(frame.to_vec().into())).await.unwrap();
            }
            // If the gateway has hung up, the next `recv` says so.
            Self::Tcp(stream) => drop(stream.send_frame(frame).await),
            Self::Serial(stream) => stream.send_frame(frame).await.unwrap(),
        }
    }

    /// The next frame, or why there is none: the code of a WebSocket's close, or 0.
    pub(super) async fn recv(&mut self) -> Result<Vec<u8>, u16> {
        let received = match self {
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Ok(bytes.into()),
                    Some(Ok(Message::Close(frame))) => {
                        return Err(frame.map_or(0, |frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(0),
                }
            },
            Self::Tcp(stream) => stream.recv().await,
            Self::Serial(stream) => stream.recv().await,
        };
        match received {
            PeerEvent::Frame(frame) => Ok(frame),
            // A byte stream has no pings.
            PeerEvent::Ping
            | PeerEvent::Pong
            | PeerEvent::Goodbye
            | PeerEvent::Gone
            | PeerEvent::Broken(_) => Err(0),
        }
    }
}

/// One end of a channel.
pub(super) struct Client {
    pub(super) wire: Wire,
    sending: Sending,
    receiving: Option<Receiving>,
    pub(super) hash: HandshakeHash,
}

impl Client {
    /// Links with IK, up to its second message, which welcomes it.
    pub(super) async fn link(wire: Wire, own: &OwnKeys, gateway: &PublicKey) -> Result<Self, u16> {
        let (client, admission) = Self::call(wire, own, gateway).await?;
        assert_eq!(admission, Admission::Welcome);
        Ok(client)
    }

    /// The same, whatever that says.
    pub(super) async fn call(
        mut wire: Wire,
        own: &OwnKeys,
        gateway: &PublicKey,
    ) -> Result<(Self, Admission), u16> {
        let open = Open::new(Intent::Link);
        wire.send(open.as_bytes()).await;
        let mut room = [0; MESSAGE_BYTES];
        let started = ik::Initiator::start(
            open.prologue(),
            &own.channel,
            gateway,
            &entropy::draw(),
            &[],
            &mut room,
        );
        let (initiator, first) = started.unwrap();
        wire.send(first).await;
        let mut second = wire.recv().await?;
        let (established, admission) =
            initiator.read_second(&own.channel, &mut second).map_err(|_| 0_u16)?;
        let Admitted { admission, .. } = Admitted::parse(admission).unwrap();
        let client = Self {
            wire,
            sending: established.sending,
            receiving: Some(established.receiving),
            hash: established.hash,
        };
        Ok((client, admission))
    }

    /// The handshake of a stranger, with XX.
    pub(super) async fn stranger(intent: Intent, mut wire: Wire, own: &OwnKeys) -> Self {
        let open = Open::new(intent);
        wire.send(open.as_bytes()).await;
        let mut room = [0; MESSAGE_BYTES];
        let (initiator, first) =
            xx::Initiator::start(open.prologue(), &entropy::draw(), &[], &mut room).unwrap();
        wire.send(first).await;
        let mut second = wire.recv().await.unwrap();
        let (introduced, _) = initiator.read_second(&mut second).unwrap();
        let (established, third) = introduced.write_third(&own.channel, &[], &mut room).unwrap();
        wire.send(third).await;
        Self {
            wire,
            sending: established.sending,
            receiving: Some(established.receiving),
            hash: established.hash,
        }
    }

    pub(super) fn seal(&mut self, message: &FromNode<'_>) -> Vec<u8> {
        let mut room = [0; MESSAGE_BYTES];
        let length = message.write(&mut room).unwrap().len();
        self.sending.seal(&mut room, length).unwrap().to_vec()
    }

    /// Asks to be paired by approval.
    pub(super) async fn ask(&mut self, own: &OwnKeys, name: &str) {
        self.ask_by(own, name, pair::Method::Approval).await;
    }

    pub(super) async fn ask_by(&mut self, own: &OwnKeys, name: &str, method: pair::Method) {
        let wants = pair::AskedScopes::NONE;
        self.ask_for(own, name, method, wants, Features::NONE, None).await;
    }

    /// Asks for permissions, and for a certificate with a certificate request or the feature.
    pub(super) async fn ask_for(
        &mut self,
        own: &OwnKeys,
        name: &str,
        method: pair::Method,
        wants: pair::AskedScopes<'_>,
        features: Features,
        csr: Option<&[u8]>,
    ) {
        let request = pair::Request {
            features,
            name: Label::parse(name).unwrap(),
            room: Label::parse("hall").unwrap(),
            profile: pair::NativeProfile::EMPTY,
            method,
            wants,
            csr: csr.map(|csr| pair::Csr::new(csr).unwrap()),
        };
        let ask = pair::Ask::sign(request, &own.signing, &self.hash);
        self.say_to_pair(&pair::PairFromNode::Ask(ask)).await;
    }

    pub(super) async fn say_to_pair(&mut self, message: &pair::PairFromNode<'_>) {
        let mut room = [0; MESSAGE_BYTES];
        let length = message.write(&mut room).unwrap().len();
        let frame = self.sending.seal(&mut room, length).unwrap().to_vec();
        self.wire.send(&frame).await;
    }

    pub(super) async fn hear_to_pair<T>(
        &mut self,
        look: impl FnOnce(pair::PairFromGateway<'_>) -> T,
    ) -> Result<T, u16> {
        let mut frame = self.wire.recv().await?;
        let (receiving, text) = self.receiving.take().unwrap().open(&mut frame).unwrap();
        self.receiving = Some(receiving);
        Ok(look(pair::PairFromGateway::parse(text).unwrap()))
    }

    pub(super) async fn say(&mut self, message: &FromNode<'_>) {
        let frame = self.seal(message);
        self.wire.send(&frame).await;
    }

    /// Proves the node by the first message of its link.
    pub(super) async fn greet(&mut self, holds: Option<GrantId>) {
        let features = Features::APP.with(Features::PING);
        self.say(&FromNode::Hello(Hello { features, mark: None, holds })).await;
    }

    pub(super) async fn app(&mut self, address: &str, bytes: &[u8]) {
        let (address, bytes) = (Address::parse(address).unwrap(), Payload::new(bytes).unwrap());
        self.say(&FromNode::App(App { action: Action::Write, address, bytes })).await;
    }

    pub(super) async fn subscribe(&mut self, pattern: &str) {
        self.say(&FromNode::Subscribe { pattern: Pattern::parse(pattern).unwrap() }).await;
    }

    /// Hears the next message, and what `look` makes of it.
    pub(super) async fn hear<T>(
        &mut self,
        look: impl FnOnce(FromGateway<'_>) -> T,
    ) -> Result<T, u16> {
        let mut frame = self.wire.recv().await?;
        let (receiving, text) = self.receiving.take().unwrap().open(&mut frame).unwrap();
        self.receiving = Some(receiving);
        Ok(look(FromGateway::parse(text).unwrap()))
    }
}
