//! A WebSocket client (RFC 6455) over any stream, without extensions, subprotocols or fragmentation
//! of sent messages.
//!
//! It is written here because edge-ws 0.8 reads a frame in one future that loses its bytes when it
//! is dropped, and leaves the rules to its caller (masks, shortest lengths, control frames, UTF-8);
//! edge-http 0.8 brings embassy-sync, httparse, base64 and its own SHA-1 for one request.

mod decoder;
mod encoder;
mod handshake;
mod sha1;

pub use crate::error::{TargetError, UpgradeError, Violation};
pub use decoder::{CONTROL_BYTES, DecodedEvent, Decoder};
pub use handshake::{HandshakeKey, Response};

use embedded_io_async::Error as _;
use handfast_core::wire::close::Close;
use rand_core::CryptoRng;

use crate::ports::{Connector, Stream};
use crate::transport::{Broken, Carrier, Frame, Opener, Received};
use crate::write_buffer::WriteBuffer;
use encoder::Opcode;

/// Size of the read buffer in bytes.
const INBOX_BYTES: usize = 128;

/// Location of the gateway's WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WebSocketTarget<'t> {
    host: &'t str,
    path: &'t str,
}

impl<'t> WebSocketTarget<'t> {
    /// Creates a target from a host with its port, as in an address bar (`gateway.local:8765`), and
    /// a path that begins with `/`.
    ///
    /// # Errors
    /// [`TargetError`] with the part that cannot be sent.
    pub fn new(host: &'t str, path: &'t str) -> Result<Self, TargetError> {
        let clean =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match (clean(host), clean(path) && path.starts_with('/')) {
            (false, _) => Err(TargetError::Host),
            (true, false) => Err(TargetError::Path),
            (true, true) => Ok(Self { host, path }),
        }
    }
}

/// Opens WebSockets through a [`Connector`].
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Client<'t, C> {
    connector: C,
    target: WebSocketTarget<'t>,
}

impl<'t, C: Connector> Client<'t, C> {
    /// Creates a client of one gateway. The connector knows its network address; the target names
    /// the host and path of the request.
    pub const fn new(connector: C, target: WebSocketTarget<'t>) -> Self {
        Self { connector, target }
    }
}

impl<C: Connector> Opener for Client<'_, C> {
    type Carrier<'c>
        = Socket<'c, C::Stream<'c>>
    where
        Self: 'c;

    async fn open<'c>(
        &'c mut self,
        rng: &'c mut dyn CryptoRng,
    ) -> Result<Self::Carrier<'c>, Broken> {
        let stream = self.connector.connect().await.map_err(Broken::Io)?;
        Socket::upgrade(stream, self.target, rng).await
    }
}

/// The answer that an open socket owes the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Owed {
    Nothing,
    Pong,
    Close(Option<u16>),
}

/// An open WebSocket.
pub struct Socket<'c, S> {
    stream: S,
    rng: &'c mut dyn CryptoRng,
    decoder: Decoder,
    inbox: [u8; INBOX_BYTES],
    /// Range of the inbox that the decoder has not read yet.
    unread: core::ops::Range<usize>,
    owed: Owed,
}

impl<'c, S: Stream> Socket<'c, S> {
    /// Performs the upgrade on an open stream.
    ///
    /// # Errors
    /// [`Broken::Upgrade`] if the peer refused it, [`Broken::Io`] and [`Broken::Eof`] if the stream
    /// failed.
    pub async fn upgrade(
        stream: S,
        target: WebSocketTarget<'_>,
        rng: &'c mut dyn CryptoRng,
    ) -> Result<Self, Broken> {
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let key = HandshakeKey::new(random);
        let mut socket = Self {
            stream,
            rng,
            decoder: Decoder::new(),
            inbox: [0; INBOX_BYTES],
            unread: 0..0,
            owed: Owed::Nothing,
        };

        let mut outbox = WriteBuffer::new(&mut socket.stream);
        let parts: [&[u8]; 7] = [
            b"GET ",
            target.path.as_bytes(),
            b" HTTP/1.1\r\nHost: ",
            target.host.as_bytes(),
            b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
            key.as_bytes(),
            b"\r\n\r\n",
        ];
        outbox.push(parts.into_iter().flatten().copied()).await?;
        outbox.send().await?;

        let mut response = Response::to(&key);
        loop {
            match socket.inbox.get(socket.unread.start) {
                Some(&byte) if !socket.unread.is_empty() => {
                    socket.unread.start = socket.unread.start.saturating_add(1);
                    if response.feed(byte).map_err(Broken::Upgrade)? {
                        // What follows the head stays unread, because the first frames may have
                        // come with it.
                        return Ok(socket);
                    }
                }
                Some(_) | None => socket.fill().await?,
            }
        }
    }

