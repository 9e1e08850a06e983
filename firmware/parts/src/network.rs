//! The network of a board that has none.

use core::convert::Infallible;

use embedded_io_async::{ErrorType, Read, Write};
use handfast_app::{ErrorKind, Network, Stream};

/// A network that connects to nothing: such a board reaches its gateway by the serial line.
#[derive(Debug)]
pub struct NoNetwork;

impl Network for NoNetwork {
    type Stream<'a> = NoStream;

    async fn connect(&mut self, _host: &str, _port: u16) -> Result<NoStream, ErrorKind> {
        Err(ErrorKind::Unsupported)
    }
}

/// A stream that does not exist.
#[derive(Debug)]
pub enum NoStream {}

impl ErrorType for NoStream {
    type Error = Infallible;
}

impl Read for NoStream {
    async fn read(&mut self, _buffer: &mut [u8]) -> Result<usize, Infallible> {
        match *self {}
    }
}

impl Write for NoStream {
    async fn write(&mut self, _bytes: &[u8]) -> Result<usize, Infallible> {
        match *self {}
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        match *self {}
    }
}

impl Stream for NoStream {
    async fn close(&mut self) {
        match *self {}
    }
}
