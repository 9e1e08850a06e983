//! The flow of one connection over the native wire.

use std::net::IpAddr;

use handfast_core::flow::native::gateway::{
    FrameContext, Input, NativeConnection, NativeRequest, PairVerdict, Prepared,
};
use handfast_core::grant::scope::{self, Address, Pattern};
use handfast_core::limits::NATIVE_SCRATCH;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::close::Close;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_core::wire::native::link::{App, Dispatch};
use handfast_core::wire::native::{CapabilityName, Payload};
use handfast_core::{Instant, Label, Machine};

use super::context::{NativeContext, Read, TaskOrder};
use super::effects::{NativeAction, NativeAnswer, NativeJob, lend, own};
use crate::connection::driver::{
    ConnectionDriver, ConnectionFlow, DriverParts, FrameTurn, HandOver, Signal,
};
use crate::connection::hub::{AppDelivery, Mail, Mailbox};
use crate::connection::slot_state::SlotState;
use crate::connection::transport::FrameTransport;
use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::in_force::OwnedInForce;
use crate::pairing::certificates::OwnedCertificate;
use crate::policy::request::{OwnedPrepared, OwnedVerdict};

/// The driver of a connection over the native wire.
pub(crate) type NativeDriver<T> = ConnectionDriver<NativeContext, T>;

/// Creates a connection that was accepted at `since`, from which the deadline of the first message
/// counts.
pub(crate) fn driver<T: FrameTransport<Vec<u8>>>(
    gateway: Gateway,
    transport: T,
    address: IpAddr,
    since: Instant,
    slot: SlotState,
) -> Box<NativeDriver<T>> {
    let machine = NativeConnection::accepted(since, gateway.inner.limits).issuing_certificates();
    let context = NativeContext::new(gateway, address, slot);
    Box::new(ConnectionDriver::new(transport, machine, context))
}

/// Creates a connection over a WebSocket. `foreign_page` is `true` if a web page of a foreign origin
/// opened it.
pub(crate) fn driver_of_websocket<T: FrameTransport<Vec<u8>>>(
    gateway: Gateway,
    transport: T,
    address: IpAddr,
    since: Instant,
    slot: SlotState,
    foreign_page: bool,
) -> Box<NativeDriver<T>> {
    let machine = NativeConnection::accepted(since, gateway.inner.limits).issuing_certificates();
    let mut context = NativeContext::new(gateway, address, slot);
    context.foreign_page = foreign_page;
    Box::new(ConnectionDriver::new(transport, machine, context))
}

/// Creates a link over TLS, whose messages are not sealed again. `admitted` is the node that its
/// certificate names; without one the node identifies itself by its own key. `binding` is known to
/// the two ends of the TLS connection alone.
#[cfg(feature = "tls")]
pub(crate) fn driver_over_tls<T: FrameTransport<Vec<u8>>>(
    gateway: Gateway,
    transport: T,
    address: IpAddr,
    since: Instant,
    slot: SlotState,
    (admitted, binding): (Option<crate::ca::Admitted>, [u8; 32]),
) -> Box<NativeDriver<T>> {
    let node = admitted.map(|admitted| admitted.node_id);
    let exporter = handfast_core::crypto::noise::HandshakeHash::from_recorded(binding);
    let machine = NativeConnection::over_tls(since, gateway.inner.limits, node, exporter)
        .issuing_certificates();
    let mut context = NativeContext::new(gateway, address, slot);
    context.certificate = admitted.map(|admitted| admitted.serial);
    Box::new(ConnectionDriver::new(transport, machine, context))
}

impl<T: FrameTransport<Vec<u8>>> HandOver<T> for NativeContext {}

impl ConnectionFlow for NativeContext {
    type Machine = NativeConnection;
    type Frame = Vec<u8>;
    type Work = NativeJob;