    /// Reads available bytes into the inbox. Dropping the future loses nothing.
    async fn fill(&mut self) -> Result<(), Broken> {
        match self.stream.read(&mut self.inbox).await {
            Ok(0) => Err(Broken::Eof),
            Ok(length) => {
                self.unread = 0..length;
                Ok(())
            }
            Err(error) => Err(Broken::Io(error.kind())),
        }
    }

    async fn event(&mut self, room: &mut [u8]) -> Result<DecodedEvent, Broken> {
        loop {
            let unread = self.inbox.get(self.unread.clone()).unwrap_or(&[]);
            let (used, event) = self.decoder.feed(unread, room)?;
            self.unread.start = self.unread.start.saturating_add(used);
            match event {
                Some(event) => return Ok(event),
                None => self.fill().await?,
            }
        }
    }

    async fn write(&mut self, opcode: Opcode, payload: &[&[u8]]) -> Result<(), Broken> {
        // No mask is used twice, so that nobody can predict what is sent (RFC 6455, section 10.3).
        let mut mask = [0; 4];
        self.rng.fill_bytes(&mut mask);
        encoder::write(&mut self.stream, opcode, mask, payload).await
    }

    /// Waits for the server to end the stream, which it does after both close frames.
    async fn until_the_end(&mut self) {
        while self.fill().await.is_ok() {}
        self.stream.close().await;
    }
}

impl<S: Stream> Carrier for Socket<'_, S> {
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Received<'f>, Broken> {
        let owed = match self.event(room).await? {
            DecodedEvent::Text(length) => {
                // The decoder has checked the text; a second check costs less than unsafe code.
                let text = room.get(..length).and_then(|bytes| core::str::from_utf8(bytes).ok());
                return text
                    .map(|text| Received::Frame(Frame::Text(text)))
                    .ok_or(Broken::Violation(Violation::NotText));
            }
            DecodedEvent::Binary(length) => {
                return Ok(Received::Frame(Frame::Binary(room.get(..length).unwrap_or(&[]))));
            }
            DecodedEvent::Pong => return Ok(Received::Pong),
            DecodedEvent::Ping => Owed::Pong,
            DecodedEvent::Close(code) => Owed::Close(code),
        };
        self.owed = owed;
        Ok(Received::ReplyDue)
    }

    async fn send(&mut self, frame: Frame<'_>) -> Result<(), Broken> {
        match frame {
            Frame::Text(text) => self.write(Opcode::Text, &[text.as_bytes()]).await,
            Frame::Binary(bytes) => self.write(Opcode::Binary, &[bytes]).await,
        }
    }

    async fn reply(&mut self) -> Result<(), Broken> {
        match core::mem::replace(&mut self.owed, Owed::Nothing) {
            Owed::Nothing => Ok(()),
            Owed::Pong => {
                let mut mask = [0; 4];
                self.rng.fill_bytes(&mut mask);
                encoder::write(&mut self.stream, Opcode::Pong, mask, &[self.decoder.control()])
                    .await
            }
            Owed::Close(code) => {
                let echo = code.map(u16::to_be_bytes);
                let echo: &[u8] = echo.as_ref().map_or(&[], |bytes| bytes);
                // The peer has closed already, so a failed echo changes nothing.
                let _ = self.write(Opcode::Close, &[echo]).await;
                self.stream.close().await;
                Err(Broken::ByPeer(code))
            }
        }
    }

    async fn ping(&mut self) -> Result<(), Broken> {
        self.write(Opcode::Ping, &[]).await
    }

    async fn close(&mut self, close: Close) {
        let code = close.code.to_be_bytes();
        if self.write(Opcode::Close, &[&code, close.reason.as_bytes()]).await.is_ok() {
            // Later messages are discarded, so there is no room for them; a violation ends the wait
            // as well as the peer's close frame.
            while !matches!(self.event(&mut []).await, Ok(DecodedEvent::Close(_)) | Err(_)) {}
            self.until_the_end().await;
        }
    }
}

impl<S> core::fmt::Debug for Socket<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The generator and the bytes read are too sensitive for a log.
        f.debug_struct("Socket").field("owed", &self.owed).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<S> defmt::Format for Socket<'_, S> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Socket({})", self.owed);
    }
}
