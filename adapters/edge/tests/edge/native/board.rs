//! The board of a node of the native wire: that of [`crate::node`], with an owner who pairs by PIN.

use core::future::Future;
use std::rc::Rc;

use embedded_io_adapters::tokio_1::FromTokio;
use embedded_io_async::ErrorKind;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{
    CertificateWish, NativeMemory, NativeNodeEvent, NodeIdentity, PairMethod, Trust,
};
use handfast_core::secret::Secret;
use handfast_core::wire::native::pair::AskedScopes;
use handfast_core::{NodeId, Span};
use handfast_edge::native::memory::{
    BoardRecord, BoardStorage, CertificateFlash, CertificateRecord, CertificateStorage,
    NativeFlash, NativeStorage, StoredBoard, StoredCertificate, keys,
};
use handfast_edge::native::{
    CertificateBuffers, CertificateNews, Certificates, DispatchBuffers, Dispatching, NativeBuffers,
    NativeCommand, NativeOwnerPort, NativePorts, NativeReport, NativeSettings, NotSent, run,
};
use handfast_edge::ports::Connector;
use handfast_edge::registration::memory::KeepError;
use handfast_edge::transport::Broken;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::gateway::Gateway;
use super::workshop::Workshop;
use crate::flash::TornFlash;
use crate::net::{Chance, Tcp};
use crate::node::{Fuse, Fused, Microphone, Virtual, identity};

/// Number of pages: two each for the memory and the keys, twelve for the board, and four for the
/// certificate.
pub(crate) const PAGES: usize = 20;

pub(crate) type Cells = TornFlash<PAGES>;

/// A report that outlives its frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Gateway(Trust),
    OtherGateway,
    TypeThePin(u8),
    WrongCode(u8),
    Confirmed,
    Unproven,
    Waits,
    Granted(NodeId),
    Linked(NodeId),
    RetryIn(Span),
    Unpaired,
    Forgotten,
    NotSent(NotSent),
    /// News of a task, formatted.
    Task(String),
    TasksNotLoaded(KeepError),
    Certificate(CertificateNews),
    /// Any other event, formatted.
    News(String),
    NotLoaded(KeepError),
    NotKept(KeepError),
    NoConnection(Broken),
}

/// The transport between node and gateway.
#[derive(Clone, Copy)]
pub(crate) enum Wire {
    /// A clean stream with a buffer of this many bytes.
    Clean(usize),
    /// A stream with noise before the first frame of each side.
    Noisy,
    /// A stream on which nobody answers.
    Dead,
}

/// A connector that opens pipes to a gateway.
pub(crate) struct Pipes {
    pub(crate) gateway: Gateway,
    pub(crate) wire: Wire,
    pub(crate) fuse: Rc<Fuse>,
    pub(crate) unanswered: Vec<DuplexStream>,
}

impl Connector for Pipes {
    type Stream<'c> = Fused;

    async fn connect(&mut self) -> Result<Fused, ErrorKind> {
        self.fuse.burn().await;
        let room = if let Wire::Clean(room) = self.wire { room } else { 4096 };
        let (mut ours, mut theirs) = tokio::io::duplex(room);
        if let Wire::Noisy = self.wire {
            ours.write_all(b"\x07\x00\x01login: \x00\x00\x02").await.unwrap();
            theirs.write_all(b"\xff\xfe boot\r\n\x00\x00\x09\x09\x00\x55").await.unwrap();
        }
        match self.wire {
            Wire::Dead => self.unanswered.push(theirs),
            Wire::Clean(_) | Wire::Noisy => drop(tokio::spawn(self.gateway.clone().serve(theirs))),
        }
        self.fuse.burn().await;
        Ok(Fused(Tcp(FromTokio::new(ours)), self.fuse.clone()))
    }
}

pub(crate) struct FusedFlash(pub(crate) CertificateFlash<Cells>, pub(crate) Rc<Fuse>);