    fn parts(&self) -> DriverParts<'_> {
        self.gateway.inner.driver_parts()
    }

    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    fn slot(&mut self) -> &mut SlotState {
        &mut self.place
    }

    fn is_linked(machine: &NativeConnection) -> bool {
        machine.linked().is_some()
    }

    fn signal(&mut self, machine: &mut NativeConnection, signal: Signal) -> Vec<NativeAction> {
        let input = match signal {
            Signal::Closed => Input::Closed,
            // The messages of the native wire keep its links alive.
            Signal::Pong => return Vec::new(),
            Signal::Deadline => Input::Tick(self.gateway.inner.clock.unix()),
            Signal::Shutdown => Input::Shutdown,
            Signal::Evicted => Input::Evict,
        };
        self.advance(machine, input)
    }

    fn mail(&mut self, machine: &mut NativeConnection, mail: Mail) -> Vec<NativeAction> {
        match mail {
            Mail::Notice(notice) => self.advance(machine, Input::Push(notice)),
            Mail::Displaced => self.advance(machine, Input::Evict),
            Mail::GoElsewhere => vec![NativeAction::Break(Close::CUT_OFF)],
            Mail::Cut => self
                .attached
                .map(|peer| NativeAction::Work(NativeJob::LookAgain(peer)))
                .into_iter()
                .collect(),
            Mail::App(delivery) => self.deliver(machine, &delivery),
            Mail::Ping(request) => {
                let number = self.pinged(request);
                self.advance(machine, Input::Ping(number))
            }
            // A node that may receive nothing now is given its tasks once it may.
            Mail::Tasks if machine.receives() => {
                vec![NativeAction::Work(NativeJob::Tasks)]
            }
            Mail::Tasks => Vec::new(),
            // A link that has not begun reads the registry when it does.
            Mail::Addresses if self.attached.is_some() => {
                vec![NativeAction::Work(NativeJob::Request(NativeRequest::Addresses))]
            }
            Mail::Addresses => Vec::new(),
            Mail::CancelTask(id) => self.advance(machine, Input::Cancel(id)),
            // A mailbox of this dialect takes no frame of the other one.
            Mail::Frame(_) => Vec::new(),
        }
    }

    fn read(&mut self, machine: &mut NativeConnection, mut frame: Vec<u8>) -> Vec<NativeAction> {
        let gateway = self.gateway.clone();
        let in_force = self.in_force();
        let now = gateway.inner.clock.unix();
        let setup = gateway.inner.setup.keys.now(now);
        let keys = gateway.keys();
        let around = FrameContext {
            keys: &keys,
            older: keys.0.older_at(&gateway.inner.clock.moment()),
            in_force: in_force.as_ref().map(OwnedInForce::lend),
            setup: &setup,
            subscriptions_left: self.subscriptions_left(),
            now,
        };
        let entropy = entropy::draw();
        self.advance(machine, Input::Frame { bytes: &mut frame, entropy, around })
    }

    async fn carry_out(
        &mut self,
        machine: &mut NativeConnection,
        job: NativeJob,
    ) -> Vec<NativeAction> {
        let answer = self.answer(machine.peer_key().copied(), job).await;
        // The peer learns which subscriptions ended before it gets the answer that ended them.
        let mut actions = Vec::new();
        for pattern in self.ended_subscriptions() {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                actions.extend(self.advance(machine, Input::Unsubscribed(pattern)));
            }
        }
        if let Some(answer) = answer {
            actions.extend(self.feed(machine, answer));
        }
        actions
    }

    async fn evicted(&self) {
        match self.proving.as_deref() {
            // A handshake with a place among those of its key gives up only that place.
            Some(proving) => proving.displaced().await,
            None => self.place.evicted().await,
        }
    }

    fn frame_turn(
        &mut self,
        machine: &mut NativeConnection,
        frame: &Vec<u8>,
    ) -> FrameTurn<Vec<NativeAction>> {
        match self.may_read(machine.cost(frame)) {
            Read::Now => FrameTurn::Now,
            Read::Later => FrameTurn::Later,
            Read::Repeated => FrameTurn::Never(self.advance(machine, Input::Repeated)),
        }
    }

    async fn turn(&self) {
        self.queue().wait().await;
    }

    fn turn_came(&mut self) {
        self.reads();
    }
}

impl NativeContext {
    /// Runs one step of core. The scratch buffer is on this stack only, so an idle connection has
    /// none.
    fn advance(&mut self, machine: &mut NativeConnection, input: Input<'_>) -> Vec<NativeAction> {
        let mut scratch = [0; NATIVE_SCRATCH];
        let effects = machine.step(self.gateway.inner.clock.now(), input, &mut scratch);
        let (inner, parts) = (&self.gateway.inner, &mut self.parts);
        let from = (self.address, self.foreign_page);
        let actions =
            effects.into_iter().filter_map(|effect| own(effect, inner, from, parts)).collect();
        self.stepped(machine);
        actions
    }

    fn deliver(
        &mut self,
        machine: &mut NativeConnection,
        delivery: &AppDelivery,
    ) -> Vec<NativeAction> {
        let (Ok(address), Some(bytes)) =
            (Address::parse(&delivery.address), Payload::new(&delivery.bytes))
        else {
            return Vec::new();
        };
        // The peer's rights may have changed since this was queued.
        let readable =
            || self.in_force().is_some_and(|rights| rights.allows(scope::Action::Read, &address));
        if delivery.published && !readable() {
            return Vec::new();
        }
        let now = self.gateway.inner.clock.unix();
        self.advance(machine, Input::Deliver(App { action: delivery.action, address, bytes }, now))
    }

    /// Hands a message about a dispatch to the machine.
    fn order_out(
        &mut self,
        machine: &mut NativeConnection,
        order: &TaskOrder,
    ) -> Vec<NativeAction> {
        let (task, number, remaining_ms) = match order {
            TaskOrder::Send { task, number, remaining_ms } => (task, *number, *remaining_ms),
            TaskOrder::Cancel(id) => return self.advance(machine, Input::Cancel(*id)),
            TaskOrder::Query(id, number) => {
                return self.advance(machine, Input::Query(*id, *number));
            }
        };
        let (Some(capability), Some(input)) =
            (CapabilityName::parse(&task.capability), Payload::new(&task.input))
        else {
            // No message can carry it, so its node never gets it.
            let request = NativeRequest::NotDispatched(task.id);
            return vec![NativeAction::Work(NativeJob::Request(request))];
        };
        let dispatch = Dispatch {
            id: task.id,
            number,
            capability,
            remaining_ms,
            max_payload: task.max_payload,
            input,
        };
        let now = self.gateway.inner.clock.unix();
        self.advance(machine, Input::Dispatch(dispatch, now))
    }

