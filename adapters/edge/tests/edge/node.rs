//! The board of a test's node: virtual time, duplex pipes, torn flash, an owner at a console, and a
//! fuse that cuts the power.

use std::cell::Cell;
use std::rc::Rc;

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use handfast_core::flow::registration::node::{RegistrationMemory, RegistrationNodeEvent};
use handfast_core::wire::json::Number;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::App;
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::{Instant, Label, NodeId, Refusal, Span};
use handfast_edge::ports::{Clock, Command, Connector, Owner, Report, Sensors, Stream};
use handfast_edge::registration::driver::{
    RegistrationBuffers, RegistrationPorts, RegistrationSettings, run,
};
use handfast_edge::registration::memory::{KeepError, RegistrationFlash, RegistrationStorage};
use handfast_edge::transport::Broken;
use handfast_edge::websocket::{Client, WebSocketTarget};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, mpsc};

use crate::flash::TornFlash;
use crate::gateway::Gateway;
use crate::net::{Chance, Tcp};

pub(crate) type Cells = TornFlash<2>;

/// A report that outlives its frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Waits(NodeId),
    TokenKept,
    Linked(NodeId, String),
    Refused(Refusal),
    Complaint,
    RetryIn(Span),
    NothingAsked,
    Forgotten,
    NotLoaded(KeepError),
    NotKept(KeepError),
    NoConnection(Broken),
}

/// A fuse that loses one step at each effect. Once it is burnt, nothing happens any more.
pub(crate) struct Fuse {
    left: Cell<Option<u32>>,
    blown: Notify,
}

impl Fuse {
    pub(crate) fn of(effects: Option<u32>) -> Rc<Self> {
        Rc::new(Self { left: Cell::new(effects), blown: Notify::new() })
    }

    pub(crate) async fn burn(&self) {
        match self.left.get() {
            Some(0) => {
                self.blown.notify_one();
                core::future::pending::<()>().await;
            }
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
    }

    pub(crate) async fn blown(&self) {
        self.blown.notified().await;
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Virtual(pub(crate) tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.elapsed().as_millis() as u64)
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(self.0 + core::time::Duration::from_millis(at.as_millis())).await;
    }
}

/// An opener of pipes to a gateway; without a gateway nobody answers.
pub(crate) struct Pipes {
    pub(crate) gateway: Option<Gateway>,
    pub(crate) fuse: Rc<Fuse>,
    pub(crate) unanswered: Vec<DuplexStream>,
}

impl Connector for Pipes {
    type Stream<'c> = Fused;

    async fn connect(&mut self) -> Result<Fused, ErrorKind> {
        self.fuse.burn().await;
        let (ours, theirs) = tokio::io::duplex(4096);
        match &self.gateway {
            Some(gateway) => drop(tokio::spawn(gateway.clone().serve(theirs))),
            None => self.unanswered.push(theirs),
        }
        self.fuse.burn().await;
        Ok(Fused(Tcp(FromTokio::new(ours)), self.fuse.clone()))
    }
}

pub(crate) struct Fused(pub(crate) Tcp<DuplexStream>, pub(crate) Rc<Fuse>);

impl ErrorType for Fused {
    type Error = std::io::Error;
}

impl Read for Fused {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf).await
    }
}

impl Write for Fused {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.1.burn().await;
        self.0.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.1.burn().await;
        self.0.flush().await
    }
}

impl Stream for Fused {
    async fn close(&mut self) {
        self.1.burn().await;
        self.0.close().await;
    }
}

pub(crate) struct FusedFlash(RegistrationFlash<Cells>, Rc<Fuse>);

impl RegistrationStorage for FusedFlash {
    async fn load(&mut self) -> Result<RegistrationMemory, KeepError> {
        self.0.load().await
    }

    async fn keep(&mut self, memory: &RegistrationMemory) -> Result<(), KeepError> {
        self.1.burn().await;
        let outcome = self.0.keep(memory).await;
        self.1.burn().await;
        outcome
    }
}

pub(crate) struct Console {
    commands: mpsc::UnboundedReceiver<Command>,
    reports: mpsc::UnboundedSender<Told>,
    fuse: Rc<Fuse>,
}

impl Owner for Console {
    async fn command(&mut self) -> Command {
        match self.commands.recv().await {
            Some(command) => command,
            None => core::future::pending().await,
        }
    }

