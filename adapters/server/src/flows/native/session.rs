//! Drives one [`NativeConnection`] of core over one transport.

use std::collections::VecDeque;
use std::net::IpAddr;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use handfast_core::flow::native::gateway::{
    Confirmation, FrameContext, Input, NativeConnection, PairVerdict, Prepared,
};
use handfast_core::grant::scope::{self, Address, Pattern};
use handfast_core::limits::NATIVE_SCRATCH;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::close::Close;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::App;
use handfast_core::{Instant, Machine};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::context::{NativeContext, Read};
use super::effects::{NativeAction, NativeAnswer, NativeRequest, lend, own};
use crate::connection::hub::{AppDelivery, Mail};
use crate::connection::message_rate::MessageRate;
pub(crate) use crate::connection::slot_state::SlotState;
use crate::connection::transport::{FrameTransport, PATIENCE, PeerEvent, close_within};
use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::in_force::OwnedInForce;
use crate::policy::request::{OwnedPrepared, OwnedVerdict};

/// A transport and the state of its connection.
pub(crate) struct NativeTask<C> {
    carrier: C,
    connection: NativeConnection,
    kept: NativeContext,
    /// A frame that waits for its turn to be read.
    #[allow(
        clippy::box_collection,
        reason = "it stands in memory for every connection, and hardly any has one"
    )]
    held: Option<Box<Vec<u8>>>,
    /// `true` if the last event was a delivery to the peer.
    delivered: bool,
    /// The rate at which messages are read once the peer is linked.
    rate: MessageRate,
}

/// The event that ends one wait of the connection.
enum NativeWake {
    /// The held frame's turn has come, or the pause between frames is over.
    Turn,
    Received(PeerEvent<Vec<u8>>),
    Letter(Mail),
    Deadline,
    Shutdown,
    Evicted,
}

impl<C: FrameTransport<Vec<u8>>> NativeTask<C> {
    /// Creates a connection that was accepted at `since`, from which the deadline of the first
    /// message counts.
    pub(crate) fn new(
        gateway: Gateway,
        carrier: C,
        address: IpAddr,
        since: Instant,
        place: SlotState,
    ) -> Self {
        let connection = NativeConnection::accepted(since, gateway.inner.limits);
        let kept = NativeContext::new(gateway, address, place);
        Self {
            carrier,
            connection,
            kept,
            held: None,
            delivered: false,
            rate: MessageRate::default(),
        }
    }

    /// Runs until the connection has ended. The receiver is boxed, because the future of an async
    /// function stores its arguments twice.
    pub(crate) async fn run(mut self: Box<Self>) {
        let mut shutdown = self.kept.gateway.inner.shutdown.subscribe();
        while !self.connection.is_closed() {
            let happening = self.next(&mut shutdown).await;
            let actions = self.react(happening);
            if !actions.is_empty() {
                // Boxed, so that the future of an idle connection does not hold the memory of a
                // busy one.
                Box::pin(self.carry_out(actions)).await;
            }
        }
    }

