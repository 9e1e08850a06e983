//! Carrying out effects: with a bound on every write, and until it succeeds where nothing else may
//! happen before.

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::{Pin, pin};

use handfast_core::flow::native::node::{Effect, Input, Memory};
use handfast_core::limits::NATIVE_NODE_SCRATCH;
use handfast_core::step::{Effects, Machine, Step};
use handfast_core::time::Instant;

use super::{Settings, Slot};
use crate::carrier::Broken;
use crate::memory::KeepError;
use crate::native::memory::Keep;
use crate::native::{Command, Framed, Owner, Report};
use crate::ports::{Clock, Stream};
use crate::race::{Woken, in_place, wait, within};

/// What a step leaves to the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Wait for what comes next.
    Wait,
    /// Open a connection.
    Open,
    /// What was open, or being opened, no longer is.
    Closed,
    /// The owner wants no more.
    Stop,
}

/// The parts of a board that effects are carried out with.
pub(super) struct Hands<'s, C, K, O> {
    pub(super) clock: C,
    pub(super) keep: K,
    pub(super) owner: O,
    pub(super) settings: &'s Settings,
    /// A command that came while something was being made durable.
    pub(super) held: Option<Command>,
    /// What is durable, but the machine does not know it yet.
    pub(super) kept: Option<Memory>,
}

/// The machine, where it stands, and what its steps write into.
pub(super) struct Body<'s> {
    pub(super) node: &'s mut Slot,
    pub(super) scratch: &'s mut [u8; NATIVE_NODE_SCRATCH],
}

impl Body<'_> {
    /// When the machine next wants a tick.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &*self.node {
            Slot::Holds(node) => node.deadline().map(|(at, _)| at),
            Slot::Empty => None,
        }
    }

    /// One step. It alone has the machine on the stack, and more than once, so its frame must not
    /// be its caller's.
    #[inline(never)]
    pub(super) fn step<'b>(&'b mut self, now: Instant, input: Input<'b>) -> Effects<Effect<'b>> {
        // There always is one, but in here.
        let Slot::Holds(node) = core::mem::replace(self.node, Slot::Empty) else {
            return Effects::none();
        };
        let Step { next, effects } = node.step(now, input, self.scratch);
        *self.node = Slot::Holds(next);
        effects
    }
}

impl<C: Clock, K: Keep, O: Owner> Hands<'_, C, K, O> {
    /// Waits for a command, a time and an event, in this order if more than one is there.
    pub(super) async fn wait<F: Future>(
        &mut self,
        until: Option<Instant>,
        event: Pin<&mut F>,
    ) -> Woken<Command, F::Output> {
        if let Some(command) = self.held.take() {
            return Woken::Command(command);
        }
        wait(pin!(self.owner.command()), &self.clock, until, event).await
    }

    pub(super) async fn lost(&mut self, broken: Broken) -> After {
        self.owner.tell(Report::NoConnection(broken)).await;
        After::Closed
    }

    /// Carries out what a step asks for; what was made durable is then in [`kept`](Self::kept). An
    /// effect that closes the connection, or finds it broken, takes it from `wire`. `after` is how
    /// it goes on if no effect says otherwise.
    pub(super) fn carry_out<'f, S: Stream>(
        &'f mut self,
        effects: Effects<Effect<'f>>,
        wire: &'f mut Option<Framed<S>>,
        mut after: After,
    ) -> impl Future<Output = After> {
        // Not an async function, whose future would hold the effects twice.
        let mut effects = effects.into_iter();
        async move {
            for effect in effects.by_ref() {
                match effect {
                    Effect::Connect => after = After::Open,
                    Effect::Tell(news) => self.owner.tell(Report::News(news)).await,
                    Effect::App(app) => self.owner.tell(Report::App(app)).await,
                    Effect::Send(frame) => {
                        let Some(open) = wire else { continue };
                        let sent =
                            within(&self.clock, self.settings.write_within, pin!(open.send(frame)))
                                .await;
                        if let Err(broken) = sent.unwrap_or(Err(Broken::Overdue)) {
                            *wire = None;
                            after = self.lost(broken).await;
                        }
                    }
                    Effect::Close(_) => {
                        after = After::Closed;
                        if let Some(mut open) = wire.take() {
                            within(&self.clock, self.settings.close_within, pin!(open.close()))
                                .await;
                        }
                    }
                    Effect::Keep(memory) => {
                        let durable = pin!(in_place(|| self.make_durable(&memory))).await;
                        if !durable {
                            return After::Stop;
                        }
                        self.kept = Some(memory);
                    }
                    // A device shows its keys, nothing else.
                    Effect::Chain(_) | Effect::Part(_) | Effect::Bearer(_) => {}
                }
            }
            after
        }
    }

    /// What was kept, however long it takes to read it. `None` if the owner would rather stop.
    pub(super) async fn load(&mut self) -> Option<Memory> {
        loop {
            let error = match self.keep.load().await {
                Ok(memory) => return Some(memory),
                Err(error) => error,
            };
            match error {
                KeepError::Corrupted | KeepError::Unreadable => {
                    self.owner.tell(Report::MemoryLost(error)).await;
                    return Some(Memory::Blank);
                }
                KeepError::Flash | KeepError::Worn => {
                    self.owner.tell(Report::NotLoaded(error)).await
                }
            }
            if !self.pause().await {
                return None;
            }
        }
    }

    /// Tries until it is durable: `true`. `false` if the owner would rather stop.
    async fn make_durable(&mut self, memory: &Memory) -> bool {
        loop {
            let error: KeepError = match self.keep.keep(memory).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            self.owner.tell(Report::NotKept(error)).await;
            if !self.pause().await {
                return false;
            }
        }
    }

    /// Waits until the flash may be tried again. One command waits with it; those after it wait
    /// where they are. `false` if the owner would rather stop.
    async fn pause(&mut self) -> bool {
        let again = self.clock.now().after(self.settings.flash_again_after);
        if self.held.is_some() {
            self.clock.sleep_until(again).await;
            return true;
        }
        match self.wait(Some(again), pin!(pending::<Infallible>())).await {
            Woken::Command(Command::Stop) => return false,
            Woken::Command(command) => self.held = Some(command),
            Woken::Deadline => {}
            Woken::Event(never) => match never {},
        }
        true
    }
}
