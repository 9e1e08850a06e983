//! The node of the native wire as the driver sees it: its effects, its inputs, its links.

use core::future::{Future, pending};
use core::marker::PhantomData;
use core::pin::pin;

use handfast_core::flow::native::node::{
    Effect, Input, NativeMemory, NativeNodeEvent, Node, NodeIdentity,
};
use handfast_core::wire::native::link::Renew;
use handfast_core::{Entropy, Instant};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::certificate_port::{CertificateNews, CertificateOrder, CertificatePort};
use super::driver::NativeSettings;
use super::memory::NativeStorage;
use super::tasks::{TaskMessage, TaskOrder, TaskPort, TaskReport};
use super::{Framed, NativeCommand, NativeOwnerPort, NativeReport, NotSent};
use crate::driver::TimeLimits;
use crate::driver::role::{
    Commanded, Dialer, EffectOf, Failure, Incoming, Order, Refused, Role, Senses, Wake, Work,
    WorkOf,
};
use crate::error::KeepError;
use crate::ports::{Connector, Sensors};
use crate::select::{Either, race};
use crate::transport::{Broken, Frame};

/// The storage and the owner of a node.
pub(super) struct NativeRole<'s, 't, 'i, K, O, T, P> {
    pub(super) keep: K,
    pub(super) owner: O,
    pub(super) settings: &'s NativeSettings,
    pub(super) tasks: T,
    pub(super) certificate: P,
    pub(super) own: NodeIdentity<'i>,
    /// `true` while messages may be sent.
    pub(super) linked: bool,
    /// The lifetime of the tasks' buffers.
    pub(super) lifetime: PhantomData<&'t ()>,
}

/// A message of the gateway that the role obeys.
pub(super) enum NativeOrder<'b> {
    Task(TaskOrder<'b>),
    Certificate(CertificateOrder<'b>),
}

/// A message that is owed to the gateway.
pub(super) enum NativeOwed<'i> {
    Task(TaskReport),
    /// A request for a certificate.
    #[cfg_attr(not(feature = "identity"), expect(dead_code, reason = "it names the lifetime"))]
    Certificate(Asking<'i>),
}

/// The node that asks for a certificate.
#[cfg(feature = "identity")]
type Asking<'i> = NodeIdentity<'i>;
/// Without the feature no node asks.
#[cfg(not(feature = "identity"))]
type Asking<'i> = (core::convert::Infallible, PhantomData<&'i ()>);

