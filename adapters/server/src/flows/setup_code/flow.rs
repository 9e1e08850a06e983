//! The flow of one connection on `/pair`: a companion's, or a node's, which registration takes over.
//! The first frame decides.

use axum::extract::ws::{Message, WebSocket};
use handfast_core::flow::setup_code::gateway::{CompanionConnection, Input};
use handfast_core::limits::{COMPANION_FIRST_BYTES, COMPANION_SCRATCH};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::close::Close;
use handfast_core::wire::companion::is_companions;
use handfast_core::{Instant, Machine};
use tracing::Instrument;

use super::context::CompanionContext;
use super::effects::{CompanionAction, CompanionAnswer, CompanionJob, own};
use crate::connection::driver::{ConnectionDriver, ConnectionFlow, DriverParts, HandOver, Signal};
use crate::connection::hub::{Mail, Mailbox};
use crate::connection::slot_state::SlotState;
use crate::flows::registration;
use crate::gateway::Gateway;
use crate::proxies::PeerAddress;
use crate::telemetry::spans;

/// The driver of a connection on `/pair`.
pub(crate) type CompanionDriver = ConnectionDriver<CompanionContext, WebSocket>;

/// Creates a connection that was accepted at `since`, from which the deadline of the first message
/// counts. Without a slot, it only says that there is none. `origin_allowed` says whether whoever
/// opened it may be a companion ([`crate::policy::origin`]).
pub(crate) fn driver(
    gateway: Gateway,
    socket: WebSocket,
    peer: PeerAddress,
    since: Instant,
    slot: SlotState,
    origin_allowed: bool,
) -> Box<CompanionDriver> {
    let machine = CompanionConnection::accepted(since, gateway.inner.limits);
    let context = CompanionContext::new(gateway, peer, since, slot, origin_allowed);
    Box::new(ConnectionDriver::new(socket, machine, context))
}

impl ConnectionFlow for CompanionContext {
    type Machine = CompanionConnection;
    type Frame = Message;
    type Work = CompanionJob;

    fn parts(&self) -> DriverParts<'_> {
        self.gateway.inner.driver_parts()
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn slot(&mut self) -> &mut SlotState {
        &mut self.slot
    }

    fn is_linked(machine: &CompanionConnection) -> bool {
        machine.linked().is_some()
    }

    fn signal(
        &mut self,
        machine: &mut CompanionConnection,
        signal: Signal,
    ) -> Vec<CompanionAction> {
        let input = match signal {
            Signal::Closed => Input::Closed,
            Signal::Pong => Input::Pong,
            Signal::Deadline => Input::Tick,
            Signal::Shutdown => Input::Shutdown,
            Signal::Evicted => Input::Evict,
        };
        self.advance(machine, input)
    }

    fn mail(&mut self, machine: &mut CompanionConnection, mail: Mail) -> Vec<CompanionAction> {
        match mail {
            Mail::Notice(Notice::Unpaired) => self.advance(machine, Input::Revoked),
            Mail::Notice(Notice::Replaced) => self.advance(machine, Input::Replaced),
            Mail::GoElsewhere => vec![CompanionAction::Break(Close::CUT_OFF)],
            Mail::Cut => self.advance(machine, Input::LookAgain),
            Mail::Frame(frame) => {
                machine.linked().map(|_| CompanionAction::Send(frame)).into_iter().collect()
            }
            // These are for nodes, and no task puts them into this mailbox.
            Mail::Notice(
                Notice::Muted
                | Notice::Unmuted
                | Notice::Decided
                | Notice::Permissions
                | Notice::PinEnded(_)
                | Notice::Quarantined
                | Notice::Released
                | Notice::Evicted,
            )
            | Mail::App(_)
            | Mail::Tasks
            | Mail::Addresses
            | Mail::CancelTask(_)
            | Mail::Ping(_)
            | Mail::Displaced => Vec::new(),
        }
    }

