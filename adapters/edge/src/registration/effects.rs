//! The node of the `missy` dialect as the driver sees it: its effects, its inputs, its links.

use core::convert::Infallible;
use core::future::Future;

use handfast_core::flow::registration::node::{
    Effect, Input, RegistrationMemory, RegistrationNode, RegistrationNodeEvent,
};
use handfast_core::limits::Limits;
use handfast_core::link::keepalive::{Due, Keepalive};
use handfast_core::wire::close::Close;
use handfast_core::wire::registration::PairRequest;
use handfast_core::{Entropy, Instant};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::driver::RegistrationSettings;
use super::memory::RegistrationStorage;
use crate::driver::TimeLimits;
use crate::driver::role::{
    Commanded, Dialer, EffectOf, Failure, Incoming, Link, Order, Received as Heard, Role, Senses,
    Wake, Work, WorkOf,
};
use crate::error::KeepError;
use crate::ports::{Command, Owner, Report, Sensors};
use crate::transport::{Broken, Carrier, Frame, Opener, Received};

/// The storage and the owner of a node.
pub(super) struct RegistrationRole<'s, K, O> {
    pub(super) keep: K,
    pub(super) owner: O,
    pub(super) settings: &'s RegistrationSettings,
}

impl<K: RegistrationStorage, O: Owner> Role for RegistrationRole<'_, K, O> {
    type Machine = RegistrationNode;
    type Memory = RegistrationMemory;
    // This dialect dispatches nothing.
    type TaskOrder<'b> = Infallible;
    type Kept = RegistrationMemory;
    type TaskReport = Infallible;
    type Command = Command;
    type Report<'b> = Report<'b>;

    const BLANK: RegistrationMemory = RegistrationMemory::Blank;

    fn boot(&self, now: Instant, memory: RegistrationMemory) -> RegistrationNode {
        RegistrationNode::boot(now, memory, self.settings.timing)
    }

    fn load(&mut self) -> impl Future<Output = Result<RegistrationMemory, KeepError>> {
        self.keep.load()
    }

    fn memory<'m>(
        _machine: &'m RegistrationNode,
        kept: &'m RegistrationMemory,
    ) -> &'m RegistrationMemory {
        kept
    }

    fn keep(&mut self, memory: &RegistrationMemory) -> impl Future<Output = Result<(), KeepError>> {
        self.keep.keep(memory)
    }

    async fn wake(&mut self, _output: Option<&mut [u8]>) -> Wake<Command> {
        Wake::Command(self.owner.command().await)
    }

    fn tell(&mut self, report: Self::Report<'_>) -> impl Future<Output = ()> {
        self.owner.tell(report)
    }

    fn left(&mut self) {}

    fn take(&mut self, order: &Infallible, _output: &mut [u8]) -> bool {
        match *order {}
    }

    fn start(&mut self, order: &Infallible, _saved: bool, _output: &mut [u8]) {
        match *order {}
    }

    fn taken<'o>(order: &'o Infallible) -> Option<Report<'o>> {
        match *order {}
    }

    fn ended(&self) -> Option<Report<'static>> {
        None
    }

    fn unsaved(&self) -> bool {
        false
    }

    async fn save(&mut self) -> Result<(), KeepError> {
        Ok(())
    }

    fn report(&mut self, _now: Instant) -> Option<Infallible> {
        None
    }

    fn reported<'b>(report: Infallible, _output: &'b [u8]) -> Input<'b>
    where
        Self: 'b,
    {
        match report {}
    }

    fn order(command: &Command) -> Order<Report<'static>> {
        match command {
            Command::Stop => Order::Stop,
            Command::Forget => Order::Forget(Report::News(RegistrationNodeEvent::Forgotten)),
            // Until the memory is known, no request exists that a token could answer.
            Command::TokenEntered(_) => {
                Order::Other(Some(Report::News(RegistrationNodeEvent::NothingAsked)))
            }
            Command::AskAgain => Order::Other(None),
        }
    }

    fn failure(failure: Failure) -> Report<'static> {
        match failure {
            Failure::NotLoaded(error) => Report::NotLoaded(error),
            Failure::NotKept(error) => Report::NotKept(error),
            Failure::NoConnection(broken) => Report::NoConnection(broken),
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

    fn kept<'b>(&mut self, memory: RegistrationMemory) -> Input<'b> {
        Input::Kept(memory)
    }

    fn work<'b>(effect: EffectOf<'b, Self::Machine>) -> WorkOf<'b, Self> {
        match effect {
            Effect::Connect => Work::Connect,
            Effect::Send(text) => Work::Send(Frame::Text(text)),
            Effect::Close(close) => Work::Close(close),
            Effect::Keep(memory) => Work::Keep(memory),
            Effect::Tell(news) => Work::Tell(Report::News(news)),
        }
    }

    fn wipe(scratch: &mut [u8], _message: &mut [u8]) {
        // The sent message may have held the token.
        scratch.zeroize();
    }
}