    /// Waits for the next event. No frame is read while an answer is due.
    async fn next(&mut self, shutdown: &mut watch::Receiver<bool>) -> NativeWake {
        let Self { carrier, connection, kept, held, delivered, rate } = self;
        let deadline = connection.deadline().map(|(at, _)| kept.gateway.inner.clock.wake_at(at));
        let reads = !connection.awaits_answer();
        // Boxed, because hardly any connection ever waits: before it is linked for its turn, and
        // from then on for its rate.
        let waits: Option<BoxFuture<'_, ()>> = match held {
            Some(_) => Some(kept.turn().boxed()),
            None => rate.pause(&kept.gateway.inner.clock).map(|pause| pause as _),
        };
        // A peer that exceeds its rate is read later, so the transport slows it down and no frame
        // is lost.
        let reads = reads && (held.is_some() || waits.is_none());
        // A peer that receives more than its transport carries is still read: one frame after each
        // delivery, if there is one.
        if std::mem::take(delivered)
            && reads
            && !kept.mailbox.has_notice()
            && let Some(received) = carrier.recv().now_or_never()
        {
            return NativeWake::Received(received);
        }
        let (place, proving) = (&kept.place, kept.proving.as_deref());
        tokio::select! {
            // The order is by urgency, so that floods of frames or deliveries delay nothing else.
            biased;
            () = async { let _ = shutdown.wait_for(|down| *down).await; } => NativeWake::Shutdown,
            () = async { match deadline { Some(at) => sleep_until(at).await, None => std::future::pending().await } } =>
                NativeWake::Deadline,
            letter = kept.mailbox.next() => NativeWake::Letter(letter),
            () = async {
                match (proving, place) {
                    // A handshake with a place among those of its key gives up only that place.
                    (Some(proving), _) => proving.displaced().await,
                    (None, SlotState::Seat(seat)) => seat.evicted().await,
                    (None, SlotState::Refused) => {}
                    (None, SlotState::Free) => std::future::pending().await,
                }
            } => NativeWake::Evicted,
            Some(()) = OptionFuture::from(waits) => NativeWake::Turn,
            received = carrier.recv(), if reads => NativeWake::Received(received),
        }
    }

    fn react(&mut self, happening: NativeWake) -> Vec<NativeAction> {
        let then = |mut actions: Vec<NativeAction>, last| {
            actions.push(last);
            actions
        };
        match happening {
            // A peer must not send more before its first message is answered.
            NativeWake::Received(PeerEvent::Frame(_)) if self.held.is_some() => {
                then(self.advance(Input::Closed), NativeAction::Close(Close::PROTOCOL_VIOLATION))
            }
            NativeWake::Received(PeerEvent::Frame(frame)) => {
                self.kept.spoke();
                if self.connection.linked().is_some() {
                    self.rate.read(self.kept.gateway.inner.clock.now());
                }
                self.came(frame)
            }
            NativeWake::Turn => match self.held.take() {
                Some(frame) => {
                    self.kept.reads();
                    self.frame(*frame)
                }
                None => Vec::new(),
            },
            NativeWake::Received(PeerEvent::Ping | PeerEvent::Pong) => Vec::new(),
            NativeWake::Received(PeerEvent::Gone) => self.advance(Input::Closed),
            NativeWake::Received(PeerEvent::Goodbye) => {
                then(self.advance(Input::Closed), NativeAction::FinishClose)
            }
            NativeWake::Received(PeerEvent::Broken(why)) => {
                then(self.advance(Input::Closed), NativeAction::Close(why))
            }
            NativeWake::Letter(Mail::Notice(notice)) => self.advance(Input::Push(notice)),
            NativeWake::Letter(Mail::Displaced) => self.advance(Input::Evict),
            NativeWake::Letter(Mail::Cut) => self
                .kept
                .attached
                .map(|peer| NativeAction::Request(NativeRequest::LookAgain(peer)))
                .into_iter()
                .collect(),
            NativeWake::Letter(Mail::App(delivery)) => {
                self.delivered = true;
                self.deliver(&delivery)
            }
            NativeWake::Letter(Mail::Ping(request)) => {
                let number = self.kept.pinged(request);
                self.advance(Input::Ping(number))
            }
            // A mailbox of this dialect takes no frame of the other one.
            NativeWake::Letter(Mail::Frame(_)) => Vec::new(),
            NativeWake::Deadline => self.advance(Input::Tick(self.kept.gateway.inner.clock.unix())),
            NativeWake::Shutdown => self.advance(Input::Shutdown),
            NativeWake::Evicted => self.advance(Input::Evict),
        }
    }

    /// Runs one step of core. The scratch buffer is on this stack only, so an idle connection has
    /// none.
    fn advance(&mut self, input: Input<'_>) -> Vec<NativeAction> {
        let Self { connection, kept, .. } = self;
        let mut scratch = [0; NATIVE_SCRATCH];
        let was = connection.linked();
        let effects = connection.step(kept.gateway.inner.clock.now(), input, &mut scratch);
        let (inner, address, parts) = (&kept.gateway.inner, kept.address, &mut kept.parts);
        let actions =
            effects.into_iter().filter_map(|effect| own(effect, inner, address, parts)).collect();
        kept.stepped(connection, was);
        actions
    }

    fn came(&mut self, frame: Vec<u8>) -> Vec<NativeAction> {
        match self.kept.may_read(self.connection.cost(&frame)) {
            Read::Now => self.frame(frame),
            Read::Later => {
                self.held = Some(Box::new(frame));
                Vec::new()
            }
            Read::Repeated => self.advance(Input::Repeated),
        }
    }

    fn frame(&mut self, mut bytes: Vec<u8>) -> Vec<NativeAction> {
        let gateway = self.kept.gateway.clone();
        let in_force = self.kept.in_force();
        let now = gateway.inner.clock.unix();
        let setup = gateway.inner.setup.keys.now(now);
        let around = FrameContext {
            keys: gateway.keys(),
            in_force: in_force.as_ref().map(OwnedInForce::lend),
            setup: &setup,
            subscriptions_left: self.kept.subscriptions_left(),
            now,
        };
        self.advance(Input::Frame { bytes: &mut bytes, entropy: entropy::draw(), around })
    }

    fn deliver(&mut self, delivery: &AppDelivery) -> Vec<NativeAction> {
        let (Ok(address), Some(bytes)) =
            (Address::parse(&delivery.address), Payload::new(&delivery.bytes))
        else {
            return Vec::new();
        };
        // The peer's rights may have changed since this was queued.
        let readable = || {
            self.kept.in_force().is_some_and(|rights| rights.allows(scope::Action::Read, &address))
        };
        if delivery.published && !readable() {
            return Vec::new();
        }
        let now = self.kept.gateway.inner.clock.unix();
        self.advance(Input::Deliver(App { action: delivery.action, address, bytes }, now))
    }

    /// Carries out the actions in order, and feeds back each answer at once, until none is left.
    async fn carry_out(&mut self, actions: Vec<NativeAction>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                NativeAction::Send(frame) => {
                    if !matches!(timeout(PATIENCE, self.carrier.send(frame)).await, Ok(Ok(()))) {
                        queue.clear();
                        queue.extend(self.advance(Input::Closed));
                    }
                }
                NativeAction::Close(close) => self.close(Some(close)).await,
                NativeAction::FinishClose => self.close(None).await,
                NativeAction::Break(close) => {
                    queue.extend(self.advance(Input::Closed));
                    queue.push_back(NativeAction::Close(close));
                }
                NativeAction::Request(request) => {
                    let answer = self.answer(request).await;
                    // The peer learns which subscriptions ended before it gets the answer that
                    // ended them.
                    for pattern in self.kept.ended_subscriptions() {
                        if let Ok(pattern) = Pattern::parse(&pattern) {
                            queue.extend(self.advance(Input::Unsubscribed(pattern)));
                        }
                    }
                    if let Some(answer) = answer {
                        queue.extend(self.feed(answer));
                    }
                }
            }
        }
    }

    /// Carries out a request.
    async fn answer(&mut self, request: NativeRequest) -> Option<NativeAnswer> {
        let key = self.connection.peer_key().copied();
        let kept = &mut self.kept;
        if let Some(unserved) = without(&request)
            && !kept.may_bother(key.as_ref())
        {
            tracing::debug!("a peer asks for more than it needs; it is not served");
            return unserved;
        }
        match request {
            NativeRequest::Find(key) => return Some(kept.find(&key).await),
            NativeRequest::Enter(key, ephemeral) => return Some(kept.enter(&key, &ephemeral)),
            NativeRequest::Attach(node_id) => {
                return Some(kept.attach(node_id, key.as_ref()).await);
            }
            NativeRequest::Ask(request) => return Some(kept.ask(request).await),
            NativeRequest::Reserve(code) => return Some(kept.reserve(code).await),
            NativeRequest::Spend(code) => return Some(kept.spend(code).await),
            NativeRequest::Settle(code) => return Some(kept.settle(code).await),
            NativeRequest::SettleSetup(code) => return Some(kept.settle_setup(*code).await),
            NativeRequest::Activate(grant) => {
                return Some(kept.activate(grant, key.as_ref()).await);
            }
            NativeRequest::Present(chain) => {
                return Some(kept.present(chain.as_deref(), key.as_ref()).await);
            }
            NativeRequest::Renew(what) => return Some(kept.renew(what).await),
            NativeRequest::LookAgain(peer) => return kept.look_again(peer, key.as_ref()).await,

            NativeRequest::Refund => kept.refund(),
            NativeRequest::Detach => kept.detach(),
            NativeRequest::GuessWrong { left } => kept.guessed_wrong(left).await,
            NativeRequest::Observe(observation) => kept.observe(observation),
            NativeRequest::App(action, address, bytes) => {
                kept.app(key.as_ref(), action, &address, &bytes).await;
            }
            NativeRequest::Subscribe(pattern) => kept.subscribe(pattern),
            NativeRequest::Ponged(number, answer) => kept.ponged(number, answer),
        }
        None
    }

    fn feed(&mut self, answer: NativeAnswer) -> Vec<NativeAction> {
        let unix = self.kept.gateway.inner.clock.unix();
        match answer {
            NativeAnswer::Found(lookup) => {
                self.advance(Input::Found(lend(&lookup), unix, entropy::draw()))
            }
            NativeAnswer::Entered(outcome) => self.advance(Input::Entered(outcome)),
            NativeAnswer::Attached(lookup) => self.advance(Input::Attached(lend(&lookup), unix)),
            NativeAnswer::Prepared(prepared) => match prepared {
                OwnedPrepared::Refused(refusal) => {
                    self.advance(Input::Prepared(Prepared::Refused(refusal.lend())))
                }
                OwnedPrepared::Pin { id, code, expires_in, attempts } => {
                    self.advance(Input::Prepared(Prepared::Pin { id, code, expires_in, attempts }))
                }
                OwnedPrepared::Code { id, code } => {
                    self.advance(Input::Prepared(Prepared::Code { id, code }))
                }
                OwnedPrepared::Setup => self.advance(Input::Prepared(Prepared::Setup)),
                OwnedPrepared::Settle => self.advance(Input::Prepared(Prepared::Settle)),
            },
            NativeAnswer::Reserved(reserved) => self.advance(Input::Reserved(reserved)),
            NativeAnswer::Spent(outcome) => self.advance(Input::Spent(outcome)),
            NativeAnswer::Settled(verdict) => match verdict {
                OwnedVerdict::Offered(mut offer) => {
                    self.advance(Input::Settled(PairVerdict::Offered(offer.lend())))
                }
                OwnedVerdict::Waits { expires_in, .. } => {
                    self.advance(Input::Settled(PairVerdict::Waits { expires_in }))
                }
                OwnedVerdict::Refused(refusal) => {
                    self.advance(Input::Settled(PairVerdict::Refused(refusal.lend())))
                }
            },
            NativeAnswer::Activated(outcome) => self.advance(Input::Activated(outcome, unix)),
            NativeAnswer::Presented(until) => self.advance(Input::Presented(until, unix)),
            NativeAnswer::Bounded { until, renews } => {
                self.advance(Input::Bounded { until, renews, unix })
            }
            // The peer's authority is gone, which it is told in the same way as a revocation.
            NativeAnswer::Ended => self.advance(Input::Push(Notice::Unpaired)),
            // For the peer this is the same as losing its slot: the gateway is at capacity.
            NativeAnswer::Full => self.advance(Input::Evict),
            NativeAnswer::Renewed(None) => self.advance(Input::Renewed(None)),
            NativeAnswer::Renewed(Some(mut offer)) => {
                self.advance(Input::Renewed(Some(offer.lend())))
            }
            NativeAnswer::Unable => self.advance(Input::Shutdown),
            NativeAnswer::StoreFailed => self.advance(Input::StoreFailed),
        }
    }

    async fn close(&mut self, close: Option<Close>) {
        self.kept.place = SlotState::Free;
        close_within(&mut self.carrier, close, &self.kept.gateway.inner.lingering).await;
    }
}

