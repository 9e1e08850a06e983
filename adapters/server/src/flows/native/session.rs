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
use handfast_core::step::Machine;
use handfast_core::time::Instant;
use handfast_core::wire::close::Close;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::App;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

pub(crate) use super::context::Place;
use super::context::{Kept, Read};
use super::effects::{Action, Answer, lend, own};
use crate::connection::hub::{Delivery, Letter};
use crate::connection::message_rate::MessageRate;
use crate::connection::transport::{Carrier, Received};
use crate::entropy;
use crate::gateway::Gateway;
use crate::gateway::common::{CLOSE_WITHIN, PATIENCE};
use crate::gateway::in_force::OwnedInForce;
use crate::policy::request::{OwnedPrepared, OwnedVerdict};

/// A transport and the state of its connection.
pub(crate) struct Session<C> {
    carrier: C,
    /// `None` only while a step is running.
    connection: Option<NativeConnection>,
    kept: Kept,
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
enum Happening {
    /// The held frame's turn has come, or the pause between frames is over.
    Turn,
    Received(Received),
    Letter(Letter),
    Deadline,
    Shutdown,
    Evicted,
}

impl<C: Carrier> Session<C> {
    /// Creates a connection that was accepted at `since`, from which the deadline of the first
    /// message counts.
    pub(crate) fn new(
        gateway: Gateway,
        carrier: C,
        address: IpAddr,
        since: Instant,
        place: Place,
    ) -> Self {
        let connection = Some(NativeConnection::accepted(since, gateway.inner.limits));
        let kept = Kept::new(gateway, address, place);
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
        while self.connection.as_ref().is_some_and(|connection| !connection.is_closed()) {
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
    async fn next(&mut self, shutdown: &mut watch::Receiver<bool>) -> Happening {
        let Self { carrier, connection, kept, held, delivered, rate } = self;
        let deadline = connection
            .as_ref()
            .and_then(NativeConnection::deadline)
            .map(|(at, _)| kept.gateway.inner.clock.wake_at(at));
        let reads = connection.as_ref().is_some_and(|connection| !connection.awaits_answer());
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
            return Happening::Received(received);
        }
        let (place, proving) = (&kept.place, kept.proving.as_deref());
        tokio::select! {
            // The order is by urgency, so that floods of frames or deliveries delay nothing else.
            biased;
            () = async { let _ = shutdown.wait_for(|down| *down).await; } => Happening::Shutdown,
            () = async { match deadline { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => Happening::Deadline,
            letter = kept.mailbox.next() => Happening::Letter(letter),
            () = async {
                match (proving, place) {
                    // A handshake with a place among those of its key gives up only that place.
                    (Some(proving), _) => proving.displaced().await,
                    (None, Place::Seat(seat)) => seat.evicted().await,
                    (None, Place::Refused) => {}
                    (None, Place::Free) => std::future::pending().await,
                }
            } => Happening::Evicted,
            Some(()) = OptionFuture::from(waits) => Happening::Turn,
            received = carrier.recv(), if reads => Happening::Received(received),
        }
    }

    fn react(&mut self, happening: Happening) -> Vec<Action> {
        let then = |mut actions: Vec<Action>, last| {
            actions.push(last);
            actions
        };
        match happening {
            // A peer must not send more before its first message is answered.
            Happening::Received(Received::Frame(_)) if self.held.is_some() => {
                then(self.advance(Input::Closed), Action::Close(Close::PROTOCOL_VIOLATION))
            }
            Happening::Received(Received::Frame(frame)) => {
                self.kept.spoke();
                if self.connection.as_ref().and_then(NativeConnection::linked).is_some() {
                    self.rate.read(self.kept.gateway.inner.clock.now());
                }
                self.came(frame)
            }
            Happening::Turn => match self.held.take() {
                Some(frame) => {
                    self.kept.reads();
                    self.frame(*frame)
                }
                None => Vec::new(),
            },
            Happening::Received(Received::Gone) => self.advance(Input::Closed),
            Happening::Received(Received::Goodbye) => {
                then(self.advance(Input::Closed), Action::FinishClose)
            }
            Happening::Received(Received::Broken(why)) => {
                then(self.advance(Input::Closed), Action::Close(why))
            }
            Happening::Letter(Letter::Notice(notice)) => self.advance(Input::Push(notice)),
            Happening::Letter(Letter::Displaced) => self.advance(Input::Evict),
            Happening::Letter(Letter::Cut) => {
                self.kept.attached.map(Action::LookAgain).into_iter().collect()
            }
            Happening::Letter(Letter::App(delivery)) => {
                self.delivered = true;
                self.deliver(&delivery)
            }
            // A mailbox of this dialect takes no frame of the other one.
            Happening::Letter(Letter::Frame(_)) => Vec::new(),
            Happening::Deadline => self.advance(Input::Tick(self.kept.gateway.inner.clock.unix())),
            Happening::Shutdown => self.advance(Input::Shutdown),
            Happening::Evicted => self.advance(Input::Evict),
        }
    }

    /// Runs one step of core. The scratch buffer is on this stack only, so an idle connection has
    /// none.
    fn advance(&mut self, input: Input<'_>) -> Vec<Action> {
        let Some(connection) = self.connection.take() else { return Vec::new() };
        let kept = &mut self.kept;
        let mut scratch = [0; NATIVE_SCRATCH];
        let was = connection.linked();
        let step = connection.step(kept.gateway.inner.clock.now(), input, &mut scratch);
        let (inner, address, parts) = (&kept.gateway.inner, kept.address, &mut kept.parts);
        let actions = step
            .effects
            .into_iter()
            .filter_map(|effect| own(effect, inner, address, parts))
            .collect();
        kept.stepped(self.connection.insert(step.next), was);
        actions
    }

    fn came(&mut self, frame: Vec<u8>) -> Vec<Action> {
        let Some(connection) = &self.connection else { return Vec::new() };
        match self.kept.may_read(connection.cost(&frame)) {
            Read::Now => self.frame(frame),
            Read::Later => {
                self.held = Some(Box::new(frame));
                Vec::new()
            }
            Read::Repeated => self.advance(Input::Repeated),
        }
    }

    fn frame(&mut self, mut bytes: Vec<u8>) -> Vec<Action> {
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

    fn deliver(&mut self, delivery: &Delivery) -> Vec<Action> {
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
    async fn carry_out(&mut self, actions: Vec<Action>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Send(frame) => {
                    if !matches!(timeout(PATIENCE, self.carrier.send(frame)).await, Ok(Ok(()))) {
                        queue.clear();
                        queue.extend(self.advance(Input::Closed));
                    }
                }
                Action::Close(close) => self.close(Some(close)).await,
                Action::FinishClose => self.close(None).await,
                Action::Break(close) => {
                    queue.extend(self.advance(Input::Closed));
                    queue.push_back(Action::Close(close));
                }
                other => {
                    let answer = self.answer(other).await;
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

    /// Carries out an action that needs no transport.
    async fn answer(&mut self, action: Action) -> Option<Answer> {
        let key = self.connection.as_ref().and_then(NativeConnection::peer_key).copied();
        let kept = &mut self.kept;
        let action = match action {
            Action::Activate(_) | Action::Present(_) | Action::Renew(_) | Action::Observe(_)
                if !kept.may_bother(key.as_ref()) =>
            {
                tracing::debug!("a peer asks for more than it needs; it is not served");
                return without(&action);
            }
            action => action,
        };
        match action {
            Action::Find(key) => return Some(kept.find(&key).await),
            Action::Enter(key, ephemeral) => return Some(kept.enter(&key, &ephemeral)),
            Action::Attach(node_id) => return Some(kept.attach(node_id, key.as_ref()).await),
            Action::Ask(request) => return Some(kept.ask(request).await),
            Action::Reserve(code) => return Some(kept.reserve(code).await),
            Action::Spend(code) => return Some(kept.spend(code).await),
            Action::Settle(code) => return Some(kept.settle(code).await),
            Action::SettleSetup(code) => return Some(kept.settle_setup(*code).await),
            Action::Activate(grant) => return Some(kept.activate(grant, key.as_ref()).await),
            Action::Present(chain) => {
                return Some(kept.present(chain.as_deref(), key.as_ref()).await);
            }
            Action::Renew(what) => return Some(kept.renew(what).await),
            Action::LookAgain(peer) => return kept.look_again(peer, key.as_ref()).await,

            Action::Refund => kept.refund(),
            Action::Detach => kept.detach(),
            Action::Wrong(left) => kept.wrong(left).await,
            Action::Observe(observation) => kept.observe(observation),
            Action::App(action, address, bytes) => {
                kept.app(key.as_ref(), action, &address, &bytes).await;
            }
            Action::Subscribe(pattern) => kept.subscribe(pattern),
            // The caller carries out these, because they need the transport.
            Action::Send(_) | Action::Close(_) | Action::FinishClose | Action::Break(_) => {}
        }
        None
    }

    fn feed(&mut self, answer: Answer) -> Vec<Action> {
        let unix = self.kept.gateway.inner.clock.unix();
        match answer {
            Answer::Found(lookup) => {
                self.advance(Input::Found(lend(&lookup), unix, entropy::draw()))
            }
            Answer::Entered(outcome) => self.advance(Input::Entered(outcome)),
            Answer::Attached(lookup) => self.advance(Input::Attached(lend(&lookup), unix)),
            Answer::Prepared(prepared) => match prepared {
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
            Answer::Reserved(reserved) => {
                let mut actions = self.advance(Input::Reserved(reserved));
                // Core compares the tag; that it asks to spend the code tells that the guess was
                // right.
                let right = actions.iter().any(|action| matches!(action, Action::Spend(_)));
                if let (Ok(left), false) = (reserved, right) {
                    actions.push(Action::Wrong(left));
                }
                actions
            }
            Answer::Spent(outcome) => self.advance(Input::Spent(outcome)),
            Answer::Settled(verdict) => match verdict {
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
            Answer::Activated(outcome) => self.advance(Input::Activated(outcome, unix)),
            Answer::Presented(until) => self.advance(Input::Presented(until, unix)),
            Answer::Bounded { until, renews } => {
                self.advance(Input::Bounded { until, renews, unix })
            }
            // The peer's authority is gone, which it is told in the same way as a revocation.
            Answer::Ended => self.advance(Input::Push(Notice::Unpaired)),
            // For the peer this is the same as losing its slot: the gateway is at capacity.
            Answer::Full => self.advance(Input::Evict),
            Answer::Renewed(None) => self.advance(Input::Renewed(None)),
            Answer::Renewed(Some(mut offer)) => self.advance(Input::Renewed(Some(offer.lend()))),
            Answer::Unable => self.advance(Input::Shutdown),
            Answer::StoreFailed => self.advance(Input::StoreFailed),
        }
    }

    /// Sends a close frame, or the reply to the peer's, and waits up to [`CLOSE_WITHIN`] for the
    /// peer to end, so that the last message is read before the transport closes. A closing
    /// connection has no slot, and the gateway's semaphore `lingering` bounds how many wait.
    async fn close(&mut self, close: Option<Close>) {
        self.kept.place = Place::Free;
        let gateway = self.kept.gateway.clone();
        let lingers = gateway.inner.lingering.try_acquire();
        let _ = timeout(CLOSE_WITHIN, self.carrier.close(close, lingers.is_ok())).await;
    }
}

/// Returns the answer to a peer that exceeds its budget of efforts.
const fn without(action: &Action) -> Option<Answer> {
    match action {
        Action::Activate(_) => Some(Answer::Activated(Ok(Confirmation::NotThere))),
        Action::Present(_) => Some(Answer::Presented(None)),
        Action::Renew(_) => Some(Answer::Renewed(None)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::ws::WebSocket;

    fn size<C: Carrier, F: Future>(_: impl FnOnce(Box<Session<C>>) -> F) -> usize {
        size_of::<F>() + size_of::<Session<C>>()
    }

    #[test]
    fn an_idle_connection_keeps_little_more_than_its_carrier_and_its_state() {
        let websocket = size::<WebSocket, _>(Session::run);
        let tcp = size::<
            crate::connection::framed::Framed<
                crate::connection::preauth_bytes::Metered<tokio::net::TcpStream>,
            >,
            _,
        >(Session::run);
        assert!(
            websocket <= 2000 && tcp <= 1700,
            "{websocket} bytes over a WebSocket, {tcp} over TCP"
        );
    }
}