impl CertificateStorage for FusedFlash {
    async fn load_certificate<'r>(
        &mut self,
        record: &'r mut CertificateRecord,
    ) -> Result<Option<StoredCertificate<'r>>, KeepError> {
        self.0.load_certificate(record).await
    }

    async fn keep_certificate(
        &mut self,
        certificate: Option<&StoredCertificate<'_>>,
        record: &mut CertificateRecord,
    ) -> Result<(), KeepError> {
        self.1.burn().await;
        let outcome = self.0.keep_certificate(certificate, record).await;
        self.1.burn().await;
        outcome
    }
}

impl BoardStorage for FusedFlash {
    async fn load_board(
        &mut self,
        board: &mut StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        self.0.load_board(board, record).await
    }

    async fn keep_board(
        &mut self,
        board: &StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        self.1.burn().await;
        let outcome = self.0.keep_board(board, record).await;
        self.1.burn().await;
        outcome
    }
}

impl NativeStorage for FusedFlash {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        self.0.keys().await
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        self.1.burn().await;
        let outcome = self.0.keep_keys(keys).await;
        self.1.burn().await;
        outcome
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        self.0.load().await
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        self.1.burn().await;
        let outcome = self.0.keep(memory).await;
        self.1.burn().await;
        outcome
    }
}

pub(crate) struct Console {
    commands: mpsc::UnboundedReceiver<NativeCommand>,
    reports: mpsc::UnboundedSender<Told>,
    fuse: Rc<Fuse>,
}

impl NativeOwnerPort for Console {
    const KEEPS_ADDRESSES: bool = true;

    async fn command(&mut self) -> NativeCommand {
        match self.commands.recv().await {
            Some(command) => command,
            None => core::future::pending().await,
        }
    }

    async fn tell(&mut self, report: NativeReport<'_>) {
        self.fuse.burn().await;
        let told = match report {
            NativeReport::News(NativeNodeEvent::Gateway { trust, .. }) => Told::Gateway(trust),
            NativeReport::News(NativeNodeEvent::OtherGateway(_)) => Told::OtherGateway,
            NativeReport::News(NativeNodeEvent::TypeThePin { attempts, .. }) => {
                Told::TypeThePin(attempts)
            }
            NativeReport::News(NativeNodeEvent::WrongCode { attempts_left }) => {
                Told::WrongCode(attempts_left)
            }
            NativeReport::News(NativeNodeEvent::CodeConfirmed) => Told::Confirmed,
            NativeReport::News(NativeNodeEvent::GatewayUnproven) => Told::Unproven,
            NativeReport::News(NativeNodeEvent::WaitsForApproval { .. }) => Told::Waits,
            NativeReport::News(NativeNodeEvent::Granted { node_id, .. }) => Told::Granted(node_id),
            NativeReport::News(NativeNodeEvent::Linked(node_id)) => Told::Linked(node_id),
            NativeReport::News(NativeNodeEvent::RetryIn(wait)) => Told::RetryIn(wait),
            NativeReport::News(NativeNodeEvent::Unpaired) => Told::Unpaired,
            NativeReport::News(NativeNodeEvent::Forgotten) => Told::Forgotten,
            NativeReport::News(news) => Told::News(format!("{news:?}")),
            NativeReport::App(app) => Told::News(format!("{app:?}")),
            NativeReport::NotSent(reason) => Told::NotSent(reason),
            NativeReport::Task(news) => Told::Task(format!("{news:?}")),
            NativeReport::Certificate(news) => Told::Certificate(news),
            NativeReport::Addresses(list) => Told::News(format!("at {}", list.as_str())),
            NativeReport::TasksNotLoaded(error) => Told::TasksNotLoaded(error),
            NativeReport::NotLoaded(error) => Told::NotLoaded(error),
            NativeReport::NotKept(error) => Told::NotKept(error),
            NativeReport::NoConnection(broken) => Told::NoConnection(broken),
        };
        let _ = self.reports.send(told);
    }
}

/// The test's side of the owner.
pub(crate) struct Hand {
    commands: mpsc::UnboundedSender<NativeCommand>,
    reports: mpsc::UnboundedReceiver<Told>,
}

impl Hand {
    pub(crate) fn say(&self, command: NativeCommand) {
        self.commands.send(command).unwrap();
    }

    pub(crate) fn pair(&self, wish: PairMethod) {
        self.say(NativeCommand::Pair(wish, None));
    }

