//! Line splitting for an untrusted stream, with limits on the length of a line and on the rate of
//! unsolicited lines.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Number of bytes read at once. Between long lines, at most four times as much stays allocated.
const CHUNK: usize = 16 * 1024;

/// A line splitter with a maximum length.
pub(super) struct LineSplitter<R> {
    source: R,
    longest: usize,
    buffer: Vec<u8>,
    /// Index of the first byte that was not handed out yet.
    start: usize,
    /// Index up to which no line end was found.
    searched: usize,
}

/// The reason for which there are no more lines.
#[derive(Debug)]
pub(super) enum NoLine {
    /// The stream ended; an incomplete last line is dropped.
    Ended,
    /// A line exceeds the maximum length.
    TooLong,
    /// The stream failed.
    Broken(io::Error),
}

impl<R: AsyncRead + Unpin> LineSplitter<R> {
    pub(super) fn new(source: R, longest: usize) -> Self {
        Self { source, longest, buffer: Vec::new(), start: 0, searched: 0 }
    }

    /// Waits for the next line and returns it without its end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<&[u8], NoLine> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let (from, to) = (self.start, self.searched + at);
                self.start = to + 1;
                self.searched = self.start;
                return if to - from > self.longest {
                    Err(NoLine::TooLong)
                } else {
                    Ok(&self.buffer[from..to])
                };
            }
            self.searched = self.buffer.len();
            if self.searched - self.start > self.longest {
                return Err(NoLine::TooLong);
            }
            // The unread rest moves to the front, so the buffer holds one line and a chunk at most.
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
            // A long line must not keep its memory for ever.
            if self.buffer.is_empty() && self.buffer.capacity() > 4 * CHUNK {
                self.buffer = Vec::new();
            }
            self.buffer.reserve(CHUNK);
            match self.source.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(NoLine::Ended),
                Ok(_) => {}
                Err(error) => return Err(NoLine::Broken(error)),
            }
        }
    }
}

/// A counter of unsolicited input, in windows of a second.
#[derive(Debug)]
pub(super) struct Flood {
    most: u64,
    since: Instant,
    counted: u64,
}

impl Flood {
    pub(super) fn new(most: u64) -> Self {
        Self { most, since: Instant::now(), counted: 0 }
    }

    /// Adds `cost`; returns `false` if this second's limit is exceeded.
    pub(super) fn count(&mut self, cost: u64) -> bool {
        let now = Instant::now();
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.counted) = (now, 0);
        }
        self.counted = self.counted.saturating_add(cost);
        self.counted <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_the_stream_is_cut() {
        let text = b"one\n\ntwo\nthree";
        for size in 1..text.len() {
            let mut mock = tokio_chunks(text, size);
            let mut lines = LineSplitter::new(&mut mock, 5);
            for expected in ["one", "", "two"] {
                assert_eq!(lines.next().await.unwrap(), expected.as_bytes(), "in pieces of {size}");
            }
            assert!(matches!(lines.next().await, Err(NoLine::Ended)), "half a line is none");
        }
    }

    #[tokio::test]
    async fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        let mut lines = LineSplitter::new(&b"12345\n123456\n"[..], 5);
        assert_eq!(lines.next().await.unwrap(), b"12345");
        assert!(matches!(lines.next().await, Err(NoLine::TooLong)));
        let mut endless = LineSplitter::new(tokio::io::repeat(b'x'), 1 << 20);
        assert!(matches!(endless.next().await, Err(NoLine::TooLong)));
        assert!(endless.buffer.capacity() <= 4 << 20, "{}", endless.buffer.capacity());
    }

    #[tokio::test]
    async fn a_long_line_leaves_no_large_buffer_behind() {
        let mut stream = vec![b'x'; 1 << 20];
        stream.extend_from_slice(b"\nshort\n");
        let mut lines = LineSplitter::new(&stream[..], 1 << 20);
        assert_eq!(lines.next().await.unwrap().len(), 1 << 20);
        assert_eq!(lines.next().await.unwrap(), b"short");
        assert!(matches!(lines.next().await, Err(NoLine::Ended)));
        assert!(lines.buffer.capacity() <= 4 * CHUNK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_counted_by_the_second() {
        let mut flood = Flood::new(3);
        assert!(flood.count(3));
        assert!(!flood.count(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(flood.count(3));
        assert!(!flood.count(u64::MAX));
    }

    fn tokio_chunks(text: &'static [u8], size: usize) -> impl AsyncRead + Unpin {
        Chunks { text, size }
    }

    struct Chunks {
        text: &'static [u8],
        size: usize,
    }

    impl AsyncRead for Chunks {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            into: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let (now, later) = self.text.split_at(self.size.min(self.text.len()));
            into.put_slice(now);
            self.text = later;
            std::task::Poll::Ready(Ok(()))
        }
    }
}
