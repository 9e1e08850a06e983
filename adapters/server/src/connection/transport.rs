//! The trait of transports that carry whole frames, and its implementation for WebSockets.

use std::future::Future;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use handfast_core::wire::close::Close;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The time that one send to a slow peer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The time that a close may take before the transport is dropped.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A transport of whole frames, each a message `M`.
pub(crate) trait FrameTransport<M>: Send {
    /// Receives the next frame or event. Cancel-safe: nothing is lost if the future is dropped.
    fn recv(&mut self) -> impl Future<Output = PeerEvent<M>> + Send;

    /// Sends a frame.
    ///
    /// # Errors
    /// [`Gone`] if the peer is gone.
    fn send(&mut self, frame: M) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Sends frames that are due at the same time, in one write where the transport can.
    ///
    /// # Errors
    /// [`Gone`] if the peer is gone.
    fn send_all(&mut self, frames: Vec<M>) -> impl Future<Output = Result<(), Gone>> + Send
    where
        M: Send,
    {
        async move {
            for frame in frames {
                self.send(frame).await?;
            }
            Ok(())
        }
    }

    /// Sends a close frame, or with `None` the reply to the peer's. With `linger` it then waits for
    /// the peer to end, so that the last message is read before the transport closes.
    fn close(&mut self, close: Option<Close>, linger: bool) -> impl Future<Output = ()> + Send;
}

/// A frame or event from the peer.
#[derive(Debug)]
pub(crate) enum PeerEvent<M> {
    /// A frame of bounded length: on the native wire of at most
    /// [`handfast_core::limits::MESSAGE_BYTES`], else of [`handfast_core::limits::FRAME_BYTES`].
    Frame(M),
    /// A ping of the transport, which has answered it.
    Ping,
    /// The answer to a ping of the transport.
    Pong,
    /// The peer has sent a close frame.
    Goodbye,
    /// The connection is closed or lost.
    Gone,
    /// The peer has broken the rules of the transport; it is closed with this code.
    Broken(Close),
}

/// Error of a connection that is closed or lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

/// Sends a close frame, or with `None` the reply to the peer's, and waits up to [`CLOSE_WITHIN`] for
/// the peer to end, so that the last message is read before the transport closes. A closing
/// connection has no slot any more; the permits of `lingering` bound how many wait.
pub(crate) async fn close_within<M>(
    transport: &mut impl FrameTransport<M>,
    close: Option<Close>,
    lingering: &Semaphore,
) {
    let lingers = lingering.try_acquire();
    // A peer that does not answer in time is dropped like one that is gone.
    let _ = timeout(CLOSE_WITHIN, transport.close(close, lingers.is_ok())).await;
}

/// Frames of the native wire: one frame is one binary message. The WebSocket is configured with the
/// maximum length and enforces it.
impl FrameTransport<Vec<u8>> for WebSocket {
    async fn recv(&mut self) -> PeerEvent<Vec<u8>> {
        event_of(WebSocket::recv(self).await, |message| match message {
            Message::Binary(bytes) => PeerEvent::Frame(bytes.into()),
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {
                PeerEvent::Broken(Close::PROTOCOL_VIOLATION)
            }
        })
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), Gone> {
        WebSocket::send(self, Message::Binary(frame.into())).await.map_err(|_| Gone)
    }

    async fn close(&mut self, close: Option<Close>, linger: bool) {
        say_goodbye(self, close, linger).await;
    }
}

/// Messages of the `missy` dialect and of companions: a frame is a text or a binary message.
impl FrameTransport<Message> for WebSocket {
    async fn recv(&mut self) -> PeerEvent<Message> {
        event_of(WebSocket::recv(self).await, PeerEvent::Frame)
    }

    async fn send(&mut self, frame: Message) -> Result<(), Gone> {
        WebSocket::send(self, frame).await.map_err(|_| Gone)
    }

    async fn close(&mut self, close: Option<Close>, linger: bool) {
        say_goodbye(self, close, linger).await;
    }
}

/// Returns the event of what a WebSocket has received; `frame` that of a text or a binary message.
fn event_of<M>(
    received: Option<Result<Message, axum::Error>>,
    frame: impl FnOnce(Message) -> PeerEvent<M>,
) -> PeerEvent<M> {
    match received {
        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => frame(message),
        // The library answers pings.
        Some(Ok(Message::Ping(_))) => PeerEvent::Ping,
        Some(Ok(Message::Pong(_))) => PeerEvent::Pong,
        Some(Ok(Message::Close(_))) => PeerEvent::Goodbye,
        Some(Err(error)) => rules_broken(&error).map_or(PeerEvent::Gone, PeerEvent::Broken),
        None => PeerEvent::Gone,
    }
}

async fn say_goodbye(socket: &mut WebSocket, close: Option<Close>, linger: bool) {
    if let Some(close) = close {
        let frame = CloseFrame { code: close.code, reason: Utf8Bytes::from_static(close.reason) };
        if socket.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
    }
    while linger && matches!(socket.recv().await, Some(Ok(_))) {}
}

/// Returns the close code for a peer that broke the rules of WebSocket; `None` if the connection
/// itself is gone.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind of the library's means that")]
fn rules_broken(error: &axum::Error) -> Option<Close> {
    use std::error::Error as _;
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error.source()?.downcast_ref::<Error>()? {
        Error::Capacity(_) => Some(Close::TOO_BIG),
        Error::Utf8(_) => Some(Close::INVALID_TEXT),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(Close::WEBSOCKET_RULES),
        _ => None,
    }
}
