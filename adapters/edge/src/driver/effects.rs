//! Execution of effects: every write has a time limit; storage is retried until it succeeds,
//! because nothing else may happen before.

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::{Pin, pin};

use handfast_core::wire::close::Close;
use handfast_core::{Effects, Instant};

use super::role::{EffectOf, Failure, Link, Order, Refused, Role, Wake, Work};
use crate::error::KeepError;
use crate::ports::Clock;
use crate::select::{Woken, in_place, wait, within};
use crate::transport::Broken;

/// The loop's next action after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum NextAction {
    /// Wait for the next event.
    Wait,
    /// Open a link.
    Open,
    /// The link, or the attempt to open one, has ended.
    Closed,
    /// The owner ended the driver.
    Stop,
}

/// The parts of a board that effects use.
pub(super) struct EffectPorts<R: Role, C> {
    pub(super) role: R,
    pub(super) clock: C,
    /// A command that arrived while the memory was being stored.
    pub(super) held: Option<R::Command>,
    /// A durable memory that the machine has not been told of yet.
    pub(super) kept: Option<R::Kept>,
    /// What the owner has not been told yet of a command that had no effect. It is told in one
    /// place, because each place that waits for the owner has code and room of its own.
    pub(super) refused: Option<Refused>,
}

impl<R: Role, C: Clock> EffectPorts<R, C> {
    /// Waits for a command, or with an `output` for a task, a time or an event; if several are
    /// ready, in this order.
    pub(super) async fn wait<F: Future>(
        &mut self,
        until: Option<Instant>,
        event: Pin<&mut F>,
        output: Option<&mut [u8]>,
    ) -> Woken<Wake<R::Command>, F::Output> {
        // A command that was held during a write to flash is older than any new one.
        if let Some(command) = self.held.take() {
            return Woken::Command(Wake::Command(command));
        }
        wait(pin!(self.role.wake(output)), &self.clock, until, event).await
    }

    /// Returns the command, unless it needs a link and there is none.
    #[inline(never)]
    pub(super) fn admit(&mut self, command: R::Command) -> Option<R::Command> {
        if self.role.refuses(&command) {
            self.refused = Some(Refused::NoLink);
            return None;
        }
        Some(command)
    }

    /// Performs one write within the time limit, or fails with [`Broken::Overdue`].
    pub(super) async fn bounded(
        &self,
        write: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    ) -> Result<(), Broken> {
        within(&self.clock, self.role.limits().write, write).await.unwrap_or(Err(Broken::Overdue))
    }

    pub(super) async fn say_goodbye(&self, link: &mut impl Link, close: Close) {
        // The result does not matter: the link is dropped either way.
        within(&self.clock, self.role.limits().close, pin!(link.close(close))).await;
    }

    pub(super) async fn lost(&mut self, broken: Broken) -> NextAction {
        self.role.tell(R::failure(Failure::NoConnection(broken))).await;
        NextAction::Closed
    }