    fn read(&mut self, machine: &mut CompanionConnection, frame: Message) -> Vec<CompanionAction> {
        if std::mem::take(&mut self.is_new) {
            return self.first(machine, &frame);
        }
        match frame {
            // Only the first frame may hold a code, so the later ones need no keys.
            Message::Text(text) => self.advance(machine, Input::Text { frame: &text, keys: &[] }),
            Message::Binary(_) => self.advance(machine, Input::Binary),
            // These are no frames for the driver.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Vec::new(),
        }
    }

    async fn carry_out(
        &mut self,
        machine: &mut CompanionConnection,
        job: CompanionJob,
    ) -> Vec<CompanionAction> {
        let Some(answer) = self.answer(job).await else { return Vec::new() };
        let now = self.gateway.inner.clock.unix();
        match answer {
            CompanionAnswer::Redeemed(outcome) => self.advance(machine, Input::Redeemed(outcome)),
            CompanionAnswer::Found(Ok(session)) => {
                self.advance(machine, Input::Found(Ok(session.as_deref()), now))
            }
            CompanionAnswer::Found(Err(failed)) => {
                self.advance(machine, Input::Found(Err(failed), now))
            }
            CompanionAnswer::Charged(charged) => self.advance(machine, Input::Charged(charged)),
            CompanionAnswer::Full => vec![CompanionAction::Break(Close::AT_CAPACITY)],
        }
    }

    async fn evicted(&self) {
        self.slot.evicted().await;
    }
}

impl HandOver<WebSocket> for CompanionContext {
    fn is_foreign(&self, frame: &Message) -> bool {
        self.is_new && matches!(frame, Message::Text(text) if !is_companions(text))
    }

    /// Hands the connection and its slot to registration, in a smaller task of its own.
    fn hand_over(mut self, socket: WebSocket, first: Message) {
        spans::flow("registration");
        let slot = std::mem::replace(&mut self.slot, SlotState::Free);
        let driver =
            registration::flow::driver(self.gateway.clone(), socket, self.peer, self.since, slot);
        tokio::spawn(driver.that_received(first).run().in_current_span());
    }
}

impl CompanionContext {
    /// Reads the first frame, which is a companion's.
    fn first(
        &mut self,
        machine: &mut CompanionConnection,
        frame: &Message,
    ) -> Vec<CompanionAction> {
        spans::flow("setup_code");
        // A page of a foreign origin must not use up the attempts of the person in whose browser it
        // runs.
        if !self.origin_allowed {
            return self.advance(machine, Input::WrongOrigin);
        }
        // A longer frame cannot be a setup code or a session token, so it counts as an unknown
        // code.
        let Message::Text(text) = frame else { return self.advance(machine, Input::Binary) };
        let text = if text.len() <= COMPANION_FIRST_BYTES { text.as_str() } else { "" };
        let begun = std::time::Instant::now();
        let keys = self.gateway.inner.setup.keys.now(self.gateway.inner.clock.unix());
        let actions = self.advance(machine, Input::Text { frame: text, keys: &keys });
        self.judged = Some(begun.elapsed());
        actions
    }

    /// Runs one step of core. The scratch buffer is on this stack only, so an idle connection has
    /// none.
    fn advance(
        &mut self,
        machine: &mut CompanionConnection,
        input: Input<'_>,
    ) -> Vec<CompanionAction> {
        let mut scratch = [0; COMPANION_SCRATCH];
        let effects = machine.step(self.gateway.inner.clock.now(), input, &mut scratch);
        effects.into_iter().map(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_keeps_little_more_than_its_socket_and_its_state() {
        fn size<F: Future>(_: impl FnOnce(Box<CompanionDriver>) -> F) -> usize {
            size_of::<F>()
        }
        let (future, state) = (size(CompanionDriver::run), size_of::<CompanionDriver>());
        assert!(
            future + state <= 1500,
            "{future} bytes for the future and {state} for what it works on"
        );
    }
}
