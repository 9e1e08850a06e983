//! The node of the native wire as the driver sees it: its effects, its inputs, its links.

use core::future::Future;

use handfast_core::flow::native::node::{
    Effect, Input, NativeMemory, NativeNodeEvent, Node, NodeIdentity,
};
use handfast_core::{Entropy, Instant};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::driver::NativeSettings;
use super::memory::NativeStorage;
use super::{Framed, NativeCommand, NativeOwnerPort, NativeReport};
use crate::driver::TimeLimits;
use crate::driver::role::{Dialer, EffectOf, Failure, Incoming, Order, Role, Senses, Work};
use crate::error::KeepError;
use crate::ports::{Connector, Sensors};
use crate::transport::{Broken, Frame};

/// The storage and the owner of a node.
pub(super) struct NativeRole<'s, K, O> {
    pub(super) keep: K,
    pub(super) owner: O,
    pub(super) settings: &'s NativeSettings,
}

impl<K: NativeStorage, O: NativeOwnerPort> Role for NativeRole<'_, K, O> {
    type Machine = Node;
    type Memory = NativeMemory;
    type Command = NativeCommand;
    type Report<'b> = NativeReport<'b>;

    const BLANK: NativeMemory = NativeMemory::Blank;

    fn boot(&self, now: Instant, memory: NativeMemory) -> Node {
        Node::boot(now, memory, self.settings.timing)
    }

    fn load(&mut self) -> impl Future<Output = Result<NativeMemory, KeepError>> {
        self.keep.load()
    }

    fn keep(&mut self, memory: &NativeMemory) -> impl Future<Output = Result<(), KeepError>> {
        self.keep.keep(memory)
    }

    fn command(&mut self) -> impl Future<Output = NativeCommand> {
        self.owner.command()
    }

    fn tell(&mut self, report: Self::Report<'_>) -> impl Future<Output = ()> {
        self.owner.tell(report)
    }

    fn order(command: &NativeCommand) -> Order<NativeReport<'static>> {
        match command {
            NativeCommand::Stop => Order::Stop,
            NativeCommand::Forget => Order::Forget(NativeReport::News(NativeNodeEvent::Forgotten)),
            // Until the memory is known, nothing says whether the node may pair; the report of the
            // next attempt at the flash answers.
            NativeCommand::Pair(..) | NativeCommand::EnterCode(_) => Order::Other(None),
        }
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

    fn kept<'b>(memory: NativeMemory) -> Input<'b> {
        Input::Kept(memory)
    }

    fn work<'b>(effect: EffectOf<'b, Self::Machine>) -> Work<'b, Self::Memory, Self::Report<'b>> {
        match effect {
            Effect::Connect => Work::Connect,
            Effect::Send(frame) => Work::Send(Frame::Binary(frame)),
            Effect::Close(close) => Work::Close(close),
            Effect::Keep(memory) => Work::Keep(memory),
            Effect::Tell(news) => Work::Tell(NativeReport::News(news)),
            Effect::App(app) => Work::Tell(NativeReport::App(app)),
            // A device authenticates with its keys only, so it stores no tokens.
            Effect::Chain(_) | Effect::Part(_) | Effect::Bearer(_) => Work::Nothing,
        }
    }

    fn wipe(_scratch: &mut [u8], message: &mut [u8]) {
        // The opened message may have held a secret. What is sent is sealed.
        message.zeroize();
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

    fn command(&mut self, command: NativeCommand) -> Option<Input<'_>> {
        match command {
            NativeCommand::Pair(wish, expect) => Some(Input::Pair(wish, expect)),
            NativeCommand::EnterCode(code) => {
                Some(Input::CodeEntered(code, Entropy::draw(&mut self.rng), self.own))
            }
            NativeCommand::Forget => Some(Input::Forget),
            NativeCommand::Stop => None,
        }
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
