//! The TCP/IP stack over the LAN9118, with an address from DHCP.

use embassy_executor::Spawner;
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{self, ConnectError, TcpSocket};
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use handfast_app::{ErrorKind, Network, Stream};
use rand_core::CryptoRng;
use static_cell::{ConstStaticCell, StaticCell};

use crate::ethernet::Lan9118;

/// Limit for the peer's acknowledgement of a close, and of the reset after it.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

const SOCKETS: usize = 3; // DHCP, DNS and the stream
const RX_BUFFER: usize = 2048;
const TX_BUFFER: usize = 2048;

/// Starts the stack. `None` if the controller does not answer, or this was called before.
pub(crate) fn start(spawner: Spawner, entropy: &mut impl CryptoRng) -> Option<EmbassyNetwork> {
    static DRIVER: StaticCell<Lan9118> = StaticCell::new();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    static RX: ConstStaticCell<[u8; RX_BUFFER]> = ConstStaticCell::new([0; _]);
    static TX: ConstStaticCell<[u8; TX_BUFFER]> = ConstStaticCell::new([0; _]);
    let driver = DRIVER.try_init(Lan9118::start()?)?;
    let resources = RESOURCES.try_init(StackResources::new())?;
    let config = Config::dhcpv4(Default::default());
    let (stack, runner) = embassy_net::new(driver, config, resources, entropy.next_u64());
    spawner.spawn(drive(runner).ok()?);
    Some(EmbassyNetwork { stack, rx: RX.try_take()?, tx: TX.try_take()? })
}

#[embassy_executor::task]
async fn drive(mut runner: Runner<'static, &'static mut Lan9118>) {
    runner.run().await;
}

/// The network, with buffers for one TCP stream at a time.
pub(crate) struct EmbassyNetwork {
    stack: Stack<'static>,
    rx: &'static mut [u8; RX_BUFFER],
    tx: &'static mut [u8; TX_BUFFER],
}

impl Network for EmbassyNetwork {
    type Stream<'a> = TcpStream<'a>;

    async fn connect(&mut self, host: &str, port: u16) -> Result<TcpStream<'_>, ErrorKind> {
        self.stack.wait_config_up().await;
        // An IP address as the host resolves to itself, without a query.
        let addresses =
            self.stack.dns_query(host, DnsQueryType::A).await.map_err(|_| ErrorKind::NotFound)?;
        let address = *addresses.first().ok_or(ErrorKind::NotFound)?;
        let mut socket = TcpSocket::new(self.stack, self.rx, self.tx);
        // Frames are small and each is waited for, so Nagle's algorithm would delay them.
        socket.set_nagle_enabled(false);
        socket.connect((address, port)).await.map_err(|error| match error {
            ConnectError::ConnectionReset => ErrorKind::ConnectionRefused,
            ConnectError::TimedOut => ErrorKind::TimedOut,
            ConnectError::NoRoute => ErrorKind::NotConnected,
            ConnectError::InvalidState => ErrorKind::Other,
        })?;
        Ok(TcpStream { socket })
    }
}

/// An open TCP stream.
pub(crate) struct TcpStream<'a> {
    socket: TcpSocket<'a>,
}

impl Stream for TcpStream<'_> {
    async fn close(&mut self) {
        self.socket.close();
        // A peer that does not acknowledge gets a reset instead.
        if with_timeout(ABORT_TIMEOUT, self.socket.flush()).await.is_err() {
            self.socket.abort();
            let _ = with_timeout(ABORT_TIMEOUT, self.socket.flush()).await;
        }
    }
}

impl ErrorType for TcpStream<'_> {
    type Error = tcp::Error;
}

impl Read for TcpStream<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, tcp::Error> {
        self.socket.read(buffer).await
    }
}

impl Write for TcpStream<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, tcp::Error> {
        self.socket.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), tcp::Error> {
        self.socket.flush().await
    }
}