impl<'t, 'i, K, O, T, P> Role for NativeRole<'_, 't, 'i, K, O, T, P>
where
    K: NativeStorage,
    O: NativeOwnerPort,
    T: TaskPort<'t, K>,
    P: CertificatePort<K>,
{
    type Machine = Node;
    type Memory = NativeMemory;
    type Kept = ();
    type TaskOrder<'b> = NativeOrder<'b>;
    type TaskReport = NativeOwed<'i>;
    type Command = NativeCommand;
    type Report<'b> = NativeReport<'b>;

    const BLANK: NativeMemory = NativeMemory::Blank;

    fn boot(&self, now: Instant, memory: NativeMemory) -> Node {
        let node = Node::boot(now, memory, self.settings.timing);
        if O::KEEPS_ADDRESSES { node.keeping_addresses() } else { node }
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        let memory = self.keep.load().await?;
        match self.tasks.load(&mut self.keep).await {
            Ok(()) => {}
            // It may be read the next time.
            Err(KeepError::Flash) => return Err(KeepError::Flash),
            // The link is worth having without the tasks.
            Err(error) => self.owner.tell(NativeReport::TasksNotLoaded(error)).await,
        }
        let news = self.certificate.load(&mut self.keep, &memory, self.own.keys).await?;
        self.tell_certificate(news).await;
        self.note(&memory);
        Ok(memory)
    }

    fn memory<'m>(machine: &'m Node, _kept: &'m ()) -> &'m NativeMemory {
        machine.memory()
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        // The certificate goes first: after a power cut in between, one without its pairing is
        // ignored.
        let news = self.certificate.keep(&mut self.keep, memory, self.own.keys).await?;
        self.tell_certificate(news).await;
        self.keep.keep(memory).await?;
        self.note(memory);
        Ok(())
    }

    async fn wake(&mut self, output: Option<&mut [u8]>) -> Wake<NativeCommand> {
        let Self { owner, tasks, .. } = self;
        let task = pin!(async {
            match output {
                Some(output) if T::TAKES => tasks.next(output).await,
                Some(_) | None => pending().await,
            }
        });
        match race(pin!(owner.command()), task).await {
            Either::First(command) => Wake::Command(command),
            Either::Second(()) => Wake::Task,
        }
    }

    fn tell(&mut self, report: Self::Report<'_>) -> impl Future<Output = ()> {
        if let NativeReport::News(NativeNodeEvent::Linked(_)) = report {
            self.linked = true;
            self.tasks.linked();
            self.certificate.set_linked(true);
        }
        self.owner.tell(report)
    }

    fn left(&mut self) {
        self.linked = false;
        self.tasks.left();
        self.certificate.set_linked(false);
    }

    fn take(&mut self, order: &NativeOrder<'_>, output: &mut [u8]) -> bool {
        match order {
            NativeOrder::Task(order) => self.tasks.take(order, output),
            NativeOrder::Certificate(order) => {
                self.certificate.take(order);
                false
            }
        }
    }

    fn start(&mut self, order: &NativeOrder<'_>, saved: bool, output: &mut [u8]) {
        match order {
            NativeOrder::Task(order) => self.tasks.start(order, saved, output),
            // Nothing is started by these.
            NativeOrder::Certificate(_) => {}
        }
    }

    fn taken<'o>(order: &'o NativeOrder<'_>) -> Option<NativeReport<'o>> {
        match order {
            NativeOrder::Task(order) => order.news().map(NativeReport::Task),
            NativeOrder::Certificate(_) => None,
        }
    }

    fn ended(&self) -> Option<NativeReport<'static>> {
        self.tasks.ended().map(NativeReport::Task)
    }

    fn unsaved(&self) -> bool {
        self.tasks.unsaved()
    }

    fn save(&mut self) -> impl Future<Output = Result<(), KeepError>> {
        self.tasks.save(&mut self.keep)
    }

    #[cfg_attr(not(feature = "identity"), expect(unused_variables, reason = "no node asks"))]
    fn report(&mut self, now: Instant) -> Option<NativeOwed<'i>> {
        let report = self.tasks.report().map(NativeOwed::Task);
        #[cfg(feature = "identity")]
        let report = report
            .or_else(|| self.certificate.asks(now).then_some(NativeOwed::Certificate(self.own)));
        report
    }

    fn reported<'b>(report: NativeOwed<'i>, output: &'b [u8]) -> Input<'b>
    where
        Self: 'b,
    {
        let report = match report {
            NativeOwed::Task(report) => report,
            #[cfg(feature = "identity")]
            NativeOwed::Certificate(own) => return Input::RenewCertificate(own),
            #[cfg(not(feature = "identity"))]
            NativeOwed::Certificate((never, _)) => match never {},
        };
        match report.message(output) {
            TaskMessage::Announce(announce) => Input::Announce(announce),
            TaskMessage::Outcome(result) => Input::Outcome(result),
            TaskMessage::Progress(progress) => Input::Progress(progress),
            TaskMessage::Answer(answer) => Input::Answer(answer),
        }
    }

    fn order(command: &NativeCommand) -> Order<NativeReport<'static>> {
        match command {
            NativeCommand::Stop => Order::Stop,
            NativeCommand::Forget => Order::Forget(NativeReport::News(NativeNodeEvent::Forgotten)),
            // Until the memory is known, nothing says whether the node may pair; the report of the
            // next attempt at the flash answers.
            NativeCommand::Pair(..) | NativeCommand::EnterCode(_) => Order::Other(None),
            NativeCommand::Send(_) | NativeCommand::Subscribe(_) | NativeCommand::Renew => {
                Order::Other(Some(NativeReport::NotSent(NotSent::NoLink)))
            }
        }
    }

    fn refuses(&self, command: &NativeCommand) -> bool {
        match command {
            NativeCommand::Send(_) | NativeCommand::Subscribe(_) | NativeCommand::Renew => {
                !self.linked
            }
            NativeCommand::Pair(..)
            | NativeCommand::EnterCode(_)
            | NativeCommand::Forget
            | NativeCommand::Stop => false,
        }
    }

    fn refused(refused: Refused) -> Option<NativeReport<'static>> {
        Some(NativeReport::NotSent(match refused {
            Refused::NoLink => NotSent::NoLink,
            Refused::Nothing => NotSent::NoMessage,
        }))
    }

    fn failure(failure: Failure) -> NativeReport<'static> {
        match failure {
            Failure::NotLoaded(error) => NativeReport::NotLoaded(error),
            Failure::NotKept(error) => NativeReport::NotKept(error),
            Failure::NoConnection(broken) => NativeReport::NoConnection(broken),
        }
    }

    fn limits(&self) -> TimeLimits {
        TimeLimits {
            open: self.settings.open_within,
            write: self.settings.write_within,
            close: self.settings.close_within,
            flash_again: self.settings.flash_again_after,
        }
    }

    fn kept<'b>(&mut self, (): ()) -> Input<'b> {
        match self.certificate.take_refused() {
            true => Input::KeptWithout,
            false => Input::Kept,
        }
    }

    fn work<'b>(effect: EffectOf<'b, Self::Machine>) -> WorkOf<'b, Self> {
        match effect {
            Effect::Connect => Work::Connect,
            Effect::Send(frame) => Work::Send(Frame::Binary(frame)),
            Effect::Close(close) => Work::Close(close),
            Effect::Keep => Work::Keep(()),
            Effect::Tell(news) => Work::Tell(NativeReport::News(news)),
            Effect::App(app) => Work::Tell(NativeReport::App(app)),
            Effect::Dispatch(dispatch) => Work::Obey(NativeOrder::Task(TaskOrder::Run(dispatch))),
            Effect::Cancel(id) => Work::Obey(NativeOrder::Task(TaskOrder::Cancel(id))),
            Effect::Query(id, number) => {
                Work::Obey(NativeOrder::Task(TaskOrder::Query { id, number }))
            }
            Effect::KeepAddresses(list) => Work::Tell(NativeReport::Addresses(list)),
            Effect::Part(part) => {
                Work::Obey(NativeOrder::Certificate(CertificateOrder::Part(part)))
            }
            Effect::Certificate => Work::Obey(NativeOrder::Certificate(CertificateOrder::Whole)),
            Effect::CertificateKey(key) => {
                Work::Obey(NativeOrder::Certificate(CertificateOrder::Key(key)))
            }
            Effect::Time(time) => {
                Work::Obey(NativeOrder::Certificate(CertificateOrder::Time(time)))
            }
            // Only a node that looks on its network for its gateway asks for these.
            Effect::Search(_) | Effect::ConnectFound(_) | Effect::KeepFound => Work::Nothing,
            // A device authenticates with its keys only, so it stores no tokens.
            Effect::Chain(_) | Effect::Bearer(_) => Work::Nothing,
        }
    }

    fn wipe(_scratch: &mut [u8], message: &mut [u8]) {
        // The opened message may have held a secret. What is sent is sealed.
        message.zeroize();
    }
}