/// Sources of the values that inputs are made of.
pub(super) struct RegistrationSenses<'i, S> {
    pub(super) sensors: S,
    pub(super) identity: PairRequest<'i>,
}

impl<S, G, R> Senses<RegistrationNode, Command, RegistrationDialer<'_, G, R>>
    for RegistrationSenses<'_, S>
where
    S: Sensors,
    R: CryptoRng,
{
    fn tick(&mut self) -> Input<'_> {
        Input::Tick(self.sensors.heartbeat())
    }

    fn connected(&mut self) -> Input<'_> {
        Input::Connected(self.identity)
    }

    fn disconnected(&mut self, dialer: &mut RegistrationDialer<'_, G, R>) -> Input<'_> {
        Input::Disconnected(Entropy::draw(&mut dialer.rng))
    }

    fn command(&mut self, command: Command) -> Commanded<Input<'_>> {
        match command {
            Command::TokenEntered(token) => Commanded::Input(Input::TokenEntered(token)),
            Command::AskAgain => Commanded::Input(Input::AskAgain),
            Command::Forget => Commanded::Input(Input::Forget),
            Command::Stop => Commanded::Stop,
        }
    }

    fn message<'b>(&'b mut self, message: Incoming<'b>) -> Option<Input<'b>> {
        match message {
            Incoming::Text(text) => Some(Input::Text(text)),
            // This machine knows no binary messages.
            Incoming::Bytes(_) => None,
        }
    }
}

/// The opener, with the generator that an open connection draws masks from.
pub(super) struct RegistrationDialer<'s, G, R> {
    pub(super) gateway: G,
    pub(super) rng: R,
    pub(super) settings: &'s RegistrationSettings,
}

impl<G: Opener, R: CryptoRng> Dialer for RegistrationDialer<'_, G, R> {
    type Link<'c>
        = PingedLink<'c, G::Carrier<'c>>
    where
        Self: 'c;

    async fn open(&mut self) -> Result<Self::Link<'_>, Broken> {
        let carrier = self.gateway.open(&mut self.rng).await?;
        Ok(PingedLink { carrier, settings: self.settings, keepalive: None, ping_due: false })
    }
}

/// An open connection that is probed with pings, because the machine does not probe it.
pub(super) struct PingedLink<'s, L> {
    carrier: L,
    settings: &'s RegistrationSettings,
    /// Empty until the link is waited on for the first time.
    keepalive: Option<Keepalive>,
    /// The next thing to send is a ping, not an answer.
    ping_due: bool,
}

impl<L> PingedLink<'_, L> {
    /// The core's keepalive is made for gateways; it uses only two of their limits.
    const fn limits(&self) -> Limits {
        Limits {
            ping_every: self.settings.ping_every,
            pong_within: self.settings.pong_within,
            ..Limits::DEFAULT
        }
    }

    fn keepalive(&mut self, now: Instant) -> Keepalive {
        let limits = self.limits();
        *self.keepalive.get_or_insert_with(|| Keepalive::start(now, &limits))
    }
}

impl<L: Carrier> Link for PingedLink<'_, L> {
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Heard<'f>, Broken> {
        Ok(match self.carrier.receive(room).await? {
            Received::Frame(Frame::Text(text)) => Heard::Message(Incoming::Text(text)),
            // This flow knows no binary messages.
            Received::Frame(Frame::Binary(_)) | Received::Pong => Heard::Nothing,
            Received::ReplyDue => Heard::Due,
        })
    }

    fn send(&mut self, frame: Frame<'_>) -> impl Future<Output = Result<(), Broken>> {
        self.carrier.send(frame)
    }

    fn close(&mut self, close: Close) -> impl Future<Output = ()> {
        self.carrier.close(close)
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        Some(self.keepalive(now).deadline().0)
    }

    fn tick(&mut self, now: Instant) -> Result<bool, Broken> {
        let (next, due) = self.keepalive(now).tick(now, &self.limits());
        self.keepalive = Some(next);
        match due {
            Due::Nothing => Ok(false),
            Due::Ping => {
                self.ping_due = true;
                Ok(true)
            }
            Due::Lost => Err(Broken::Overdue),
        }
    }

    fn heard(&mut self, now: Instant) {
        // Any frame proves that the gateway is alive, not only a pong.
        self.keepalive = Some(self.keepalive(now).heard(now, &self.limits()));
    }

    async fn settle(&mut self) -> Result<(), Broken> {
        if core::mem::take(&mut self.ping_due) {
            self.carrier.ping().await
        } else {
            self.carrier.reply().await
        }
    }
}
