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

/// A transport of whole frames.
pub(crate) trait FrameTransport: Send {
    /// Receives the next frame or event. Cancel-safe: nothing is lost if the future is dropped.
    fn recv(&mut self) -> impl Future<Output = PeerEvent> + Send;

    /// Sends a frame.
    ///
    /// # Errors
    /// [`Gone`] if the peer is gone.
    fn send(&mut self, frame: Vec<u8>) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Sends a close frame, or with `None` the reply to the peer's. With `linger` it then waits for
    /// the peer to end, so that the last message is read before the transport closes.
    fn close(&mut self, close: Option<Close>, linger: bool) -> impl Future<Output = ()> + Send;
}

/// A frame or event from the peer.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// A frame of at most [`handfast_core::limits::MESSAGE_BYTES`].
    Frame(Vec<u8>),
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
pub(crate) async fn close_within(
    transport: &mut impl FrameTransport,
    close: Option<Close>,
    lingering: &Semaphore,
) {
    let lingers = lingering.try_acquire();
    let _ = timeout(CLOSE_WITHIN, transport.close(close, lingers.is_ok())).await;
}

/// One frame is one binary message. The WebSocket is configured with the maximum length and
/// enforces it.
impl FrameTransport for WebSocket {
    async fn recv(&mut self) -> PeerEvent {
        loop {
            return match WebSocket::recv(self).await {
                Some(Ok(Message::Binary(bytes))) => PeerEvent::Frame(bytes.into()),
                Some(Ok(Message::Text(_))) => PeerEvent::Broken(Close::PROTOCOL_VIOLATION),
                // The library answers pings, and nothing here waits for pongs.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) => PeerEvent::Goodbye,
                Some(Err(error)) => rules_broken(&error).map_or(PeerEvent::Gone, PeerEvent::Broken),
                None => PeerEvent::Gone,
            };
        }
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), Gone> {
        WebSocket::send(self, Message::Binary(frame.into())).await.map_err(|_| Gone)
    }

    async fn close(&mut self, close: Option<Close>, linger: bool) {
        if let Some(close) = close {
            let frame =
                CloseFrame { code: close.code, reason: Utf8Bytes::from_static(close.reason) };
            if WebSocket::send(self, Message::Close(Some(frame))).await.is_err() {
                return;
            }
        }
        while linger && matches!(WebSocket::recv(self).await, Some(Ok(_))) {}
    }
}

/// Returns the close code for a peer that broke the rules of WebSocket; `None` if the connection
/// itself is gone.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other kind of the library's means that")]
pub(crate) fn rules_broken(error: &axum::Error) -> Option<Close> {
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