    /// Carries out a step's effects; a stored memory is then in [`kept`](Self::kept). An effect
    /// that closes the link, or finds it broken, takes it from `link`. Returns `after` unless an
    /// effect decides otherwise. `output` is there unless the effects borrow it.
    pub(super) fn carry_out<'f, L: Link>(
        &'f mut self,
        machine: &'f R::Machine,
        effects: Effects<EffectOf<'f, R::Machine>>,
        link: &'f mut Option<L>,
        mut after: NextAction,
        mut output: Option<&'f mut [u8]>,
    ) -> impl Future<Output = NextAction> {
        // An async function's future would hold the effects twice.
        let mut effects = effects.into_iter();
        async move {
            for effect in effects.by_ref() {
                match R::work(effect) {
                    Work::Connect => after = NextAction::Open,
                    Work::Tell(report) => self.role.tell(report).await,
                    Work::Send(frame) => {
                        // An earlier effect of this step has found the link broken.
                        let Some(open) = link else { continue };
                        let sent = self.bounded(pin!(open.send(frame))).await;
                        if let Err(broken) = sent {
                            // A write that failed may have sent half a frame, so the link is
                            // dropped and not closed in order.
                            *link = None;
                            after = self.lost(broken).await;
                        }
                    }
                    Work::Close(close) => {
                        after = NextAction::Closed;
                        if let Some(mut open) = link.take() {
                            pin!(in_place(|| self.say_goodbye(&mut open, close))).await;
                        }
                    }
                    Work::Keep(kept) => {
                        let memory = R::memory(machine, &kept);
                        let durable = pin!(in_place(|| self.make_durable(Some(memory)))).await;
                        // Without durability the machine must not go on; the next run starts from
                        // the flash.
                        if !durable {
                            return NextAction::Stop;
                        }
                        self.kept = Some(kept);
                    }
                    Work::Obey(order) => {
                        // Effects that borrow the output are those of a report, which orders
                        // nothing.
                        if let Some(output) = output.as_deref_mut() {
                            pin!(in_place(|| self.obey(order, output))).await;
                        }
                    }
                    Work::Nothing => {}
                }
            }
            after
        }
    }

    /// Obeys the gateway: a task that is to be done is noted durably before it is started. Flash
    /// that fails starts none.
    async fn obey(&mut self, order: R::TaskOrder<'_>, output: &mut [u8]) {
        if !self.role.take(&order, output) {
            return;
        }
        let saved = self.role.save().await;
        match saved {
            Ok(()) => {
                if let Some(report) = R::taken(&order) {
                    self.role.tell(report).await;
                }
            }
            Err(error) => self.role.tell(R::failure(Failure::NotKept(error))).await,
        }
        self.role.start(&order, saved.is_ok(), output);
    }

    /// Tells of a command that had no effect, and makes the tasks durable if they have changed.
    /// `false` if the owner ended the driver.
    pub(super) async fn settle(&mut self) -> bool {
        loop {
            let mut durable = true;
            let report = match self.refused.take() {
                Some(refused) => R::refused(refused),
                None if self.role.unsaved() => {
                    durable = self.make_durable(None).await;
                    self.role.ended()
                }
                None => return true,
            };
            if let Some(report) = report {
                self.role.tell(report).await;
            }
            if !durable {
                return false;
            }
        }
    }

    /// Loads the memory and retries until that succeeds. `None` if the owner ended the driver.
    ///
    /// A memory that cannot be read is never taken for blank: only the owner gives it up.
    pub(super) async fn load(&mut self) -> Option<R::Memory> {
        loop {
            let error = match self.role.load().await {
                Ok(memory) => return Some(memory),
                Err(error) => error,
            };
            self.role.tell(R::failure(Failure::NotLoaded(error))).await;
            match self.wait(Some(self.again()), pin!(pending::<Infallible>()), None).await {
                Woken::Command(Wake::Command(command)) => match R::order(&command) {
                    Order::Stop => return None,
                    Order::Forget(forgotten) => {
                        // The owner has given the unreadable memory up, so it may be overwritten.
                        if !self.make_durable(Some(&R::BLANK)).await {
                            return None;
                        }
                        self.role.tell(forgotten).await;
                    }
                    Order::Other(Some(report)) => self.role.tell(report).await,
                    Order::Other(None) => {}
                },
                Woken::Deadline | Woken::Command(Wake::Task) => {}
                Woken::Event(never) => match never {},
            }
        }
    }

    /// Stores `memory`, or the tasks without one, and retries until they are durable. `false` if
    /// the owner ended the driver.
    async fn make_durable(&mut self, memory: Option<&R::Memory>) -> bool {
        loop {
            let kept = match memory {
                Some(memory) => self.role.keep(memory).await,
                None => self.role.save().await,
            };
            let error: KeepError = match kept {
                Ok(()) => return true,
                Err(error) => error,
            };
            self.role.tell(R::failure(Failure::NotKept(error))).await;
            // One command is held until this is settled; later ones stay with the owner.
            if self.held.is_some() {
                self.clock.sleep_until(self.again()).await;
                continue;
            }
            match self.wait(Some(self.again()), pin!(pending::<Infallible>()), None).await {
                Woken::Command(Wake::Command(command)) => match R::order(&command) {
                    Order::Stop => return false,
                    Order::Forget(_) | Order::Other(_) => self.held = Some(command),
                },
                Woken::Deadline | Woken::Command(Wake::Task) => {}
                Woken::Event(never) => match never {},
            }
        }
    }

    /// Returns the time of the next attempt at the flash.
    fn again(&self) -> Instant {
        self.clock.now().after(self.role.limits().flash_again)
    }
}