    pub(crate) fn types(&self, code: &str) {
        self.say(NativeCommand::EnterCode(Code::parse(code).unwrap()));
    }

    pub(crate) async fn told(&mut self) -> Told {
        let hour = core::time::Duration::from_secs(3600);
        tokio::time::timeout(hour, self.reports.recv()).await.expect("an hour of silence").unwrap()
    }

    /// Returns a report that has come already.
    pub(crate) fn has_told(&mut self) -> Option<Told> {
        self.reports.try_recv().ok()
    }

    /// Skips reports until the wanted one.
    pub(crate) async fn until(&mut self, wanted: &Told) {
        while self.told().await != *wanted {}
    }

    pub(crate) async fn until_linked(&mut self) -> NodeId {
        loop {
            if let Told::Linked(id) = self.told().await {
                return id;
            }
        }
    }

    /// Pairs by PIN, as a person does.
    pub(crate) async fn pairs_by_pin(&mut self, gateway: &Gateway) -> NodeId {
        self.pair(PairMethod::Pin);
        self.until(&Told::TypeThePin(5)).await;
        self.types(&gateway.pin());
        self.until_linked().await
    }
}

pub(crate) fn console(fuse: &Rc<Fuse>) -> (Console, Hand) {
    let (commands, commanded) = mpsc::unbounded_channel();
    let (reports, reported) = mpsc::unbounded_channel();
    let console = Console { commands: commanded, reports, fuse: fuse.clone() };
    (console, Hand { commands, reports: reported })
}

/// Runs one life of a node: from boot until it is stopped or dropped.
pub(crate) async fn live(
    gateway: &Gateway,
    wire: Wire,
    cells: &Cells,
    fuse: Rc<Fuse>,
    owner: Console,
) {
    let mut keep = FusedFlash(CertificateFlash::new(cells.clone(), 0).unwrap(), fuse.clone());
    // A node needs its keys; a real board retries or tells its owner.
    let Ok(own) = keys(&mut keep, &mut Chance(1)).await else {
        return core::future::pending().await;
    };
    let mut tasks = DispatchBuffers::<200>::new();
    let mut certificate = CertificateBuffers::new();
    let ports = NativePorts {
        gateway: Pipes { gateway: gateway.clone(), wire, fuse, unanswered: Vec::new() },
        clock: Virtual(tokio::time::Instant::now()),
        keep,
        rng: Chance(2),
        owner,
        sensors: Microphone,
        capabilities: Dispatching::new(Workshop::new(gateway), &mut tasks),
        certificate: Certificates::new(&mut certificate),
        own: NodeIdentity {
            keys: &own,
            about: identity(),
            setup: None,
            wants: AskedScopes::NONE,
            certificate: CertificateWish::None,
            dispatch: false,
        },
    };
    run(ports, &NativeSettings::DEFAULT, &mut NativeBuffers::new()).await;
}

/// Runs a node until its story is over.
pub(crate) async fn story_over<F: Future>(
    gateway: &Gateway,
    wire: Wire,
    cells: &Cells,
    tell: impl FnOnce(Hand) -> F,
) -> F::Output {
    let fuse = Fuse::of(None);
    let (owner, hand) = console(&fuse);
    tokio::select! {
        biased;
        () = live(gateway, wire, cells, fuse, owner) => panic!("the pump returned"),
        told = tell(hand) => told,
    }
}

pub(crate) async fn story<F: Future>(
    gateway: &Gateway,
    cells: &Cells,
    tell: impl FnOnce(Hand) -> F,
) -> F::Output {
    story_over(gateway, Wire::Clean(4096), cells, tell).await
}

/// Returns the stored memory.
pub(crate) async fn kept(cells: &Cells) -> NativeMemory {
    NativeFlash::new(cells.clone(), 0).unwrap().load().await.unwrap()
}

pub(crate) async fn own(cells: &Cells) -> OwnKeys {
    OwnKeys::from_stored(
        &NativeFlash::new(cells.clone(), 0).unwrap().keys().await.unwrap().expect("keys"),
    )
}

pub(crate) fn fingerprint(gateway: &Gateway) -> Fingerprint {
    Fingerprint::of(&gateway.key())
}
