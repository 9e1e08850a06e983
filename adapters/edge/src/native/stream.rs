//! Frames over a byte stream.

use core::future::Future;

use embedded_io_async::Error as _;
use handfast_core::limits::STREAM_BUFFER;
use handfast_core::wire::close::Close;
use handfast_core::wire::frame::{Cutter, frame};

use crate::driver::role::{Incoming, Link, Received};
use crate::error::Violation;
use crate::ports::Stream;
use crate::transport::{Broken, Frame};
use crate::write_buffer::WriteBuffer;

/// Size of the read buffer in bytes.
const INBOX_BYTES: usize = 64;

/// An open byte stream, cut into frames. Bytes outside a frame (line noise, the end of a frame
/// whose beginning was missed) are skipped.
pub struct Framed<S> {
    stream: S,
    cutter: Cutter,
    inbox: [u8; INBOX_BYTES],
    /// Range of the inbox that the cutter has not read yet.
    unread: core::ops::Range<usize>,
}

impl<S: Stream> Framed<S> {
    /// Starts on an open stream.
    pub const fn new(stream: S) -> Self {
        Self { stream, cutter: Cutter::new(), inbox: [0; INBOX_BYTES], unread: 0..0 }
    }

    /// Waits for the next message, puts it into `room` and returns its length in bytes.
    ///
    /// Dropping the future loses nothing, if the next call gets the same `room`, unchanged.
    ///
    /// # Errors
    /// [`Broken::Io`] or [`Broken::Eof`] when the stream failed or ended.
    pub async fn receive(&mut self, room: &mut [u8; STREAM_BUFFER]) -> Result<usize, Broken> {
        match Link::receive(self, room).await? {
            Received::Message(message) => Ok(message.length()),
            // A byte stream has nothing else.
            Received::Due | Received::Nothing => Ok(0),
        }
    }

    /// Sends one message. Dropping the future leaves half a frame; the peer resynchronizes at the
    /// next frame's beginning.
    ///
    /// # Errors
    /// [`Broken::Io`] or [`Broken::Eof`] when the stream failed or ended.
    pub fn send(&mut self, message: &[u8]) -> impl Future<Output = Result<(), Broken>> {
        Link::send(self, Frame::Binary(message))
    }

    /// Closes the stream. A byte stream cannot carry a reason.
    pub async fn close(&mut self) {
        self.stream.close().await;
    }
}

impl<S: Stream> Link for Framed<S> {
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Received<'f>, Broken> {
        loop {
            let Some(place) = room.first_chunk_mut::<STREAM_BUFFER>() else {
                return Err(Broken::Violation(Violation::TooBig));
            };
            let mut unread = self.inbox.get(self.unread.clone()).unwrap_or_default();
            let cut = self.cutter.read(&mut unread, place);
            self.unread.start = self.unread.end.saturating_sub(unread.len());
            match cut {
                Some(Ok(length)) => {
                    let bytes = room.get_mut(..length).unwrap_or_default();
                    return Ok(Received::Message(Incoming::Bytes(bytes)));
                }
                // Line noise, or a damaged frame. The sealed channel notices a missing message.
                Some(Err(_)) => {}
                None => match self.stream.read(&mut self.inbox).await {
                    Ok(0) => return Err(Broken::Eof),
                    Ok(length) => self.unread = 0..length,
                    Err(error) => return Err(Broken::Io(error.kind())),
                },
            }
        }
    }

    async fn send(&mut self, message: Frame<'_>) -> Result<(), Broken> {
        let bytes = match message {
            Frame::Binary(bytes) => bytes,
            Frame::Text(text) => text.as_bytes(),
        };
        let mut outbox = WriteBuffer::new(&mut self.stream);
        outbox.push(frame(bytes)).await?;
        outbox.send().await
    }

    fn close(&mut self, _close: Close) -> impl Future<Output = ()> {
        // A byte stream carries no close frame, so the code and the reason are not sent.
        self.stream.close()
    }
}

impl<S> core::fmt::Debug for Framed<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Framed").field("cutter", &self.cutter).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<S> defmt::Format for Framed<S> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Framed({})", self.cutter);
    }
}
