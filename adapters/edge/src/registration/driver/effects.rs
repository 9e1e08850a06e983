//! Execution of effects: every write has a time limit; storage is retried until it succeeds,
//! because nothing else may happen before.

use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::{Pin, pin};

use handfast_core::flow::registration::node::{
    Effect, Input, RegistrationMemory, RegistrationNode, RegistrationNodeEvent,
};
use handfast_core::wire::close::Close;
use handfast_core::{Instant, Machine};
use zeroize::Zeroize;

use super::RegistrationSettings;
use crate::error::KeepError;
use crate::ports::{Clock, Command, Owner, Report};
use crate::registration::memory::RegistrationStorage;
use crate::select::{Woken, in_place, wait, within};
use crate::transport::{Broken, Carrier, Frame};

/// The loop's next action after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegistrationNextAction {
    /// Wait for the next event.
    Wait,
    /// Open a connection.
    Open,
    /// The connection, or the attempt to open one, has ended.
    Closed,
    /// The owner sent [`Command::Stop`].
    Stop,
}

/// The parts of a board that effects use.
pub(super) struct RegistrationEffectPorts<'s, C, K, O> {
    pub(super) clock: C,
    pub(super) keep: K,
    pub(super) owner: O,
    pub(super) settings: &'s RegistrationSettings,
    /// A command that arrived while the memory was being stored.
    pub(super) held: Option<Command>,
}

impl<C: Clock, K: RegistrationStorage, O: Owner> RegistrationEffectPorts<'_, C, K, O> {
    /// Waits for a command, a time or an event; if several are ready, in this order.
    pub(super) async fn wait<F: Future>(
        &mut self,
        until: Option<Instant>,
        event: Pin<&mut F>,
    ) -> Woken<Command, F::Output> {
        // A command that was held during a write to flash is older than any new one.
        if let Some(command) = self.held.take() {
            return Woken::Command(command);
        }
        wait(pin!(self.owner.command()), &self.clock, until, event).await
    }

    /// Performs one write within the time limit, or fails with [`Broken::Overdue`].
    pub(super) async fn bounded(
        &self,
        write: Pin<&mut impl Future<Output = Result<(), Broken>>>,
    ) -> Result<(), Broken> {
        within(&self.clock, self.settings.write_within, write).await.unwrap_or(Err(Broken::Overdue))
    }

    pub(super) async fn say_goodbye(&self, carrier: &mut impl Carrier, close: Close) {
        // The result does not matter: the connection is dropped either way.
        within(&self.clock, self.settings.close_within, pin!(carrier.close(close))).await;
    }

    pub(super) async fn lost(&mut self, broken: Broken) -> RegistrationNextAction {
        self.owner.tell(Report::NoConnection(broken)).await;
        RegistrationNextAction::Closed
    }

    /// Performs one step, its effects, and the steps that their outcomes cause. An effect that
    /// closes the connection, or finds it broken, takes it from `carrier`; the loop then feeds
    /// [`Input::Disconnected`].
    pub(super) async fn feed<L: Carrier>(
        &mut self,
        node: &mut RegistrationNode,
        input: Input<'_>,
        scratch: &mut [u8],
        carrier: &mut Option<L>,
    ) -> RegistrationNextAction {
        let mut after = RegistrationNextAction::Wait;
        let mut next = Some(input);
        while let Some(input) = next.take() {
            for effect in node.step(self.clock.now(), input, &mut *scratch) {
                match effect {
                    Effect::Connect => after = RegistrationNextAction::Open,
                    Effect::Tell(news) => self.owner.tell(Report::News(news)).await,
                    Effect::Send(text) => {
                        // An earlier effect of this step has found the connection broken.
                        let Some(open) = carrier else { continue };
                        let sent = self.bounded(pin!(open.send(Frame::Text(text)))).await;
                        if let Err(broken) = sent {
                            *carrier = None;
                            after = self.lost(broken).await;
                        }
                    }
                    Effect::Close(close) => {
                        after = RegistrationNextAction::Closed;
                        if let Some(mut open) = carrier.take() {
                            pin!(in_place(|| self.say_goodbye(&mut open, close))).await;
                        }
                    }
                    Effect::Keep(memory) => {
                        let durable = pin!(in_place(|| self.make_durable(&memory))).await;
                        match durable {
                            true => next = Some(Input::Kept(memory)),
                            // Without durability the machine must not go on; the next run starts
                            // from the flash.
                            false => return RegistrationNextAction::Stop,
                        }
                    }
                }
            }
            // The sent message may have held the token.
            scratch.zeroize();
        }
        after
    }

    /// Loads the memory and retries until that succeeds. `None` if the owner sent
    /// [`Command::Stop`].
    pub(super) async fn load(&mut self) -> Option<RegistrationMemory> {
        loop {
            let error = match self.keep.load().await {
                Ok(memory) => return Some(memory),
                Err(error) => error,
            };
            self.owner.tell(Report::NotLoaded(error)).await;
            let again = self.clock.now().after(self.settings.flash_again_after);
            match self.wait(Some(again), pin!(pending::<Infallible>())).await {
                Woken::Command(Command::Stop) => return None,
                Woken::Command(Command::Forget) => {
                    if !self.make_durable(&RegistrationMemory::Blank).await {
                        return None;
                    }
                    self.owner.tell(Report::News(RegistrationNodeEvent::Forgotten)).await;
                }
                // Until the memory is known, no request exists that a token could answer.
                Woken::Command(Command::TokenEntered(_)) => {
                    self.owner.tell(Report::News(RegistrationNodeEvent::NothingAsked)).await;
                }
                Woken::Command(Command::AskAgain) | Woken::Deadline => {}
                Woken::Event(never) => match never {},
            }
        }
    }

    /// Stores `memory` and retries until it is durable. `false` if the owner sent
    /// [`Command::Stop`].
    async fn make_durable(&mut self, memory: &RegistrationMemory) -> bool {
        loop {
            let error: KeepError = match self.keep.keep(memory).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            self.owner.tell(Report::NotKept(error)).await;
            let again = self.clock.now().after(self.settings.flash_again_after);
            // One command is held until this is settled; later ones stay with the owner.
            if self.held.is_some() {
                self.clock.sleep_until(again).await;
                continue;
            }
            match self.wait(Some(again), pin!(pending::<Infallible>())).await {
                Woken::Command(Command::Stop) => return false,
                Woken::Command(command) => self.held = Some(command),
                Woken::Deadline => {}
                Woken::Event(never) => match never {},
            }
        }
    }
}
