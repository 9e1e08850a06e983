//! Encodes a client's frames: unfragmented, each with its own mask, in few writes.

use embedded_io_async::Write;

use crate::transport::Broken;
use crate::write_buffer::WriteBuffer;

/// Opcodes that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// Writes one frame and flushes it.
pub(super) async fn write<W: Write>(
    to: &mut W,
    opcode: Opcode,
    mask: [u8; 4],
    payload: &[&[u8]],
) -> Result<(), Broken> {
    let length = payload.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
    // A usize has 64 bits at most.
    let long = u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes();
    let [.., c, d] = long;
    let (marker, extended): (u8, &[u8]) = match length {
        0..=125 => (d, &[]),
        126..=0xffff => (126, &[c, d]),
        _ => (127, &long),
    };
    // A client masks each of its frames (RFC 6455, section 5.3).
    let header = [0x80 | opcode as u8, 0x80 | marker]
        .into_iter()
        .chain(extended.iter().copied())
        .chain(mask);
    let masked =
        payload.iter().copied().flatten().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let mut outbox = WriteBuffer::new(to);
    outbox.push(header.chain(masked)).await?;
    outbox.send().await
}
