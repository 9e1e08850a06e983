//! The connection of the `missy` dialect: text messages on a WebSocket that is probed with pings.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use handfast_core::limits::{FRAME_BYTES, Limits};
use handfast_core::link::keepalive::{Due, Keepalive};
use handfast_core::wire::close::Close;
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{Bytes, Error, Utf8Bytes};

use crate::clock::ProcessClock;
use crate::connection::{self, Link, Socket};
use crate::event::{Lost, presentable};
use crate::gateway_url::GatewayUrl;
use crate::waits::{Waits, span};

/// The address of the gateway, and the settings for connecting to it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) gateway: GatewayUrl,
    /// `Some` if and only if the address is a `wss://` one.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) waits: Waits,
}

impl Target {
    pub(super) async fn dial(self) -> Result<TextLink, Lost> {
        let Self { gateway, tls, waits } = self;
        let socket =
            connection::open(&gateway, tls, waits.connect_within, FRAME_BYTES, None).await?;
        let limits = Limits {
            ping_every: span(waits.ping_every),
            pong_within: span(waits.pong_within),
            ..Limits::DEFAULT
        };
        let clock = ProcessClock::start();
        let keepalive = Keepalive::start(clock.now(), &limits);
        Ok(TextLink { socket: Box::new(socket), clock, keepalive, limits })
    }
}

/// An open connection.
pub(super) struct TextLink {
    socket: Box<Socket>,
    clock: ProcessClock,
    keepalive: Keepalive,
    limits: Limits,
}

impl Link for TextLink {
    type Frame = Utf8Bytes;
    type Outgoing = str;

    async fn next(&mut self) -> Result<Utf8Bytes, Lost> {
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    // Every message shows that the gateway is there, not only the answer to a ping.
                    self.keepalive = self.keepalive.heard(self.clock.now(), &self.limits);
                    if let Some(text) = text_of(message)? {
                        return Ok(text);
                    }
                }
                () = self.clock.until(Some(self.keepalive.deadline().0)) => self.probe()?,
            }
        }
    }

    async fn send(&mut self, text: &str) -> Result<(), Lost> {
        let sent = self.socket.send(Message::text(text)).await;
        sent.map_err(|error| Lost::Broken(presentable(&error.to_string())))
    }

    async fn close(&mut self, close: Close) {
        connection::close_socket(&mut self.socket, close).await;
    }

    async fn finish(&mut self) {
        connection::read_out(&mut self.socket).await;
    }
}

impl TextLink {
    /// Sends a ping when one is due.
    ///
    /// # Errors
    /// [`Lost::Silent`] if the last ping was not answered.
    fn probe(&mut self) -> Result<(), Lost> {
        let (next, due) = self.keepalive.tick(self.clock.now(), &self.limits);
        self.keepalive = next;
        match due {
            Due::Nothing => {}
            Due::Lost => return Err(Lost::Silent),
            Due::Ping => {
                // Queued without waiting; the next read sends it. A full queue means that the
                // gateway accepts no data: then no answer comes either.
                let _ = self.socket.start_send_unpin(Message::Ping(Bytes::new()));
            }
        }
        Ok(())
    }
}

fn text_of(message: Option<Result<Message, Error>>) -> Result<Option<Utf8Bytes>, Lost> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        // The WebSocket layer answers pings; binary frames belong to applications, and this one has
        // none.
        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
            Ok(None)
        }
        Some(Ok(Message::Close(frame))) => Err(connection::ended(Some(Ok(frame)))),
        Some(Err(error)) => Err(connection::ended(Some(Err(error)))),
        None => Err(connection::ended(None)),
    }
}
