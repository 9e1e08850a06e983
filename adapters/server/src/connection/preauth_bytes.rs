//! Limit on the bytes that unauthenticated peers send in total: each may send a frame of a
//! mebibyte, but not all at once.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Total in bytes from which peers that have sent more than [`ALWAYS`] are cut off.
const MOST_IN_SUM: usize = 64 * 1024 * 1024;
/// Bytes that every peer may send, whatever the total: more than an honest first message needs.
const ALWAYS: usize = 64 * 1024;

/// Counter of the bytes that one connection has sent without authenticating. They count until it is
/// stopped or dropped.
#[derive(Debug)]
pub(crate) struct Meter {
    sum: Arc<AtomicUsize>,
    /// Bytes of this connection; `None` once it is stopped.
    own: Mutex<Option<usize>>,
}

impl Meter {
    pub(crate) fn new(sum: &Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { sum: Arc::clone(sum), own: Mutex::new(Some(0)) })
    }

    /// Counts bytes; returns `false` if they exceed the limit.
    fn read(&self, bytes: usize) -> bool {
        let mut own = self.own.lock().expect("no thread panics while it holds a meter");
        // The meter of a connection that has left the slots counts nothing more.
        let Some(own) = own.as_mut() else { return true };
        *own = own.saturating_add(bytes);
        // The bytes count before the check, so that concurrent reads cannot all pass it.
        let sum = self.sum.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        *own <= ALWAYS || sum <= MOST_IN_SUM
    }

    /// Stops counting, and subtracts the counted bytes from the total.
    pub(crate) fn stop(&self) {
        let counted = self.own.lock().ok().and_then(|mut own| own.take());
        self.sum.fetch_sub(counted.unwrap_or(0), Ordering::Relaxed);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A stream whose reads are counted; without a meter they are not.
pub(crate) struct Metered<S> {
    pub(crate) stream: S,
    pub(crate) meter: Option<Arc<Meter>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        match &self.meter {
            Some(meter) if !meter.read(bytes) => Poll::Ready(Err(io::Error::other(
                "too much from peers that have not authenticated",
            ))),
            Some(_) | None => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_all_send_much_those_who_send_little_are_not_cut_off() {
        let sum = Arc::default();
        let (flood, honest) = (Meter::new(&sum), Meter::new(&sum));
        assert!(flood.read(MOST_IN_SUM));
        assert!(honest.read(ALWAYS));
        assert!(!honest.read(1) && !flood.read(1));
        drop(flood);
        assert!(honest.read(1));
        honest.stop();
        assert_eq!(sum.load(Ordering::Relaxed), 0);
        assert!(honest.read(usize::MAX), "a peer that has authenticated is not counted");
    }
}
