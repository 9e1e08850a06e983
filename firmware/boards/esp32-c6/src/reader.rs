//! The receiving side of the line to the gateway.
//!
//! The UART holds 128 bytes, which is 11 ms at 115 200 baud, and a key agreement takes longer. So an
//! executor above the node's empties it, by interrupt, into a buffer.

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embedded_io_async::{ErrorType, Read, Write};
use esp_hal::uart::{TxError, UartRx, UartTx};
use esp_hal::{Async, Blocking};

/// Bytes that were received and not yet read.
static RECEIVED: Pipe<CriticalSectionRawMutex, 2048> = Pipe::new();

/// Moves every byte that comes into the buffer.
#[embassy_executor::task]
pub(crate) async fn read(receiver: UartRx<'static, Blocking>) {
    let mut receiver = receiver.into_async();
    let mut bytes = [0; 64];
    loop {
        // After an error the wire finds the gap by its checksum.
        if let Ok(length) = receiver.read_async(&mut bytes).await
            && let Some(came) = bytes.get(..length)
        {
            RECEIVED.write_all(came).await;
        }
    }
}

/// The line to the gateway: what was received, and the sending side of the UART.
pub(crate) struct BufferedLine(pub(crate) UartTx<'static, Async>);

impl ErrorType for BufferedLine {
    type Error = TxError;
}

impl Read for BufferedLine {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TxError> {
        Ok(RECEIVED.read(buffer).await)
    }
}

impl Write for BufferedLine {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, TxError> {
        Write::write(&mut self.0, bytes).await
    }

    async fn flush(&mut self) -> Result<(), TxError> {
        Write::flush(&mut self.0).await
    }
}
