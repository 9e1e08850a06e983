//! The parts of a board, as a script.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::{pending, ready};

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_storage_async::nor_flash::{self, NorFlash, NorFlashErrorKind, ReadNorFlash};
use handfast_core::time::Instant;
use handfast_edge::ports::{Clock, Connector, Stream};
use rand_core::{TryCryptoRng, TryRng};

use crate::script;

/// A generator that always gives the same, so that the gateway's answer to the upgrade can be written down beforehand. For measuring only.
pub(crate) struct Always(pub(crate) u8);

impl TryRng for Always {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Always {}

/// What [`UPGRADED`] is the answer to.
pub(crate) const CHANCE: u8 = 0x42;

const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: QMFcOtsGA54c+qOcfZ/s9znRX/U=\r\n\r\n";

/// A clock that stands still: everything that is due at once happens, and nothing times out.
#[derive(Clone, Copy)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_millis(0)
    }

    async fn sleep_until(&self, at: Instant) {
        if at > self.now() { pending().await } else { ready(()).await }
    }
}

const PENDING: [&[u8]; 3] = [&text(script::PAIR_PENDING), script::PAIR_PENDING.as_bytes(), b"\x88\x11\x03\xe8Pairing pending"];
const WELCOME: [&[u8]; 3] = [&text(script::AUTH_OK), script::AUTH_OK.as_bytes(), b""];
const GOODBYE: &[u8] = b"\x88\x02\x03\xe8";

/// The beginning of a short text frame.
const fn text(payload: &str) -> [u8; 2] {
    [0x81, payload.len() as u8]
}

/// What the gateway and the owner know of each other. It is all here, so that the pump's future holds nothing of the script.
#[derive(Default)]
pub(crate) struct Stage {
    connections: Cell<u32>,
    /// Messages of the node on this connection.
    heard: Cell<u32>,
    /// What the gateway still has to say.
    unsaid: Cell<[&'static [u8]; 3]>,
    /// The heartbeat has arrived.
    pub(crate) heartbeat: Cell<bool>,
}

/// A gateway that answers each message of a node with the next line of its script.
pub(crate) struct Script<'s>(pub(crate) &'s Stage);

impl<'s> Connector for Script<'s> {
    type Stream<'c>
        = Scripted<'s>
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<Scripted<'s>, ErrorKind> {
        let stage = self.0;
        stage.connections.set(stage.connections.get().saturating_add(1));
        stage.heard.set(0);
        Ok(Scripted(stage))
    }
}

pub(crate) struct Scripted<'s>(&'s Stage);

impl ErrorType for Scripted<'_> {
    type Error = ErrorKind;
}

impl Read for Scripted<'_> {
    async fn read(&mut self, room: &mut [u8]) -> Result<usize, ErrorKind> {
        let stage = self.0;
        let mut unsaid = stage.unsaid.get();
        let mut length = 0_usize;
        for part in &mut unsaid {
            for place in room.iter_mut().skip(length) {
                let Some((&byte, rest)) = part.split_first() else { break };
                (*place, *part) = (byte, rest);
                length = length.saturating_add(1);
            }
        }
        stage.unsaid.set(unsaid);
        // After the goodbye the stream ends; before it, nothing more is said until the node speaks.
        let over = stage.heard.get() >= if stage.connections.get() == 1 { 3 } else { 4 };
        if length == 0 && !over { pending().await } else { Ok(length) }
    }
}

impl Write for Scripted<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    /// A message is complete.
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        let stage = self.0;
        stage.heard.set(stage.heard.get().saturating_add(1));
        match (stage.connections.get(), stage.heard.get()) {
            (_, 1) => stage.unsaid.set([UPGRADED, b"", b""]),
            (1, 2) => stage.unsaid.set(PENDING),
            (2, 2) => stage.unsaid.set(WELCOME),
            (2, 3) => stage.heartbeat.set(true),
            (2, 4) => stage.unsaid.set([GOODBYE, b"", b""]),
            _ => {}
        }
        Ok(())
    }
}

impl Stream for Scripted<'_> {
    async fn close(&mut self) {}
}

/// Two pages of NOR flash in RAM.
pub(crate) struct RamFlash([u8; RamFlash::PAGE * 2]);

impl RamFlash {
    const PAGE: usize = 128;

    pub(crate) const fn erased() -> Self {
        Self([0xFF; Self::PAGE * 2])
    }

    fn part(&mut self, from: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let rest = self.0.get_mut(from as usize..).ok_or(NorFlashErrorKind::OutOfBounds)?;
        rest.get_mut(..length).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl nor_flash::ErrorType for RamFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for RamFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let part = self.part(offset, bytes.len())?;
        for (to, from) in bytes.iter_mut().zip(part) {
            *to = *from;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for RamFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = Self::PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.part(from, to.saturating_sub(from) as usize)?.fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let part = self.part(offset, bytes.len())?;
        for (to, from) in part.iter_mut().zip(bytes) {
            *to &= from;
        }
        Ok(())
    }
}
