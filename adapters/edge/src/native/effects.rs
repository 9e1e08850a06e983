//! The node of the native wire as the driver sees it: its effects, its inputs, its links.

use handfast_core::flow::native::node::{
    Effect, Input, NativeMemory, NativeNodeEvent, Node, NodeIdentity, Timing,
};
use handfast_core::limits::STREAM_BUFFER;
use handfast_core::wire::close::Close;
use handfast_core::{Entropy, Instant};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::memory::NativeStorage;
use super::{Framed, NativeCommand, NativeOwnerPort, NativeReport};
use crate::driver::role::{
    Dialer, EffectOf, Failure, Incoming, Link, Order, Received, Role, Senses, Work,
};
use crate::error::{KeepError, Violation};
use crate::ports::{Connector, Sensors, Stream};
use crate::transport::{Broken, Frame};

/// The storage and the owner of a node.
pub(super) struct NativeRole<K, O> {
    pub(super) keep: K,
    pub(super) owner: O,
    pub(super) timing: Timing,
}

impl<K: NativeStorage, O: NativeOwnerPort> Role for NativeRole<K, O> {
    type Machine = Node;
    type Memory = NativeMemory;
    type Command = NativeCommand;
    type Report<'b> = NativeReport<'b>;

    const BLANK: NativeMemory = NativeMemory::Blank;

    fn boot(&self, now: Instant, memory: NativeMemory) -> Node {
        Node::boot(now, memory, self.timing)
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        self.keep.load().await
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        self.keep.keep(memory).await
    }

    async fn command(&mut self) -> NativeCommand {
        self.owner.command().await
    }

    async fn tell(&mut self, report: Self::Report<'_>) {
        self.owner.tell(report).await;
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

impl<S: Stream> Link for Framed<S> {
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Received<'f>, Broken> {
        let Some(place) = room.first_chunk_mut::<STREAM_BUFFER>() else {
            return Err(Broken::Violation(Violation::TooBig));
        };
        let length = Self::receive(self, place).await?;
        Ok(Received::Message(Incoming::Bytes(room.get_mut(..length).unwrap_or_default())))
    }

    async fn send(&mut self, frame: Frame<'_>) -> Result<(), Broken> {
        match frame {
            Frame::Binary(bytes) => Self::send(self, bytes).await,
            Frame::Text(text) => Self::send(self, text.as_bytes()).await,
        }
    }

    async fn close(&mut self, _close: Close) {
        // A byte stream carries no close frame, so the code and the reason are not sent.
        Self::close(self).await;
    }
}
