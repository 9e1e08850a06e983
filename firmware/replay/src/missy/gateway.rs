//! A scripted gateway of the `missy` dialect.

use core::cell::Cell;
use core::future::pending;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use handfast_edge::ports::{Connector, Stream};

use super::script;

/// Every random byte of the node; [`UPGRADED`] answers the key made of it.
pub(crate) const CHANCE: u8 = 0x42;

const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: QMFcOtsGA54c+qOcfZ/s9znRX/U=\r\n\r\n";

const PENDING: [&[u8]; 3] = [
    &text(script::PAIR_PENDING),
    script::PAIR_PENDING.as_bytes(),
    b"\x88\x11\x03\xe8Pairing pending",
];
const WELCOME: [&[u8]; 3] = [&text(script::AUTH_OK), script::AUTH_OK.as_bytes(), b""];
const GOODBYE: &[u8] = b"\x88\x02\x03\xe8";

/// Returns the header of a short text frame.
const fn text(payload: &str) -> [u8; 2] {
    [0x81, payload.len() as u8]
}

/// State shared by the gateway and the owner. It is all here, so that the driver's future holds
/// nothing of the script.
#[derive(Default)]
pub(crate) struct MissyPlayback {
    connections: Cell<u32>,
    /// Number of messages from the node on this connection.
    heard: Cell<u32>,
    /// Parts that the gateway still has to send.
    unsaid: Cell<[&'static [u8]; 3]>,
    /// The heartbeat has arrived.
    pub(crate) heartbeat: Cell<bool>,
}

/// A gateway that answers each message of a node with the next line of its script.
pub(crate) struct MissyScript<'s>(pub(crate) &'s MissyPlayback);

impl<'s> Connector for MissyScript<'s> {
    type Stream<'c>
        = MissyScripted<'s>
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<MissyScripted<'s>, ErrorKind> {
        let stage = self.0;
        stage.connections.set(stage.connections.get().saturating_add(1));
        stage.heard.set(0);
        Ok(MissyScripted(stage))
    }
}

pub(crate) struct MissyScripted<'s>(&'s MissyPlayback);

impl ErrorType for MissyScripted<'_> {
    type Error = ErrorKind;
}

impl Read for MissyScripted<'_> {
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
        // After the close frame the stream ends; before it, the gateway stays silent until the node
        // sends.
        let over = stage.heard.get() >= if stage.connections.get() == 1 { 3 } else { 4 };
        if length == 0 && !over { pending().await } else { Ok(length) }
    }
}

impl Write for MissyScripted<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    /// Counts a complete message and queues its answer.
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

impl Stream for MissyScripted<'_> {
    async fn close(&mut self) {}
}
