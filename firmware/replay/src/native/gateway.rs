//! A gateway that plays back the recording.

use core::cell::{Cell, RefCell};
use core::future::pending;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use handfast_edge::ports::{Connector, Stream};

use super::Flow;
use crate::Notes;

include!(concat!(env!("OUT_DIR"), "/said.rs"));

/// Progress of the playback. It is all here, so that the driver's future holds nothing of the
/// script.
pub(crate) struct NativePlayback {
    flow: Flow,
    connection: Cell<u32>,
    /// Number of messages from the node on this connection.
    heard: Cell<u32>,
    /// Number of recorded messages that were sent completely.
    said: Cell<usize>,
    /// Number of bytes of the current message that were sent.
    within: Cell<usize>,
}

impl NativePlayback {
    /// Starts a recording.
    pub(crate) const fn new(flow: Flow) -> Self {
        let (connection, heard) = (Cell::new(0), Cell::new(0));
        Self { flow, connection, heard, said: Cell::new(0), within: Cell::new(0) }
    }

    /// Returns `true` if this flow's parts are measured one by one.
    pub(crate) fn in_parts(&self) -> bool {
        self.flow == Flow::Pin
    }

    /// Returns `true` once the first heartbeat of the link has arrived, after the capabilities.
    pub(crate) fn heartbeat(&self) -> bool {
        let before = if cfg!(feature = "dispatch") { 4 } else { 3 };
        self.connection.get() == 2 && self.heard.get() > before
    }
}

/// A [`Connector`] to the playback.
pub(crate) struct NativeScript<'s> {
    pub(crate) stage: &'s NativePlayback,
    pub(crate) notes: &'s RefCell<Notes<'s>>,
}

impl<'s> Connector for NativeScript<'s> {
    type Stream<'c>
        = NativeScripted<'s>
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<NativeScripted<'s>, ErrorKind> {
        let stage = self.stage;
        if stage.in_parts()
            && stage.connection.get() == 1
            && let Ok(mut notes) = self.notes.try_borrow_mut()
        {
            notes.note("pair by PIN: keep the grant, confirm it");
        }
        stage.connection.set(stage.connection.get().saturating_add(1));
        stage.heard.set(0);
        Ok(NativeScripted(stage))
    }
}

pub(crate) struct NativeScripted<'s>(&'s NativePlayback);

impl ErrorType for NativeScripted<'_> {
    type Error = ErrorKind;
}

impl Read for NativeScripted<'_> {
    async fn read(&mut self, room: &mut [u8]) -> Result<usize, ErrorKind> {
        let stage = self.0;
        let line = SAID.get(stage.flow as usize).and_then(|said| said.get(stage.said.get()));
        let due = line.filter(|(connection, heard, _)| {
            (*connection, *heard) <= (stage.connection.get(), stage.heard.get())
        });
        let Some((_, _, bytes)) = due else { return pending().await };
        let rest = bytes.get(stage.within.get()..).unwrap_or_default();
        let length = rest.len().min(room.len());
        for (place, byte) in room.iter_mut().zip(rest) {
            *place = *byte;
        }
        stage.within.set(stage.within.get().saturating_add(length));
        if length == rest.len() {
            stage.said.set(stage.said.get().saturating_add(1));
            stage.within.set(0);
        }
        Ok(length)
    }
}

impl Write for NativeScripted<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    /// Counts a complete message.
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.heard.set(self.0.heard.get().saturating_add(1));
        Ok(())
    }
}

impl Stream for NativeScripted<'_> {
    async fn close(&mut self) {}
}
