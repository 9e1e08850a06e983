//! What carries frames to and fro, and the WebSocket as such.

use std::future::Future;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use handfast_core::wire::close::Close;

/// Carries whole frames.
pub(crate) trait Carrier: Send {
    /// The next thing that comes. May be dropped before it is done: nothing is lost.
    fn recv(&mut self) -> impl Future<Output = Received> + Send;

    /// Sends a frame.
    fn send(&mut self, frame: Vec<u8>) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Says goodbye, or lets our answer to the peer's go out. With `linger` it then waits for the
    /// peer to end, so that what was said is read before the carrier goes.
    fn close(&mut self, close: Option<Close>, linger: bool) -> impl Future<Output = ()> + Send;
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received {
    /// A frame of at most [`handfast_core::limits::MESSAGE_BYTES`].
    Frame(Vec<u8>),
    /// The peer said goodbye.
    Goodbye,
    /// The peer is gone.
    Gone,
    /// Something that is no frame.
    Broken(Close),
}

/// The peer is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

/// One frame is one binary message. The length is the WebSocket's to bound, which has been told it.
impl Carrier for WebSocket {
    async fn recv(&mut self) -> Received {
        loop {
            return match WebSocket::recv(self).await {
                Some(Ok(Message::Binary(bytes))) => Received::Frame(bytes.into()),
                Some(Ok(Message::Text(_))) => Received::Broken(Close::PROTOCOL_VIOLATION),
                // The library answers the one, and nobody here waits for the other.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) => Received::Goodbye,
                Some(Err(error)) => rules_broken(&error).map_or(Received::Gone, Received::Broken),
                None => Received::Gone,
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

/// What to tell a peer that broke the rules of WebSocket; `None` if the connection itself is gone.
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
