//! A small write buffer for streams.

use embedded_io_async::{Error as _, Write};
use zeroize::Zeroize;

use crate::transport::Broken;

/// Bytes gathered before a write, so that a small frame is one TCP segment.
const OUTBOX_BYTES: usize = 128;

/// Gathers bytes for a stream.
pub(crate) struct WriteBuffer<'w, W> {
    to: &'w mut W,
    bytes: [u8; OUTBOX_BYTES],
    length: usize,
}

impl<'w, W: Write> WriteBuffer<'w, W> {
    pub(crate) fn new(to: &'w mut W) -> Self {
        Self { to, bytes: [0; OUTBOX_BYTES], length: 0 }
    }

    pub(crate) async fn push(&mut self, bytes: impl Iterator<Item = u8>) -> Result<(), Broken> {
        for byte in bytes {
            if self.length == OUTBOX_BYTES {
                self.write().await?;
            }
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
            }
            self.length = self.length.saturating_add(1);
        }
        Ok(())
    }

    pub(crate) async fn send(mut self) -> Result<(), Broken> {
        self.write().await?;
        self.to.flush().await.map_err(|error| Broken::Io(error.kind()))
    }

    /// Writes the gathered bytes. `write_all` would panic when a stream accepts nothing.
    async fn write(&mut self) -> Result<(), Broken> {
        let mut rest = self.bytes.get(..self.length).unwrap_or(&[]);
        while !rest.is_empty() {
            match self.to.write(rest).await {
                Ok(0) => return Err(Broken::Eof),
                Ok(taken) => rest = rest.get(taken..).unwrap_or(&[]),
                Err(error) => return Err(Broken::Io(error.kind())),
            }
        }
        self.length = 0;
        Ok(())
    }
}

impl<W> Drop for WriteBuffer<'_, W> {
    fn drop(&mut self) {
        // A masked token and its mask may stand here side by side.
        self.bytes.zeroize();
    }
}
