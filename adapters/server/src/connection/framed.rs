//! Frames over a byte stream.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use handfast_core::limits::{STREAM_BUFFER, STREAM_FRAME};
use handfast_core::wire::close::Close;
use handfast_core::wire::frame::{FrameDecoder, FrameError, encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::transport::{FrameTransport, Gone, PeerEvent};

/// Size of a read in bytes. The buffer is on the stack, and only while bytes arrive.
const CHUNK: usize = 512;

/// A byte stream that is cut into frames. Between frames it holds no buffer.
#[derive(Debug)]
pub(crate) struct FramedTransport<S> {
    stream: S,
    /// Decoder of the frame that is arriving; `None` between frames.
    decoder: Option<Box<FrameDecoder<[u8; STREAM_BUFFER]>>>,
    /// Bytes that arrived after the last frame.
    unread: Vec<u8>,
}

/// A decoded frame, or its error.
pub(crate) type Cut = Result<Vec<u8>, FrameError>;

impl<S: AsyncRead + AsyncWrite + Unpin> FramedTransport<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, decoder: None, unread: Vec::new() }
    }

    /// Returns the next frame, valid or not; `None` at the end of the stream. Cancel-safe: nothing
    /// is lost if the future is dropped.
    ///
    /// # Errors
    /// The error of the stream.
    pub(crate) async fn frame(&mut self) -> io::Result<Option<Cut>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Cut>>> {
        let unread = std::mem::take(&mut self.unread);
        if let Some(frame) = self.decode(&unread) {
            return Poll::Ready(Ok(Some(frame)));
        }
        loop {
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(None));
            }
            if let Some(frame) = self.decode(chunk.filled()) {
                return Poll::Ready(Ok(Some(frame)));
            }
        }
    }

    fn decode(&mut self, mut bytes: &[u8]) -> Option<Cut> {
        if bytes.is_empty() {
            return None;
        }
        let decoder =
            self.decoder.get_or_insert_with(|| Box::new(FrameDecoder::new([0; STREAM_BUFFER])));
        let frame = decoder.read(&mut bytes)?.map(<[u8]>::to_vec);
        self.unread = bytes.to_vec();
        // `TooLong` is reported before the end of the frame, and the decoder has to skip the rest;
        // after any other frame it holds nothing.
        if frame != Err(FrameError::TooLong) {
            self.decoder = None;
        }
        Some(frame)
    }

    #[cfg(test)]
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send_frame(&mut self, message: &[u8]) -> Result<(), Gone> {
        self.send_frames(&[message]).await
    }

    /// Sends frames in one write: each write costs a packet, and wakes the peer.
    pub(crate) async fn send_frames(&mut self, messages: &[impl AsRef<[u8]>]) -> Result<(), Gone> {
        let (mut frames, mut length) = (vec![0; STREAM_FRAME * messages.len()], 0);
        for message in messages {
            let encoded = encode(message.as_ref(), &mut frames[length..]);
            length += encoded.map_err(|_| Gone)?.len();
        }
        self.stream.write_all(&frames[..length]).await.map_err(|_| Gone)?;
        self.stream.flush().await.map_err(|_| Gone)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> FrameTransport<Vec<u8>> for FramedTransport<S> {
    async fn recv(&mut self) -> PeerEvent<Vec<u8>> {
        match self.frame().await {
            Ok(Some(Ok(frame))) => PeerEvent::Frame(frame),
            Ok(Some(Err(FrameError::TooLong))) => PeerEvent::Broken(Close::TOO_BIG),
            Ok(Some(Err(
                FrameError::Truncated | FrameError::Checksum | FrameError::NotCanonical,
            ))) => PeerEvent::Broken(Close::PROTOCOL_VIOLATION),
            Ok(None) | Err(_) => PeerEvent::Gone,
        }
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), Gone> {
        self.send_frame(&frame).await
    }

    async fn send_all(&mut self, frames: Vec<Vec<u8>>) -> Result<(), Gone> {
        self.send_frames(&frames).await
    }

    /// Shuts the stream down. A byte stream cannot carry a close code.
    async fn close(&mut self, _: Option<Close>, linger: bool) {
        if self.stream.shutdown().await.is_err() || !linger {
            return;
        }
        // The system resets a connection that is closed with unread bytes, and the last message
        // would be lost. So the rest is read.
        let mut rest = [0; 64];
        while matches!(self.stream.read(&mut rest).await, Ok(read) if read > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; STREAM_FRAME];
        encode(message, &mut out).unwrap().to_vec()
    }

    #[tokio::test]
    async fn frames_come_out_whole_however_they_come_in_and_nothing_is_held_between_them() {
        let (mut far, near) = tokio::io::duplex(7);
        let mut near = FramedTransport::new(near);
        let long = [9; handfast_core::limits::MESSAGE_BYTES];
        let sent = [frame(b"one"), frame(b"two"), frame(&long)].concat();
        let sending = tokio::spawn(async move { far.write_all(&sent).await.map(|()| far) });
        for expected in [&b"one"[..], b"two", &long] {
            assert_eq!(near.frame().await.unwrap().unwrap().unwrap(), expected);
        }
        assert!(near.decoder.is_none() && near.unread.is_empty());
        drop(sending.await.unwrap());
        assert!(near.frame().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn two_frames_in_one_piece_are_both_read_and_a_long_one_is_named() {
        let (mut far, near) = tokio::io::duplex(8192);
        let mut near = FramedTransport::new(near);
        far.write_all(&[frame(b"one"), frame(b"two")].concat()).await.unwrap();
        assert_eq!(near.frame().await.unwrap().unwrap().unwrap(), b"one");
        assert_eq!(near.frame().await.unwrap().unwrap().unwrap(), b"two");
        far.write_all(&[1; 3000]).await.unwrap();
        far.write_all(&frame(b"three")).await.unwrap();
        assert_eq!(near.frame().await.unwrap().unwrap(), Err(FrameError::TooLong));
        assert_eq!(near.frame().await.unwrap().unwrap().unwrap(), b"three");
    }
}
