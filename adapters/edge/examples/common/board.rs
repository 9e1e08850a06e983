//! The board of the examples: TCP, this machine's clock, and storage that forgets.

use std::time::{Duration, Instant as Started};

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use handfast_core::Instant;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::secret::Secret;
use handfast_edge::native::memory::{BoardRecord, BoardStorage, NativeStorage, StoredBoard};
use handfast_edge::ports::{Clock, Connector, Stream};
use handfast_edge::registration::memory::KeepError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The address of a gateway.
pub(crate) struct Gateway(pub(crate) String);

impl Connector for Gateway {
    type Stream<'c> = Tcp;

    async fn connect(&mut self) -> Result<Tcp, ErrorKind> {
        let stream = TcpStream::connect(&self.0).await.map_err(|error| error.kind())?;
        Ok(Tcp(FromTokio::new(stream)))
    }
}

/// A TCP connection.
pub(crate) struct Tcp(FromTokio<TcpStream>);

impl ErrorType for Tcp {
    type Error = std::io::Error;
}

impl Read for Tcp {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf).await
    }
}

impl Write for Tcp {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush().await
    }
}

impl Stream for Tcp {
    async fn close(&mut self) {
        let _ = self.0.inner_mut().shutdown().await;
    }
}

/// Time since this instant.
pub(crate) struct BoardClock(pub(crate) Started);

impl Clock for BoardClock {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.elapsed().as_millis() as u64)
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until((self.0 + Duration::from_millis(at.as_millis())).into()).await;
    }
}

/// Storage that forgets. A board gives pages of its flash to `native::memory::NativeFlash`, or with
/// capabilities to `DispatchFlash`.
pub(crate) struct Forgets;

impl NativeStorage for Forgets {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        Ok(None)
    }

    async fn keep_keys(&mut self, _: &Secret<64>) -> Result<(), KeepError> {
        Ok(())
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        Ok(NativeMemory::Blank)
    }

    async fn keep(&mut self, _: &NativeMemory) -> Result<(), KeepError> {
        Ok(())
    }
}

impl BoardStorage for Forgets {
    async fn load_board(
        &mut self,
        _: &mut StoredBoard,
        _: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        Ok(())
    }

    async fn keep_board(&mut self, _: &StoredBoard, _: &mut BoardRecord) -> Result<(), KeepError> {
        Ok(())
    }
}
