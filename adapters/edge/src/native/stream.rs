//! Frames over a byte stream.

use embedded_io_async::Error as _;
use handfast_core::limits::STREAM_BUFFER;
use handfast_core::wire::frame::Cutter;

use super::stuffing;
use crate::carrier::Broken;
use crate::outbox::Outbox;
use crate::ports::Stream;

/// Bytes read from the stream at once.
const INBOX_BYTES: usize = 64;

/// An open byte stream, cut into frames. What is no frame (noise on a line, the end of a frame
/// whose beginning nobody heard) is passed over.
pub struct Framed<S> {
    stream: S,
    cutter: Cutter,
    inbox: [u8; INBOX_BYTES],
    /// What of the inbox the cutter has not had yet.
    unread: core::ops::Range<usize>,
}

impl<S: Stream> Framed<S> {
    /// Begins on an open stream.
    pub const fn new(stream: S) -> Self {
        Self { stream, cutter: Cutter::new(), inbox: [0; INBOX_BYTES], unread: 0..0 }
    }

    /// Waits for the next message, puts it into `room`, and says how long it is.
    ///
    /// Dropping the future loses nothing, if the next call gets the same `room`, unchanged.
    ///
    /// # Errors
    /// [`Broken::Io`] or [`Broken::Eof`] when the stream is.
    pub async fn receive(&mut self, room: &mut [u8; STREAM_BUFFER]) -> Result<usize, Broken> {
        loop {
            let mut unread = self.inbox.get(self.unread.clone()).unwrap_or_default();
            let cut = self.cutter.read(&mut unread, room);
            self.unread.start = self.unread.end.saturating_sub(unread.len());
            match cut {
                Some(Ok(length)) => return Ok(length),
                Some(Err(_)) => {}
                None => match self.stream.read(&mut self.inbox).await {
                    Ok(0) => return Err(Broken::Eof),
                    Ok(length) => self.unread = 0..length,
                    Err(error) => return Err(Broken::Io(error.kind())),
                },
            }
        }
    }

    /// Sends one message. A dropped future leaves half a frame, behind which only a new beginning
    /// is understood.
    ///
    /// # Errors
    /// [`Broken::Io`] or [`Broken::Eof`] when the stream is.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), Broken> {
        let mut outbox = Outbox::new(&mut self.stream);
        outbox.push(stuffing::frame(message)).await?;
        outbox.send().await
    }

    /// Ends the stream. A byte stream has no words for why.
    pub async fn close(&mut self) {
        self.stream.close().await;
    }
}

impl<S> core::fmt::Debug for Framed<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Framed").field("cutter", &self.cutter).finish_non_exhaustive()
    }
}
