//! Execution of effects: every write has a time limit; storage is retried until it succeeds,
//! because nothing else may happen before.

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::{Pin, pin};

use handfast_core::flow::native::node::{Effect, Input, NativeMemory, Node};
use handfast_core::limits::NATIVE_NODE_SCRATCH;
use handfast_core::{Effects, Instant, Machine};

use super::NativeSettings;
use crate::error::KeepError;
use crate::native::memory::NativeStorage;
use crate::native::{Framed, NativeCommand, NativeOwnerPort, NativeReport};
use crate::ports::{Clock, Stream};
use crate::select::{Woken, in_place, wait, within};
use crate::transport::Broken;

/// The loop's next action after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NativeNextAction {
    /// Wait for the next event.
    Wait,
    /// Open a connection.
    Open,
    /// The connection, or the attempt to open one, has ended.
    Closed,
    /// The owner sent [`NativeCommand::Stop`].
    Stop,
}

/// The parts of a board that effects use.
pub(super) struct NativeEffectPorts<'s, C, K, O> {
    pub(super) clock: C,
    pub(super) keep: K,
    pub(super) owner: O,
    pub(super) settings: &'s NativeSettings,
    /// A command that arrived while the memory was being stored.
    pub(super) held: Option<NativeCommand>,
    /// A durable memory that the machine has not been told of yet.
    pub(super) kept: Option<NativeMemory>,
}

/// The machine, which stays where it is stored, and the scratch buffer for its steps.
pub(super) struct MachineInPlace<'s> {
    pub(super) node: &'s mut Node,
    pub(super) scratch: &'s mut [u8; NATIVE_NODE_SCRATCH],
}

impl MachineInPlace<'_> {
    /// Returns the time of the machine's next tick.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.node.deadline().map(|(at, _)| at)
    }

    /// Performs one step. It is never inlined, so that its stack frame does not become its
    /// caller's.
    #[inline(never)]
    pub(super) fn step<'b>(&'b mut self, now: Instant, input: Input<'b>) -> Effects<Effect<'b>> {
        self.node.step(now, input, self.scratch)
    }
}

impl<C: Clock, K: NativeStorage, O: NativeOwnerPort> NativeEffectPorts<'_, C, K, O> {
    /// Waits for a command, a time or an event; if several are ready, in this order.
    pub(super) async fn wait<F: Future>(
        &mut self,
        until: Option<Instant>,
        event: Pin<&mut F>,
    ) -> Woken<NativeCommand, F::Output> {
        // A command that was held during a write to flash is older than any new one.
        if let Some(command) = self.held.take() {
            return Woken::Command(command);
        }
        wait(pin!(self.owner.command()), &self.clock, until, event).await
    }

    pub(super) async fn lost(&mut self, broken: Broken) -> NativeNextAction {
        self.owner.tell(NativeReport::NoConnection(broken)).await;
        NativeNextAction::Closed
    }

    /// Carries out a step's effects; a stored memory is then in [`kept`](Self::kept). An effect
    /// that closes the connection, or finds it broken, takes it from `wire`. Returns `after` unless
    /// an effect decides otherwise.
    pub(super) fn carry_out<'f, S: Stream>(
        &'f mut self,
        effects: Effects<Effect<'f>>,
        wire: &'f mut Option<Framed<S>>,
        mut after: NativeNextAction,
    ) -> impl Future<Output = NativeNextAction> {
        // An async function's future would hold the effects twice.
        let mut effects = effects.into_iter();
        async move {
            for effect in effects.by_ref() {
                match effect {
                    Effect::Connect => after = NativeNextAction::Open,
                    Effect::Tell(news) => self.owner.tell(NativeReport::News(news)).await,
                    Effect::App(app) => self.owner.tell(NativeReport::App(app)).await,
                    Effect::Send(frame) => {
                        // An earlier effect of this step has found the connection broken.
                        let Some(open) = wire else { continue };
                        let sent =
                            within(&self.clock, self.settings.write_within, pin!(open.send(frame)))
                                .await;
                        if let Err(broken) = sent.unwrap_or(Err(Broken::Overdue)) {
                            *wire = None;
                            after = self.lost(broken).await;
                        }
                    }
                    // A byte stream carries no close frame, so the code and the reason are not
                    // sent.
                    Effect::Close(_) => {
                        after = NativeNextAction::Closed;
                        if let Some(mut open) = wire.take() {
                            within(&self.clock, self.settings.close_within, pin!(open.close()))
                                .await;
                        }
                    }
                    Effect::Keep(memory) => {
                        let durable = pin!(in_place(|| self.make_durable(&memory))).await;
                        // Without durability the machine must not go on; the next run starts from
                        // the flash.
                        if !durable {
                            return NativeNextAction::Stop;
                        }
                        self.kept = Some(memory);
                    }
                    // A device authenticates with its keys only, so it stores no tokens.
                    Effect::Chain(_) | Effect::Part(_) | Effect::Bearer(_) => {}
                }
            }
            after
        }
    }

    /// Loads the memory and retries until that succeeds. `None` if the owner sent
    /// [`NativeCommand::Stop`].
    pub(super) async fn load(&mut self) -> Option<NativeMemory> {
        loop {
            let error = match self.keep.load().await {
                Ok(memory) => return Some(memory),
                Err(error) => error,
            };
            match error {
                KeepError::Corrupted | KeepError::Unreadable => {
                    self.owner.tell(NativeReport::MemoryLost(error)).await;
                    // The keys are stored apart from the memory, so the node can pair again.
                    return Some(NativeMemory::Blank);
                }
                // A memory that another firmware reads is not given up.
                KeepError::Flash | KeepError::Worn | KeepError::OtherVersion(_) => {
                    self.owner.tell(NativeReport::NotLoaded(error)).await;
                }
            }
            if !self.pause().await {
                return None;
            }
        }
    }

    /// Stores `memory` and retries until it is durable. `false` if the owner sent
    /// [`NativeCommand::Stop`].
    async fn make_durable(&mut self, memory: &NativeMemory) -> bool {
        loop {
            let error: KeepError = match self.keep.keep(memory).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            self.owner.tell(NativeReport::NotKept(error)).await;
            if !self.pause().await {
                return false;
            }
        }
    }

    /// Waits until the flash may be tried again. One command is held meanwhile; later ones stay
    /// with the owner. `false` if the owner sent [`NativeCommand::Stop`].
    async fn pause(&mut self) -> bool {
        let again = self.clock.now().after(self.settings.flash_again_after);
        // One command is held until this is settled; later ones stay with the owner.
        if self.held.is_some() {
            self.clock.sleep_until(again).await;
            return true;
        }
        match self.wait(Some(again), pin!(pending::<Infallible>())).await {
            Woken::Command(NativeCommand::Stop) => return false,
            Woken::Command(command) => self.held = Some(command),
            Woken::Deadline => {}
            Woken::Event(never) => match never {},
        }
        true
    }
}