    fn feed(&mut self, machine: &mut NativeConnection, answer: NativeAnswer) -> Vec<NativeAction> {
        let unix = self.gateway.inner.clock.unix();
        match answer {
            NativeAnswer::Found(lookup) => {
                self.advance(machine, Input::Found(lend(&lookup), unix, entropy::draw()))
            }
            NativeAnswer::Entered(outcome) => self.advance(machine, Input::Entered(outcome)),
            NativeAnswer::Attached(lookup) => {
                self.advance(machine, Input::Attached(lend(&lookup), unix))
            }
            NativeAnswer::Prepared(prepared) => match prepared {
                OwnedPrepared::Refused(refusal) => {
                    self.advance(machine, Input::Prepared(Prepared::Refused(refusal.lend())))
                }
                OwnedPrepared::Pin { id, code, expires_in, attempts } => self.advance(
                    machine,
                    Input::Prepared(Prepared::Pin { id, code, expires_in, attempts }),
                ),
                OwnedPrepared::Code { id, code } => {
                    self.advance(machine, Input::Prepared(Prepared::Code { id, code }))
                }
                OwnedPrepared::Setup => self.advance(machine, Input::Prepared(Prepared::Setup)),
                OwnedPrepared::Settle => self.advance(machine, Input::Prepared(Prepared::Settle)),
            },
            NativeAnswer::Reserved(reserved) => self.advance(machine, Input::Reserved(reserved)),
            NativeAnswer::Spent(outcome) => self.advance(machine, Input::Spent(outcome)),
            NativeAnswer::Settled(verdict) => match verdict {
                OwnedVerdict::Offered(mut offer) => {
                    self.advance(machine, Input::Settled(PairVerdict::Offered(offer.lend())))
                }
                OwnedVerdict::Waits { expires_in, .. } => {
                    self.advance(machine, Input::Settled(PairVerdict::Waits { expires_in }))
                }
                OwnedVerdict::Refused(refusal) => {
                    self.advance(machine, Input::Settled(PairVerdict::Refused(refusal.lend())))
                }
            },
            NativeAnswer::Activated(outcome) => {
                self.advance(machine, Input::Activated(outcome, unix))
            }
            NativeAnswer::Presented(until) => self.advance(machine, Input::Presented(until, unix)),
            NativeAnswer::Bounded { until, renews } => {
                self.advance(machine, Input::Bounded { until, renews, unix })
            }
            // The peer's authority is gone, which it is told in the same way as a revocation.
            NativeAnswer::Ended => self.advance(machine, Input::Push(Notice::Unpaired)),
            NativeAnswer::Uncertified => self.advance(machine, Input::Push(Notice::Evicted)),
            // For the peer this is the same as losing its slot: the gateway is at capacity.
            NativeAnswer::Full => self.advance(machine, Input::Evict),
            NativeAnswer::Renewed(None) => self.advance(machine, Input::Renewed(None)),
            NativeAnswer::Renewed(Some(mut offer)) => {
                self.advance(machine, Input::Renewed(Some(offer.lend())))
            }
            NativeAnswer::Issued(issued) => {
                let issued = issued.as_ref().map_err(|refusal| *refusal);
                let issued = issued.map(|issued| issued.as_ref().map(OwnedCertificate::lend));
                self.advance(machine, Input::Issued(issued))
            }
            NativeAnswer::Name(name) => match Label::parse(&name) {
                Some(name) => self.advance(machine, Input::Name(name)),
                None => Vec::new(),
            },
            NativeAnswer::Addresses(list) => match GatewayAddresses::parse(&list) {
                Some(list) => self.advance(machine, Input::Addresses(list)),
                None => Vec::new(),
            },
            NativeAnswer::Orders(orders) => {
                orders.iter().flat_map(|order| self.order_out(machine, order)).collect()
            }
            NativeAnswer::Unable => self.advance(machine, Input::Shutdown),
            NativeAnswer::StoreFailed => self.advance(machine, Input::StoreFailed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::ws::WebSocket;
    use tokio::net::TcpStream;

    use crate::connection::framed::FramedTransport;
    use crate::connection::preauth_bytes::Metered;

    fn size<T: FrameTransport<Vec<u8>>, F: Future>(
        _: impl FnOnce(Box<NativeDriver<T>>) -> F,
    ) -> usize {
        size_of::<F>() + size_of::<NativeDriver<T>>()
    }

    #[test]
    fn an_idle_connection_keeps_little_more_than_its_carrier_and_its_state() {
        let websocket = size::<WebSocket, _>(NativeDriver::run);
        let tcp = size::<FramedTransport<Metered<TcpStream>>, _>(NativeDriver::run);
        assert!(
            websocket <= 2088 && tcp <= 1800,
            "{websocket} bytes over a WebSocket, {tcp} over TCP"
        );
    }
}
