//! A client's frames to bytes: each is whole, masked with its own mask, and goes out in few writes.

use embedded_io_async::{Error as _, Write};
use zeroize::Zeroize;

use crate::carrier::Broken;

/// Bytes gathered before they are written, so that a small frame is one segment.
const OUTBOX_BYTES: usize = 128;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// Writes one frame and flushes it.
pub(super) async fn write<W: Write>(to: &mut W, opcode: Opcode, mask: [u8; 4], payload: &[&[u8]]) -> Result<(), Broken> {
    let length = payload.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
    // A usize has 64 bits at most.
    let long = u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes();
    let [.., c, d] = long;
    let (marker, extended): (u8, &[u8]) = match length {
        0..=125 => (d, &[]),
        126..=0xffff => (126, &[c, d]),
        _ => (127, &long),
    };
    let header = [0x80 | opcode as u8, 0x80 | marker].into_iter().chain(extended.iter().copied()).chain(mask);
    let masked = payload.iter().copied().flatten().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let mut outbox = Outbox::new(to);
    outbox.push(header.chain(masked)).await?;
    outbox.send().await
}

/// Gathers bytes for a stream.
pub(super) struct Outbox<'w, W> {
    to: &'w mut W,
    bytes: [u8; OUTBOX_BYTES],
    length: usize,
}

impl<'w, W: Write> Outbox<'w, W> {
    pub(super) fn new(to: &'w mut W) -> Self {
        Self { to, bytes: [0; OUTBOX_BYTES], length: 0 }
    }

    pub(super) async fn push(&mut self, bytes: impl Iterator<Item = u8>) -> Result<(), Broken> {
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

    pub(super) async fn send(mut self) -> Result<(), Broken> {
        self.write().await?;
        self.to.flush().await.map_err(|error| Broken::Io(error.kind()))
    }

    /// Not `write_all`, which panics when a stream takes nothing.
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

impl<W> Drop for Outbox<'_, W> {
    fn drop(&mut self) {
        // A masked token and its mask stand here side by side.
        self.bytes.zeroize();
    }
}
