//! The driver of every flow's node: it waits for the next event, hands it to core's machine, and
//! carries out the effects in order.
//!
//! A flow is a machine of core, a [`FlowContext`] that makes the machine's inputs, and a
//! [`NodeFlow`] that carries out what only this flow has. What is waited for, in which order, and
//! what a lost connection means is decided here, once for all flows.

use std::collections::VecDeque;
use std::future::Future;

use handfast_core::wire::close::Close;
use handfast_core::{Effects, Instant, Machine};
use tokio::sync::mpsc;

use crate::clock::ProcessClock;
use crate::connection::{Connection, ConnectionEvent, Link, Opening};
use crate::event::Lost;
use crate::waits::Waits;

/// The input of a flow's machine.
pub(crate) type InputOf<'b, F> = <<F as NodeFlow>::Machine as Machine>::Input<'b>;
/// The effect of a flow's machine.
pub(crate) type EffectOf<'b, F> = <<F as NodeFlow>::Machine as Machine>::Effect<'b>;
/// An input, with the scratch buffer for its step.
pub(crate) type StepInput<'b, F> = (InputOf<'b, F>, &'b mut [u8]);
/// A message that a flow receives.
pub(crate) type FrameOf<F> = <<F as NodeFlow>::Link as Link>::Frame;
/// A message that a flow sends.
pub(crate) type OutgoingOf<F> = <<F as NodeFlow>::Link as Link>::Outgoing;

/// A flow's side of the driver: its links, its storage, its owner.
pub(crate) trait NodeFlow: Sized {
    type Machine: Machine;
    type Context: FlowContext<Self>;
    type Link: Link;
    /// What the machine's context needs to know of an open connection.
    type Opened;
    /// The state that outlives a power cut.
    type Memory;
    /// What is durable once a memory is kept.
    type Kept;
    /// A command as the owner sends it.
    type Command;
    /// A command that is ready for the machine.
    type Request;
    /// An event beside the connection and the owner.
    type Happening;
    /// Work that only this flow has.
    type Own;
    /// A report to the owner.
    type Event;
    type Error: From<getrandom::Error>;

    fn waits(&self) -> Waits;

    /// Begins to open a connection to the gateway.
    fn dial(&self) -> Opening<Self::Link>;

    /// The connection is open.
    fn opened(&mut self, machine: &Self::Machine, link: &Self::Link) -> Self::Opened;

    /// Receives a command of the owner; `None` if the machine need not know of it.
    fn command(&mut self, machine: &Self::Machine, command: Self::Command)
    -> Option<Self::Request>;

    /// Waits for the next event of the flow's own. Dropping the future loses nothing.
    fn next(&mut self, machine: &Self::Machine) -> impl Future<Output = Self::Happening>;

    /// Makes durable what an event of the flow's own means, and returns the request that follows
    /// from it.
    ///
    /// # Errors
    /// The flow's error if the state can no longer be written.
    fn happened(
        &mut self,
        machine: &Self::Machine,
        event: Self::Happening,
    ) -> impl Future<Output = Result<Option<Self::Request>, Self::Error>>;

    /// Returns a request that takes the place of a tick.
    fn instead_of_tick(&mut self) -> Option<Self::Request> {
        None
    }

    /// Translates an effect into work of the driver.
    fn work<'b>(&mut self, machine: &Self::Machine, effect: EffectOf<'b, Self>) -> Work<'b, Self>;

    /// Carries out work that only this flow has, and returns the requests that follow from it.
    ///
    /// # Errors
    /// The flow's error if the state can no longer be written.
    fn carry_out(
        &mut self,
        work: Self::Own,
    ) -> impl Future<Output = Result<Vec<Self::Request>, Self::Error>>;

    /// Makes the memory durable.
    fn keep(
        &mut self,
        memory: Self::Memory,
    ) -> impl Future<Output = Result<Self::Kept, Self::Error>>;

    /// Reports an event, and returns the requests that follow from it.
    fn tell(&mut self, event: Self::Event) -> Vec<Self::Request>;

    /// The node tries to connect.
    fn connecting() -> Self::Event;

    /// The connection is lost, or could not be opened.
    fn lost(why: Lost) -> Self::Event;

    /// Returns the report, if any, on a step that led from the state of this name to the present
    /// one.
    fn stepped(_before: &'static str, _machine: &Self::Machine) -> Option<Self::Event> {
        None
    }
}

/// The values that a flow's inputs are made of. It owns what an input borrows.
pub(crate) trait FlowContext<F: NodeFlow> {
    /// Makes an input, and returns it with the scratch buffer for its step. `None` if no step is
    /// needed.
    ///
    /// # Errors
    /// [`getrandom::Error`] if the operating system gives no random bytes.
    fn input<'b>(
        &'b mut self,
        occurrence: Occurrence<F>,
    ) -> Result<Option<StepInput<'b, F>>, getrandom::Error>;

    /// Wipes what may hold a secret after a step: its input, and the scratch buffer.
    fn wipe(&mut self);
}

/// An event for the machine.
pub(crate) enum Occurrence<F: NodeFlow> {
    /// The deadline has come.
    Tick,
    /// The connection is open.
    Connected(F::Opened),
    /// A message arrived.
    Frame(FrameOf<F>),
    /// The connection has ended, or could not be opened.
    Disconnected,
    /// This is durable now.
    Kept(F::Kept),
    /// A request of the owner, or of the flow itself.
    Request(F::Request),
}