impl<K, O: NativeOwnerPort, T, P> NativeRole<'_, '_, '_, K, O, T, P> {
    /// Tells the owner news of the certificate.
    async fn tell_certificate(&mut self, news: Option<CertificateNews>) {
        let Some(news) = news else { return };
        #[cfg(feature = "identity")]
        self.owner.tell(NativeReport::Certificate(news)).await;
        #[cfg(not(feature = "identity"))]
        match news {}
    }
}

impl<'t, K, O, T: TaskPort<'t, K>, P> NativeRole<'_, 't, '_, K, O, T, P> {
    /// Tells the tasks what pairing they belong to.
    fn note(&mut self, memory: &NativeMemory) {
        match memory {
            NativeMemory::Paired(paired) => self.tasks.paired(paired.node_id),
            NativeMemory::Asked { .. } => {}
            NativeMemory::Blank => self.tasks.forget(),
        }
    }
}

/// Sources of the values that inputs are made of.
pub(super) struct NativeSenses<'i, R, S> {
    pub(super) rng: R,
    pub(super) sensors: S,
    pub(super) own: NodeIdentity<'i>,
}

impl<R: CryptoRng, S: Sensors, G> Senses<Node, NativeCommand, NativeDialer<G>>
    for NativeSenses<'_, R, S>
{
    fn tick(&mut self) -> Input<'_> {
        Input::Tick(self.sensors.heartbeat())
    }

    fn connected(&mut self) -> Input<'_> {
        Input::Connected(Entropy::draw(&mut self.rng), self.own)
    }

    fn disconnected(&mut self, _dialer: &mut NativeDialer<G>) -> Input<'_> {
        Input::Disconnected(Entropy::draw(&mut self.rng))
    }

    fn command(&mut self, command: NativeCommand) -> Commanded<Input<'_>> {
        let input = match command {
            NativeCommand::Pair(wish, expect) => Some(Input::Pair(wish, expect)),
            NativeCommand::EnterCode(code) => {
                Some(Input::CodeEntered(code, Entropy::draw(&mut self.rng), self.own))
            }
            NativeCommand::Send(number) => self.sensors.message(number).map(Input::App),
            NativeCommand::Subscribe(number) => self.sensors.pattern(number).map(Input::Subscribe),
            NativeCommand::Renew => Some(Input::Renew(Renew::Chain)),
            NativeCommand::Forget => Some(Input::Forget),
            NativeCommand::Stop => return Commanded::Stop,
        };
        input.map_or(Commanded::Nothing, Commanded::Input)
    }

    fn message<'b>(&'b mut self, message: Incoming<'b>) -> Option<Input<'b>> {
        match message {
            Incoming::Bytes(bytes) => {
                let entropy = Entropy::draw(&mut self.rng);
                Some(Input::Frame { bytes, entropy, own: self.own })
            }
            // A byte stream carries no text messages.
            Incoming::Text(_) => None,
        }
    }
}

/// A connector whose streams are cut into frames.
pub(super) struct NativeDialer<G>(pub(super) G);

impl<G: Connector> Dialer for NativeDialer<G> {
    type Link<'c>
        = Framed<G::Stream<'c>>
    where
        Self: 'c;

    async fn open(&mut self) -> Result<Self::Link<'_>, Broken> {
        Ok(Framed::new(self.0.connect().await.map_err(Broken::Io)?))
    }
}
