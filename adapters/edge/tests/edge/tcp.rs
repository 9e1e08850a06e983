//! The same tests over sockets of the operating system, in real time: once with an executor, once
//! with a plain loop.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{ErrorKind, ErrorType};
use handfast_core::Instant;
use handfast_core::flow::registration::node::RegistrationNodeEvent;
use handfast_core::wire::registration::Heartbeat;
use handfast_edge::blocking::{Polled, PolledClock, block_on_with};
use handfast_edge::ports::{Command, Connector, NoSensors, Owner, Report, Sensors};
use handfast_edge::registration::driver::{
    RegistrationBuffers, RegistrationPorts, RegistrationSettings, run,
};
use handfast_edge::registration::memory::RegistrationFlash;
use handfast_edge::websocket::Client;
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::Gateway;
use crate::net::{Chance, Tcp};
use crate::node::{Cells, identity, target};

struct Dial(SocketAddr);

impl Connector for Dial {
    type Stream<'c> = Tcp<TcpStream>;

    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind> {
        let stream =
            TcpStream::connect(self.0).await.map_err(|error| embedded_io::Error::kind(&error))?;
        Ok(Tcp(FromTokio::new(stream)))
    }
}

struct BlockingDial(SocketAddr);

impl Connector for BlockingDial {
    type Stream<'c> = Polled<Socket>;

    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind> {
        std::net::TcpStream::connect(self.0)
            .map(|stream| Polled(Socket(stream)))
            .map_err(|error| embedded_io::Error::kind(&error))
    }
}

struct Socket(std::net::TcpStream);

impl ErrorType for Socket {
    type Error = std::io::Error;
}

impl embedded_io::Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        std::io::Read::read(&mut self.0, buf)
    }
}

impl embedded_io::ReadReady for Socket {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        self.0.set_nonblocking(true)?;
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false)?;
        match peeked {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            peeked => peeked.map(|_| true),
        }
    }
}

impl embedded_io::Write for Socket {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        std::io::Write::write(&mut self.0, buf)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        std::io::Write::flush(&mut self.0)
    }
}

/// An owner who enters the token that the operator reads out, and stops once the node is linked.
struct Eager {
    gateway: Gateway,
    next: RefCell<Option<Command>>,
    linked: Rc<RefCell<u32>>,
}

impl Owner for Eager {
    async fn command(&mut self) -> Command {
        match self.next.take() {
            Some(command) => command,
            None => core::future::pending().await,
        }
    }

    async fn tell(&mut self, report: Report<'_>) {
        match report {
            Report::News(RegistrationNodeEvent::WaitsForApproval(id)) => {
                self.next = RefCell::new(Some(Command::TokenEntered(self.gateway.approve(id))));
            }
            Report::News(RegistrationNodeEvent::Linked { .. }) => {
                *self.linked.borrow_mut() += 1;
                self.next = RefCell::new(Some(Command::Stop));
            }
            _ => {}
        }
    }
}

async fn accept(gateway: Gateway, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(gateway.clone().serve(stream));
    }
}

fn now_since(start: std::time::Instant) -> Instant {
    Instant::from_millis(start.elapsed().as_millis() as u64)
}

#[tokio::test]
async fn a_node_pairs_and_links_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = Gateway::new();
    tokio::spawn(accept(gateway.clone(), listener));
    let linked = Rc::new(RefCell::new(0));
    let ports = RegistrationPorts {
        gateway: Client::new(Dial(address), target()),
        clock: crate::node::Virtual(tokio::time::Instant::now()),
        keep: RegistrationFlash::new(Cells::erased(), 0).unwrap(),
        rng: Chance(1),
        owner: Eager { gateway: gateway.clone(), next: RefCell::new(None), linked: linked.clone() },
        sensors: NoSensors,
        identity: identity(),
    };
    assert_eq!(NoSensors.heartbeat(), Heartbeat::default());
    run(ports, &RegistrationSettings::DEFAULT, &mut RegistrationBuffers::<512>::default()).await;
    assert_eq!(*linked.borrow(), 1);
}

#[test]
fn a_node_without_an_executor_pairs_and_links_over_blocking_tcp() {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let gateway = Gateway::new();
            send.send((listener.local_addr().unwrap(), gateway.clone())).unwrap();
            accept(gateway, listener).await;
        });
    });
    let (address, gateway) = receive.recv().unwrap();
    let linked = Rc::new(RefCell::new(0));
    let start = std::time::Instant::now();
    let ports = RegistrationPorts {
        gateway: Client::new(BlockingDial(address), target()),
        clock: PolledClock(move || now_since(start)),
        keep: RegistrationFlash::new(Cells::erased(), 0).unwrap(),
        rng: Chance(1),
        owner: Eager { gateway, next: RefCell::new(None), linked: linked.clone() },
        sensors: NoSensors,
        identity: identity(),
    };
    let idle = || std::thread::sleep(core::time::Duration::from_millis(1));
    block_on_with(
        run(ports, &RegistrationSettings::DEFAULT, &mut RegistrationBuffers::<512>::new()),
        idle,
    );
    assert_eq!(*linked.borrow(), 1);
}
