//! A WebSocket client (RFC 6455) over any stream: one message in, one message out, no extension, no
//! subprotocol.
//!
//! Written here because edge-ws 0.8 reads a frame in one future that loses what it has read when it
//! is dropped, and leaves the rules to its caller (masks, shortest lengths, control frames, UTF-8);
//! edge-http 0.8 brings embassy-sync, httparse, base64 and a SHA-1 of its own for one request.

mod decoder;
mod encoder;
mod handshake;
mod sha1;

pub use decoder::{CONTROL_BYTES, Decoder, Event, Violation};
pub use handshake::{Key, Response, UpgradeError};

use embedded_io_async::Error as _;
use handfast_core::wire::close::Close;
use rand_core::CryptoRng;

use crate::carrier::{Broken, Carrier, Frame, Opener, Received};
use crate::outbox::Outbox;
use crate::ports::{Connector, Stream};
use encoder::Opcode;

/// Bytes read from the stream at once.
const INBOX_BYTES: usize = 128;

/// Where the gateway's WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'t> {
    host: &'t str,
    path: &'t str,
}

impl<'t> Target<'t> {
    /// A host with its port as in an address bar (`gateway.local:8765`), and a path that begins
    /// with `/`.
    ///
    /// `None` if one is empty or holds a space or a character outside printable ASCII, which could
    /// end the line that it stands in.
    #[must_use]
    pub fn new(host: &'t str, path: &'t str) -> Option<Self> {
        let clean =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        (clean(host) && clean(path) && path.starts_with('/')).then_some(Self { host, path })
    }
}

/// Opens WebSockets through a [`Connector`].
#[derive(Debug)]
pub struct Client<'t, C> {
    connector: C,
    target: Target<'t>,
}

impl<'t, C: Connector> Client<'t, C> {
    /// A client of one gateway. The connector knows its address, the target what to ask it for.
    pub const fn new(connector: C, target: Target<'t>) -> Self {
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

/// What an open socket owes the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// What of the inbox the decoder has not had yet.
    unread: core::ops::Range<usize>,
    owed: Owed,
}

impl<'c, S: Stream> Socket<'c, S> {
    /// Turns an open stream into a WebSocket.
    ///
    /// # Errors
    /// [`Broken::Upgrade`] if the peer would not, [`Broken::Io`] and [`Broken::Eof`] if the stream
    /// failed.
    pub async fn upgrade(
        stream: S,
        target: Target<'_>,
        rng: &'c mut dyn CryptoRng,
    ) -> Result<Self, Broken> {
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let key = Key::new(random);
        let mut socket = Self {
            stream,
            rng,
            decoder: Decoder::new(),
            inbox: [0; INBOX_BYTES],
            unread: 0..0,
            owed: Owed::Nothing,
        };

        let mut outbox = Outbox::new(&mut socket.stream);
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
                        return Ok(socket);
                    }
                }
                Some(_) | None => socket.fill().await?,
            }
        }
    }

    /// Reads what there is. Dropped before it is done, it has read nothing.
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

    async fn event(&mut self, room: &mut [u8]) -> Result<Event, Broken> {
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
        let mut mask = [0; 4];
        self.rng.fill_bytes(&mut mask);
        encoder::write(&mut self.stream, opcode, mask, payload).await
    }

    /// After both sides said goodbye it is the server that ends the stream.
    async fn until_the_end(&mut self) {
        while self.fill().await.is_ok() {}
        self.stream.close().await;
    }
}

impl<S: Stream> Carrier for Socket<'_, S> {
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Received<'f>, Broken> {
        let owed = match self.event(room).await? {
            Event::Text(length) => {
                // The decoder has checked it; a look again costs less than trusting it.
                let text = room.get(..length).and_then(|bytes| core::str::from_utf8(bytes).ok());
                return text
                    .map(|text| Received::Frame(Frame::Text(text)))
                    .ok_or(Broken::Violation(Violation::NotText));
            }
            Event::Binary(length) => {
                return Ok(Received::Frame(Frame::Binary(room.get(..length).unwrap_or(&[]))));
            }
            Event::Pong => return Ok(Received::Pong),
            Event::Ping => Owed::Pong,
            Event::Close(code) => Owed::Close(code),
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
                // Whether or not the echo arrives, the peer is gone.
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
            // Nothing that still comes matters, so there is no room for it; a violation ends the
            // wait as well as the peer's goodbye.
            while !matches!(self.event(&mut []).await, Ok(Event::Close(_)) | Err(_)) {}
            self.until_the_end().await;
        }
    }
}

impl<S> core::fmt::Debug for Socket<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Neither the generator nor what was read is for a log.
        f.debug_struct("Socket").field("owed", &self.owed).finish_non_exhaustive()
    }
}
