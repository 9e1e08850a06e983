//! The ports of a board that runs embassy: its clock, TCP over its stack, and a serial line.
//!
//! ```text
//!  NativePorts { clock: EmbassyClock, gateway: TcpConnector, … }
//!  NativePorts { clock: EmbassyClock, gateway: Line(SerialLine(uart)), … }
//! ```
//! The board starts the stack and its time driver itself, and adds to embassy-net the features that
//! it needs, such as `dhcpv4` or `dns`.

use embassy_net::tcp::{ConnectError, Error, TcpSocket};
use embassy_net::{IpEndpoint, Stack};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use handfast_core::Instant;

use crate::ports::{Clock, Connector, Stream};

/// The clock of embassy's time driver.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EmbassyClock;

impl Clock for EmbassyClock {
    fn now(&self) -> Instant {
        Instant::from_millis(embassy_time::Instant::now().as_millis())
    }

    async fn sleep_until(&self, at: Instant) {
        // A time beyond embassy's range never comes.
        let at = embassy_time::Instant::try_from_millis(at.as_millis());
        embassy_time::Timer::at(at.unwrap_or(embassy_time::Instant::MAX)).await;
    }
}

/// A [`Connector`] to a gateway's TCP listener, with buffers for one stream at a time.
pub struct TcpConnector<'d> {
    stack: Stack<'d>,
    gateway: IpEndpoint,
    receive: &'d mut [u8],
    send: &'d mut [u8],
}

impl<'d> TcpConnector<'d> {
    /// Uses this stack and these buffers; 2048 bytes each hold the longest frame. The gateway is
    /// named by its address, which the board may look up in the DNS before.
    pub const fn new(
        stack: Stack<'d>,
        gateway: IpEndpoint,
        receive: &'d mut [u8],
        send: &'d mut [u8],
    ) -> Self {
        Self { stack, gateway, receive, send }
    }
}

impl Connector for TcpConnector<'_> {
    type Stream<'c>
        = TcpStream<'c>
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<TcpStream<'_>, ErrorKind> {
        self.stack.wait_config_up().await;
        let mut socket = TcpSocket::new(self.stack, self.receive, self.send);
        // Frames are small and each is waited for, so Nagle's algorithm would delay them.
        socket.set_nagle_enabled(false);
        socket.connect(self.gateway).await.map_err(|error| match error {
            ConnectError::ConnectionReset => ErrorKind::ConnectionRefused,
            ConnectError::TimedOut => ErrorKind::TimedOut,
            ConnectError::NoRoute => ErrorKind::NotConnected,
            ConnectError::InvalidState => ErrorKind::Other,
        })?;
        Ok(TcpStream(socket))
    }
}

/// An open TCP stream.
pub struct TcpStream<'c>(TcpSocket<'c>);

impl ErrorType for TcpStream<'_> {
    type Error = Error;
}

impl Read for TcpStream<'_> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        self.0.read(bytes).await
    }
}

impl Write for TcpStream<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.0.flush().await
    }
}

impl Stream for TcpStream<'_> {
    async fn close(&mut self) {
        self.0.close();
        // The driver bounds the wait. A peer that never acknowledges loses the socket with it.
        let _ = self.0.flush().await;
    }
}

/// A permanent serial line: any driver with the traits of embedded-io-async, such as the buffered
/// UARTs of embassy's HALs. [`blocking::Line`](crate::blocking::Line) makes a connector of it.
///
/// Its `read` must lose no bytes when the future is dropped. That of a UART with its own ring buffer
/// does not; one that starts a DMA transfer for each read does.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SerialLine<T>(pub T);

impl<T: ErrorType> ErrorType for SerialLine<T> {
    type Error = T::Error;
}

impl<T: Read> Read for SerialLine<T> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, T::Error> {
        self.0.read(bytes).await
    }
}

impl<T: Write> Write for SerialLine<T> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), T::Error> {
        self.0.flush().await
    }
}

impl<T: Read + Write> Stream for SerialLine<T> {
    async fn close(&mut self) {
        // A permanent line has no end that could be signalled to the peer, so closing only flushes.
        let _ = self.0.flush().await;
    }
}