    async fn tell(&mut self, report: Report<'_>) {
        self.fuse.burn().await;
        let told = match report {
            Report::News(RegistrationNodeEvent::WaitsForApproval(id)) => Told::Waits(id),
            Report::News(RegistrationNodeEvent::TokenKept) => Told::TokenKept,
            Report::News(RegistrationNodeEvent::Linked { node_id, room }) => {
                Told::Linked(node_id, room.as_str().into())
            }
            Report::News(RegistrationNodeEvent::Refused(refusal)) => Told::Refused(refusal),
            Report::News(RegistrationNodeEvent::Complaint(_)) => Told::Complaint,
            Report::News(RegistrationNodeEvent::RetryIn(span)) => Told::RetryIn(span),
            Report::News(RegistrationNodeEvent::NothingAsked) => Told::NothingAsked,
            Report::News(RegistrationNodeEvent::Forgotten) => Told::Forgotten,
            Report::NotLoaded(error) => Told::NotLoaded(error),
            Report::NotKept(error) => Told::NotKept(error),
            Report::NoConnection(broken) => Told::NoConnection(broken),
        };
        let _ = self.reports.send(told);
    }
}

pub(crate) struct Microphone;

impl Sensors for Microphone {
    fn heartbeat(&mut self) -> Heartbeat<'_> {
        Heartbeat { noise_level: Number::parse("0.25"), ..Heartbeat::default() }
    }

    fn message(&mut self, number: u16) -> Option<App<'_>> {
        let (address, bytes) = match number {
            1 => ("/home/kitchen/temperature", &b"21.5"[..]),
            2 => ("/home/attic/lamp", &b"on"[..]),
            _ => return None,
        };
        let (address, bytes) = (Address::parse(address).ok()?, Payload::new(bytes)?);
        Some(App { action: Action::Write, address, bytes })
    }

    fn pattern(&mut self, number: u16) -> Option<Pattern<'_>> {
        (number == 1).then(|| Pattern::parse("/home/kitchen/**").ok()).flatten()
    }
}

/// The test's side of the owner.
pub(crate) struct Hand {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) reports: mpsc::UnboundedReceiver<Told>,
}

impl Hand {
    pub(crate) fn say(&self, command: Command) {
        self.commands.send(command).unwrap();
    }

    pub(crate) async fn told(&mut self) -> Told {
        tokio::time::timeout(core::time::Duration::from_secs(3600), self.reports.recv())
            .await
            .expect("an hour of silence")
            .unwrap()
    }

    /// Returns the next report that `wanted` selects.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(&Told) -> Option<T>) -> T {
        loop {
            let told = self.told().await;
            if let Some(found) = wanted(&told) {
                return found;
            }
        }
    }
}

pub(crate) fn console(fuse: &Rc<Fuse>) -> (Console, Hand) {
    let (commands, commanded) = mpsc::unbounded_channel();
    let (reports, reported) = mpsc::unbounded_channel();
    let console = Console { commands: commanded, reports, fuse: fuse.clone() };
    (console, Hand { commands, reports: reported })
}

pub(crate) fn identity() -> PairRequest<'static> {
    let label = |text| Label::parse(text).unwrap();
    PairRequest {
        name: label("Küche"),
        room: label("kitchen"),
        profile: Profile::parse(r#"{"mic":true}"#).unwrap(),
    }
}

pub(crate) fn target() -> WebSocketTarget<'static> {
    WebSocketTarget::new("gateway.local:8765", "/").unwrap()
}

/// Runs one life of a node: from boot until it is stopped or dropped.
pub(crate) async fn live(gateway: Option<Gateway>, cells: &Cells, fuse: Rc<Fuse>, owner: Console) {
    let ports = RegistrationPorts {
        gateway: Client::new(
            Pipes { gateway, fuse: fuse.clone(), unanswered: Vec::new() },
            target(),
        ),
        clock: Virtual(tokio::time::Instant::now()),
        keep: FusedFlash(RegistrationFlash::new(cells.clone(), 0).unwrap(), fuse),
        rng: Chance(1),
        owner,
        sensors: Microphone,
        identity: identity(),
    };
    run(ports, &RegistrationSettings::DEFAULT, &mut RegistrationBuffers::<512>::new()).await;
}
