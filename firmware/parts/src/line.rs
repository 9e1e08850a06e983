//! A serial line to a gateway.

use embedded_io_async::{ErrorType, Read, Write};
use handfast_app::Stream;

/// A UART as a stream that is always open. Its driver must receive into a buffer of its own, so
/// that a dropped read loses nothing.
#[derive(Debug)]
pub struct Line<T>(pub T);

impl<T: ErrorType> ErrorType for Line<T> {
    type Error = T::Error;
}

impl<T: Read> Read for Line<T> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, T::Error> {
        self.0.read(buffer).await
    }
}

impl<T: Write> Write for Line<T> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), T::Error> {
        self.0.flush().await
    }
}

impl<T: Read + Write> Stream for Line<T> {
    /// A serial line has no end to signal to the peer, so this only flushes.
    async fn close(&mut self) {
        let _ = self.0.flush().await;
    }
}
