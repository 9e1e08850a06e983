//! One connection to the gateway over any transport: opened within time limits, read, written to,
//! and closed in order.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::wire::close::Close;
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::address::GatewayAt;
use super::certificate::NodeCertificate;
use super::mtls::{self, MtlsLink, NoLink, TlsChannel};
use super::stream::{FramedStream, open_line};
use crate::connection::{self, Link, Socket};
use crate::event::{Lost, presentable};
use crate::waits::Waits;

/// The WebSocket subprotocol of the native wire.
const SUBPROTOCOL: &str = "handfast.v1";

/// The addresses of the gateway, and the settings for connecting to it.
#[derive(Clone)]
pub(super) struct NativeTarget {
    /// The addresses in the order in which they are tried.
    pub(super) gateways: Arc<[GatewayAt]>,
    /// `Some` if one of the addresses is a `wss://` one.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The certificates that are valid now, in the order in which they are shown.
    pub(super) certificates: Vec<NodeCertificate>,
    pub(super) waits: Waits,
}

/// An open connection.
pub(super) enum OpenCarrier {
    WebSocket(Box<Socket>),
    Stream(Box<FramedStream>),
}

/// An open connection of a node.
pub(super) struct NativeLink {
    carrier: OpenCarrier,
    /// Index of the address that answered.
    pub(super) address: usize,
    /// `Some` for a link over mutual TLS.
    pub(super) channel: Option<TlsChannel>,
    /// `true` if an address before this one needs a certificate, and the node has none that the
    /// gateway accepts there.
    pub(super) passed_over: bool,
}

impl Link for NativeLink {
    type Frame = Vec<u8>;
    type Outgoing = [u8];

    async fn next(&mut self) -> Result<Vec<u8>, Lost> {
        self.carrier.next().await
    }

    async fn send(&mut self, frame: &[u8]) -> Result<(), Lost> {
        self.carrier.send(frame).await
    }

    async fn close(&mut self, close: Close) {
        self.carrier.close(close).await;
    }

    async fn finish(&mut self) {
        // A stream has no close frame to wait for.
        if let OpenCarrier::WebSocket(socket) = &mut self.carrier {
            connection::read_out(socket).await;
        }
    }
}

impl OpenCarrier {
    /// Waits for the next message.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, Lost> {
        let socket = match self {
            Self::Stream(framed) => return framed.next().await,
            Self::WebSocket(socket) => socket,
        };
        loop {
            match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes.into()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(connection::ended(Some(Ok(frame))));
                }
                // The WebSocket layer answers pings; this wire has no text messages.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Err(Lost::Broken("text came where only binary messages go".to_owned()));
                }
                Some(Err(error)) => return Err(connection::ended(Some(Err(error)))),
                None => return Err(connection::ended(None)),
            }
        }
    }

    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), Lost> {
        match self {
            Self::Stream(framed) => framed.send(frame).await,
            Self::WebSocket(socket) => socket
                // The socket keeps the bytes until they are written.
                .send(Message::Binary(Bytes::copy_from_slice(frame)))
                .await
                .map_err(|error| Lost::Broken(presentable(&error.to_string()))),
        }
    }

    /// Closes the connection. The caller bounds the wait.
    pub(super) async fn close(&mut self, close: Close) {
        match self {
            Self::Stream(framed) => framed.end().await,
            Self::WebSocket(socket) => connection::close_socket(socket, close).await,
        }
    }
}

/// Opens a connection to the first address that answers.
pub(super) async fn open_first(target: NativeTarget) -> Result<NativeLink, Lost> {
    let mut last = Lost::NotOpened(
        "there is no address of a gateway to connect to; name one with --gateway".to_owned(),
    );
    let mut passed_over = false;
    for (address, gateway) in target.gateways.iter().enumerate() {
        match open_one(gateway, &target).await {
            Ok((carrier, channel)) => {
                return Ok(NativeLink { carrier, address, channel, passed_over });
            }
            Err(NoLink { lost, refused }) => {
                passed_over |= refused;
                if address + 1 < target.gateways.len() {
                    tracing::info!("{lost}; trying the gateway's next address");
                }
                last = lost;
            }
        }
    }
    Err(last)
}

async fn open_one(
    gateway: &GatewayAt,
    target: &NativeTarget,
) -> Result<(OpenCarrier, Option<TlsChannel>), NoLink> {
    let within = target.waits.connect_within;
    match gateway {
        GatewayAt::WebSocket(url) => {
            let tls = target.tls.clone().filter(|_| url.is_tls());
            let socket =
                connection::open(url, tls, within, MESSAGE_BYTES, Some(SUBPROTOCOL)).await?;
            Ok((OpenCarrier::WebSocket(Box::new(socket)), None))
        }
        GatewayAt::Mtls { host, port } => {
            let MtlsLink { socket, channel } =
                mtls::open(host, *port, &target.certificates, within).await?;
            Ok((OpenCarrier::WebSocket(Box::new(socket)), Some(channel)))
        }
        GatewayAt::Tcp { host, port } => {
            let tcp = connection::connect(host, *port, gateway, within).await?;
            Ok((OpenCarrier::Stream(Box::new(FramedStream::new(Box::new(tcp)))), None))
        }
        GatewayAt::Serial { path, baud } => {
            let line = open_line(path, *baud, within).await?;
            Ok((OpenCarrier::Stream(Box::new(line)), None))
        }
    }
}