/// What the driver does for one effect.
pub(crate) enum Work<'b, F: NodeFlow> {
    /// Open a connection.
    Connect,
    /// Send a message.
    Send(&'b OutgoingOf<F>),
    /// Close the connection.
    Close(Close),
    /// Store the memory.
    Keep(F::Memory),
    /// Report to the owner.
    Tell(F::Event),
    /// Let the flow do what only it can.
    Own(F::Own),
    /// Nothing: the flow has done it.
    Nothing,
}

/// A node that is ready to run.
pub(crate) struct NodeDriver<F: NodeFlow> {
    pub(crate) flow: F,
    pub(crate) context: F::Context,
    pub(crate) commands: mpsc::Receiver<F::Command>,
}

impl<F: NodeFlow> NodeDriver<F> {
    /// Boots the machine and runs it until `shutdown` is ready, then closes the connection in
    /// order.
    ///
    /// # Errors
    /// The flow's error if the state can no longer be written, or there is no randomness.
    pub(crate) async fn run(
        self,
        boot: impl FnOnce(Instant) -> F::Machine,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), F::Error> {
        let Self { flow, mut context, mut commands } = self;
        let clock = ProcessClock::start();
        let waits = flow.waits();
        let mut machine = boot(clock.now());
        let mut hands =
            EffectExecutor { flow, connection: Connection::None, results: VecDeque::new() };
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            // Results of effects come first, so that the machine sees them in the order of the
            // effects.
            let occurrence = match hands.results.pop_front() {
                Some(result) => result,
                None => tokio::select! {
                    () = &mut shutdown => break,
                    event = hands.connection.next() => hands.connection_event(event, &machine).await,
                    Some(command) = commands.recv() => match hands.flow.command(&machine, command) {
                        Some(request) => Occurrence::Request(request),
                        None => continue,
                    },
                    () = clock.until(machine.deadline().map(|(at, _)| at)) => {
                        hands.flow.instead_of_tick().map_or(Occurrence::Tick, Occurrence::Request)
                    }
                    event = hands.flow.next(&machine) => match hands.flow.happened(&machine, event).await? {
                        Some(request) => Occurrence::Request(request),
                        None => continue,
                    },
                },
            };
            let before = machine.state_name();
            if let Some((input, scratch)) = context.input(occurrence)? {
                let effects = machine.step(clock.now(), input, scratch);
                tracing::trace!(state = machine.state_name(), effects = effects.len(), "stepped");
                hands.carry_out(&machine, effects).await?;
            }
            context.wipe();
            if let Some(event) = F::stepped(before, &machine) {
                hands.tell(event);
            }
        }
        hands.connection.close(Close::GOODBYE, waits.close_within).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// The part of a node that carries out effects.
struct EffectExecutor<F: NodeFlow> {
    flow: F,
    connection: Connection<F::Link>,
    /// Events that result from effects and have to be fed back.
    results: VecDeque<Occurrence<F>>,
}

impl<F: NodeFlow> EffectExecutor<F> {
    async fn connection_event(
        &mut self,
        event: ConnectionEvent<FrameOf<F>>,
        machine: &F::Machine,
    ) -> Occurrence<F> {
        match event {
            ConnectionEvent::Opened => match &self.connection {
                Connection::Open(link) => Occurrence::Connected(self.flow.opened(machine, link)),
                // It is open when it says so.
                Connection::None | Connection::Opening(_) => Occurrence::Disconnected,
            },
            ConnectionEvent::Frame(frame) => Occurrence::Frame(frame),
            ConnectionEvent::Lost(why) => {
                self.tell(F::lost(why));
                self.connection.finish(self.flow.waits().close_within).await;
                Occurrence::Disconnected
            }
        }
    }

    async fn carry_out(
        &mut self,
        machine: &F::Machine,
        effects: Effects<EffectOf<'_, F>>,
    ) -> Result<(), F::Error> {
        // All works are prepared first, because their order may change below.
        let mut works: Vec<_> =
            effects.into_iter().map(|effect| self.flow.work(machine, effect)).collect();
        // Reports follow storing: the owner may cut the power once it is told that the node is
        // paired.
        if works.iter().any(|work| matches!(work, Work::Keep(_))) {
            works.sort_by_key(|work| matches!(work, Work::Tell(_)));
        }
        for work in works {
            match work {
                Work::Connect => {
                    self.tell(F::connecting());
                    self.connection = Connection::Opening(self.flow.dial());
                }
                Work::Send(message) => {
                    let within = self.flow.waits().answer_within;
                    if let Err(why) = self.connection.send(message, within).await {
                        self.tell(F::lost(why));
                        self.results.push_back(Occurrence::Disconnected);
                    }
                }
                Work::Close(close) => {
                    if self.connection.close(close, self.flow.waits().close_within).await {
                        self.results.push_back(Occurrence::Disconnected);
                    }
                }
                Work::Keep(memory) => {
                    // A node that cannot store must not go on as if it had.
                    let kept = self.flow.keep(memory).await?;
                    self.results.push_back(Occurrence::Kept(kept));
                }
                Work::Tell(event) => self.tell(event),
                Work::Own(work) => {
                    let follow = self.flow.carry_out(work).await?;
                    self.results.extend(follow.into_iter().map(Occurrence::Request));
                }
                Work::Nothing => {}
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: F::Event) {
        let follow = self.flow.tell(event);
        self.results.extend(follow.into_iter().map(Occurrence::Request));
    }
}