/// Returns what a peer is answered that exceeds its budget of efforts; `None` for a request that the
/// budget does not bound.
const fn without(request: &NativeRequest) -> Option<Option<NativeAnswer>> {
    match request {
        NativeRequest::Activate(_) => {
            Some(Some(NativeAnswer::Activated(Ok(Confirmation::NotThere))))
        }
        NativeRequest::Present(_) => Some(Some(NativeAnswer::Presented(None))),
        NativeRequest::Renew(_) => Some(Some(NativeAnswer::Renewed(None))),
        NativeRequest::Observe(_) => Some(None),
        NativeRequest::Refund
        | NativeRequest::Find(_)
        | NativeRequest::Enter(..)
        | NativeRequest::Attach(_)
        | NativeRequest::Detach
        | NativeRequest::Ask(_)
        | NativeRequest::Reserve(_)
        | NativeRequest::GuessWrong { .. }
        | NativeRequest::Spend(_)
        | NativeRequest::Settle(_)
        | NativeRequest::SettleSetup(_)
        | NativeRequest::LookAgain(_)
        | NativeRequest::App(..)
        | NativeRequest::Subscribe(_)
        | NativeRequest::Ponged(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::ws::WebSocket;

    fn size<C: FrameTransport<Vec<u8>>, F: Future>(
        _: impl FnOnce(Box<NativeTask<C>>) -> F,
    ) -> usize {
        size_of::<F>() + size_of::<NativeTask<C>>()
    }

    #[test]
    fn an_idle_connection_keeps_little_more_than_its_carrier_and_its_state() {
        let websocket = size::<WebSocket, _>(NativeTask::run);
        let tcp = size::<
            crate::connection::framed::FramedTransport<
                crate::connection::preauth_bytes::Metered<tokio::net::TcpStream>,
            >,
            _,
        >(NativeTask::run);
        assert!(
            websocket <= 2000 && tcp <= 1700,
            "{websocket} bytes over a WebSocket, {tcp} over TCP"
        );
    }
}
