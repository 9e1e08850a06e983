//! The flow of one node's connection in the `missy` dialect.

use axum::extract::ws::{Message, WebSocket};
use handfast_core::flow::registration::gateway::{
    Input, Lookup, RegistrationConnection, RegistrationRequest,
};
use handfast_core::limits::SCRATCH;
use handfast_core::registry::record::Record;
use handfast_core::wire::close::Close;
use handfast_core::{Instant, Machine, Refusal};
use handfast_store::Stored;

use super::context::RegistrationContext;
use super::effects::{RegistrationAction, RegistrationAnswer, RegistrationJob, own};
use crate::connection::driver::{ConnectionDriver, ConnectionFlow, DriverParts, HandOver, Signal};
use crate::connection::hub::{Mail, Mailbox};
use crate::connection::slot_state::SlotState;
use crate::gateway::Gateway;
use crate::proxies::PeerAddress;

/// The driver of a node's connection.
pub(crate) type RegistrationDriver = ConnectionDriver<RegistrationContext, WebSocket>;

/// Creates a connection that was accepted at `since`, from which the deadline of the first message
/// counts. Without a slot, it only tells the node that there is none.
pub(crate) fn driver(
    gateway: Gateway,
    socket: WebSocket,
    peer: PeerAddress,
    since: Instant,
    slot: SlotState,
) -> Box<RegistrationDriver> {
    let machine = RegistrationConnection::accepted(since, gateway.inner.limits);
    let context = RegistrationContext::new(gateway, peer, slot);
    Box::new(ConnectionDriver::new(socket, machine, context))
}

impl HandOver<WebSocket> for RegistrationContext {}

impl ConnectionFlow for RegistrationContext {
    type Machine = RegistrationConnection;
    type Frame = Message;
    type Work = RegistrationJob;

    fn parts(&self) -> DriverParts<'_> {
        self.gateway.inner.driver_parts()
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn slot(&mut self) -> &mut SlotState {
        &mut self.slot
    }

    fn is_linked(machine: &RegistrationConnection) -> bool {
        machine.linked().is_some()
    }

    fn signal(
        &mut self,
        machine: &mut RegistrationConnection,
        signal: Signal,
    ) -> Vec<RegistrationAction> {
        let input = match signal {
            Signal::Closed => Input::Closed,
            Signal::Pong => Input::Pong,
            Signal::Deadline => Input::Tick,
            Signal::Shutdown => Input::Shutdown,
            Signal::Evicted => Input::Evict,
        };
        self.advance(machine, input)
    }

    fn mail(
        &mut self,
        machine: &mut RegistrationConnection,
        mail: Mail,
    ) -> Vec<RegistrationAction> {
        match mail {
            Mail::Notice(notice) => self.advance(machine, Input::Push(notice)),
            // What was queued for the link may come after its end, and is dropped then.
            Mail::Frame(frame) => {
                machine.linked().map(|_| RegistrationAction::Send(frame)).into_iter().collect()
            }
            Mail::GoElsewhere => vec![RegistrationAction::Break(Close::CUT_OFF)],
            Mail::Cut => machine
                .linked()
                .map(|node| RegistrationAction::Work(RegistrationJob::LookAgain(node)))
                .into_iter()
                .collect(),
            // A mailbox of this dialect takes none of these.
            Mail::App(_)
            | Mail::Ping(_)
            | Mail::Displaced
            | Mail::Tasks
            | Mail::Addresses
            | Mail::CancelTask(_) => Vec::new(),
        }
    }

    fn read(
        &mut self,
        machine: &mut RegistrationConnection,
        frame: Message,
    ) -> Vec<RegistrationAction> {
        match frame {
            Message::Text(text) => self.advance(machine, Input::Text(&text)),
            Message::Binary(bytes) => self.advance(machine, Input::Binary(&bytes)),
            // These are no frames for the driver.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Vec::new(),
        }
    }

    async fn carry_out(
        &mut self,
        machine: &mut RegistrationConnection,
        job: RegistrationJob,
    ) -> Vec<RegistrationAction> {
        let Some(answer) = self.answer(job).await else { return Vec::new() };
        match answer {
            RegistrationAnswer::Admitted(outcome) => {
                self.advance(machine, Input::Admitted(outcome))
            }
            RegistrationAnswer::Hashed(outcome) => self.advance(machine, Input::Hashed(outcome)),
            RegistrationAnswer::Confirmed(outcome) => {
                self.advance(machine, Input::Confirmed(outcome))
            }
            RegistrationAnswer::Loaded(stored, node_id) => {
                let gateway = self.gateway.clone();
                let proven = &gateway.inner.proven;
                let lookup =
                    Lookup { record: lend(&stored), kept: proven.of(node_id), key: &proven.key };
                self.advance(machine, Input::Loaded(lookup))
            }
            RegistrationAnswer::Attached(stored) => {
                self.advance(machine, Input::Attached(lend(&stored)))
            }
            // The node is disconnected. It connects again, and is told then.
            RegistrationAnswer::InDoubt => self.advance(machine, Input::Shutdown),
        }
    }

    async fn evicted(&self) {
        self.slot.evicted().await;
    }

    fn ends_with_peer(job: &RegistrationJob) -> bool {
        // Hashing alone takes long, and its result is worth nothing without the peer.
        matches!(job, RegistrationJob::Request(RegistrationRequest::Hash(..)))
    }
}

impl RegistrationContext {
    /// Runs one step of core. The scratch buffer is on this stack only, so an idle connection has
    /// none.
    fn advance(
        &mut self,
        machine: &mut RegistrationConnection,
        input: Input<'_>,
    ) -> Vec<RegistrationAction> {
        let mut scratch = [0; SCRATCH];
        let inner = &self.gateway.inner;
        let effects = machine.step(inner.clock.now(), input, &mut scratch);
        effects.into_iter().map(|effect| own(effect, inner, self.peer)).collect()
    }
}

fn lend(stored: &Result<Option<Stored>, Refusal>) -> Result<Option<&Record>, Refusal> {
    match stored {
        Ok(stored) => Ok(stored.as_ref().map(|stored| &stored.record)),
        Err(refusal) => Err(*refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_keeps_little_more_than_its_socket_and_its_state() {
        fn size<F: Future>(_: impl FnOnce(Box<RegistrationDriver>) -> F) -> usize {
            size_of::<F>()
        }
        let (future, state) = (size(RegistrationDriver::run), size_of::<RegistrationDriver>());
        assert!(
            future + state <= 1750,
            "{future} bytes for the future and {state} for what it works on"
        );
    }
}
