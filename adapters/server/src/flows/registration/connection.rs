//! Drives one [`RegistrationConnection`] of core over one WebSocket.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use handfast_core::flow::native::gateway::Peer;
use handfast_core::flow::registration::gateway::{
    Claim, Effect, Input, Lookup, RegistrationConnection,
};
use handfast_core::grant::token::{HashJob, ProofTag};
use handfast_core::limits::SCRATCH;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::delivery::DeliveryId;
use handfast_core::registry::record::Standing;
use handfast_core::wire::close::Close;
use handfast_core::{Instant, Machine, NodeId, Refusal};
use handfast_store::{Observation, Stored};
use tokio::time::{sleep_until, timeout};

use crate::connection::action::Action;
use crate::connection::hub::{Dialect, Mail, Mailbox};
use crate::connection::message_rate::MessageRate;
use crate::connection::slots::SeatGuard;
use crate::connection::transport::{PATIENCE, close_within, rules_broken};
use crate::entropy;
use crate::events::Event;
use crate::gateway::common::{failed, interrupted, observation};
use crate::gateway::hash_pool::AuthAttempt;
use crate::gateway::{Gateway, Inner};
use crate::proxies::PeerAddress;

/// A node's WebSocket and its state outside core's machine.
pub(crate) struct RegistrationTask {
    gateway: Gateway,
    socket: WebSocket,
    peer: PeerAddress,
    /// The time of accept, from which the deadline of the first message counts.
    since: Instant,
    seat: Option<SeatGuard>,
    mailbox: Arc<Mailbox>,
    /// The node whose live connection this is.
    attached: Option<NodeId>,
    /// A frame that was read ahead: by the flow of setup codes, or while the node's token was
    /// hashed.
    heard: Option<Box<Message>>,
    /// The rate at which messages are read once the node is linked.
    rate: MessageRate,
    /// The attempt that the node's token used up; it is given back if the token was right.
    attempt: Option<Box<AuthAttempt>>,
}

/// An effect in owned form.
type RegistrationAction = Action<Message, RegistrationRequest>;

/// A request that is carried out apart from the effects on the socket.
enum RegistrationRequest {
    Admit(Box<PendingRequest>, String),
    Load(NodeId),
    Hash(HashJob, Claim),
    CountFailure,
    Refund,
    Remember(NodeId, ProofTag),
    Confirm(NodeId, DeliveryId),
    Attach(NodeId),
    Detach,
    Observe(NodeId, Observation),
    ApplicationText(NodeId, String),
    ApplicationBinary(NodeId, Vec<u8>),
}

/// An answer to a request, which becomes the next input.
enum RegistrationAnswer {
    Admitted(Result<NodeId, Refusal>),
    Loaded(Result<Option<Stored>, Refusal>, NodeId),
    Hashed(Result<handfast_core::grant::token::Hashed, Refusal>),
    Confirmed(Result<(), Refusal>),
    Attached(Result<Option<Stored>, Refusal>),
    /// The peer left while its token was hashed.
    Gone,
}

/// The event that ends one wait of the connection.
enum RegistrationWake {
    Frame(Message),
    Letter(Mail),
    Deadline,
    Shutdown,
    Evicted,
    Gone,
    Broken(Close),
}

impl RegistrationTask {
    /// Creates a connection. Without a slot, it only tells the node that there is none.
    pub(crate) fn new(
        gateway: Gateway,
        socket: WebSocket,
        peer: PeerAddress,
        since: Instant,
        seat: Option<SeatGuard>,
    ) -> Self {
        gateway.inner.sessions.send_modify(|open| *open += 1);
        let mailbox = Mailbox::new(Dialect::Missy, peer.ip());
        Self {
            gateway,
            socket,
            peer,
            since,
            seat,
            mailbox,
            attached: None,
            heard: None,
            rate: MessageRate::default(),
            attempt: None,
        }
    }

    /// Hands the connection a first frame that was read already.
    pub(crate) fn that_heard(mut self, first: Message) -> Self {
        self.heard = Some(Box::new(first));
        self
    }

    /// Runs until the connection has ended. The receiver is boxed, because the future of an async
    /// function stores its arguments twice.
    pub(crate) async fn run(mut self: Box<Self>) {
        let inner = Arc::clone(&self.gateway.inner);
        let mut shutdown = inner.shutdown.subscribe();
        let mut connection = RegistrationConnection::accepted(self.since, inner.limits);
        while !connection.is_closed() {
            let happening = self.next(&connection, &inner, &mut shutdown).await;
            if let (RegistrationWake::Frame(_), Some(_)) = (&happening, connection.linked()) {
                self.rate.read(inner.clock.now());
            }
            let actions = match happening {
                RegistrationWake::Frame(Message::Text(text)) => {
                    self.spoke();
                    advance(&mut connection, &inner, self.peer, Input::Text(text.as_str()))
                }
                RegistrationWake::Frame(Message::Binary(bytes)) => {
                    self.spoke();
                    advance(&mut connection, &inner, self.peer, Input::Binary(&bytes))
                }
                RegistrationWake::Frame(Message::Pong(_)) => {
                    advance(&mut connection, &inner, self.peer, Input::Pong)
                }
                // The library answers pings.
                RegistrationWake::Frame(Message::Ping(_)) => continue,
                RegistrationWake::Gone => {
                    advance(&mut connection, &inner, self.peer, Input::Closed)
                }
                RegistrationWake::Frame(Message::Close(_)) => {
                    let mut actions = advance(&mut connection, &inner, self.peer, Input::Closed);
                    actions.push(RegistrationAction::FinishClose);
                    actions
                }
                RegistrationWake::Broken(why) => {
                    let mut actions = advance(&mut connection, &inner, self.peer, Input::Closed);
                    actions.push(RegistrationAction::Close(why));
                    actions
                }
                RegistrationWake::Letter(Mail::Notice(notice)) => {
                    advance(&mut connection, &inner, self.peer, Input::Push(notice))
                }
                RegistrationWake::Letter(Mail::Frame(frame)) => {
                    let linked = connection.linked();
                    linked.map(|_| RegistrationAction::Send(frame)).into_iter().collect()
                }
                // A node whose rights the doubtful clock would end is disconnected. It connects
                // again, and is told then.
                RegistrationWake::Letter(Mail::Cut) => {
                    match Box::pin(rests_on_doubt(&connection, &inner)).await {
                        true => advance(&mut connection, &inner, self.peer, Input::Shutdown),
                        false => continue,
                    }
                }
                // A mailbox of this dialect takes none of these.
                RegistrationWake::Letter(Mail::App(_) | Mail::Ping(_) | Mail::Displaced) => {
                    continue;
                }
                RegistrationWake::Deadline => {
                    advance(&mut connection, &inner, self.peer, Input::Tick)
                }
                RegistrationWake::Shutdown => {
                    advance(&mut connection, &inner, self.peer, Input::Shutdown)
                }
                RegistrationWake::Evicted => {
                    advance(&mut connection, &inner, self.peer, Input::Evict)
                }
            };
            // Boxed, so that the future of an idle connection does not hold the memory of a busy
            // one.
            Box::pin(self.carry_out(&mut connection, actions, &inner)).await;
        }
    }

    /// Waits for the next event. No frame is read while an answer is due.
    async fn next(
        &mut self,
        connection: &RegistrationConnection,
        inner: &Inner,
        shutdown: &mut tokio::sync::watch::Receiver<bool>,
    ) -> RegistrationWake {
        if let Some(heard) = self.heard.take() {
            return RegistrationWake::Frame(*heard);
        }
        let deadline = connection.deadline().map(|(at, _)| inner.clock.wake_at(at));
        let pause = self.rate.pause(&inner.clock);
        let seat = self.seat.as_ref();
        let needs_seat = connection.linked().is_none();
        tokio::select! {
            biased;
            () = async { let _ = shutdown.wait_for(|down| *down).await; } =>
                RegistrationWake::Shutdown,
            letter = self.mailbox.next() => RegistrationWake::Letter(letter),
            () = async { if let Some(seat) = seat { seat.evicted().await } }, if needs_seat =>
                RegistrationWake::Evicted,
            // The deadline comes before frames, so that a flood of pings does not delay it.
            () = async { match deadline { Some(at) => sleep_until(at).await, None => std::future::pending().await } } =>
                RegistrationWake::Deadline,
            // A peer that exceeds its rate is read later, so the transport slows it down and no
            // frame is lost.
            frame = async {
                if let Some(pause) = pause {
                    pause.await;
                }
                self.socket.recv().await
            }, if !connection.awaits_answer() => match frame {
                Some(Ok(frame)) => RegistrationWake::Frame(frame),
                Some(Err(error)) =>
                    rules_broken(&error).map_or(RegistrationWake::Gone, RegistrationWake::Broken),
                None => RegistrationWake::Gone,
            },
        }
    }

    /// Carries out the actions in order, and feeds back each answer at once, until none is left.
    async fn carry_out(
        &mut self,
        connection: &mut RegistrationConnection,
        actions: Vec<RegistrationAction>,
        inner: &Inner,
    ) {
        let mut queue = std::collections::VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            let actions = match action {
                RegistrationAction::Send(message) => {
                    if self.send(message).await.is_ok() {
                        continue;
                    }
                    queue.clear();
                    advance(connection, inner, self.peer, Input::Closed)
                }
                RegistrationAction::Close(close) => {
                    self.close(Some(close), inner).await;
                    continue;
                }
                RegistrationAction::FinishClose => {
                    self.close(None, inner).await;
                    continue;
                }
                RegistrationAction::Break(close) => {
                    queue.push_back(RegistrationAction::Close(close));
                    advance(connection, inner, self.peer, Input::Closed)
                }
                RegistrationAction::Request(request) => match self.answer(request, inner).await {
                    Some(answer) => {
                        // The peer's close frame, if it sent one, still wants its reply.
                        if matches!(answer, RegistrationAnswer::Gone) {
                            queue.push_back(RegistrationAction::FinishClose);
                        }
                        let actions = feed(connection, inner, self.peer, answer);
                        if connection.linked().is_some() {
                            // Linked nodes have limits of their own, so the slot becomes free for
                            // others.
                            self.seat = None;
                        }
                        actions
                    }
                    None => continue,
                },
            };
            queue.extend(actions);
        }
    }

    /// Carries out a request.
    async fn answer(
        &mut self,
        request: RegistrationRequest,
        inner: &Inner,
    ) -> Option<RegistrationAnswer> {
        let source = self.peer.source();
        let now = inner.clock.now();
        match request {
            RegistrationRequest::Admit(asking, profile) => {
                return Some(RegistrationAnswer::Admitted(self.admit(*asking, profile).await));
            }
            RegistrationRequest::Load(node_id) => {
                return Some(RegistrationAnswer::Loaded(
                    inner.store.load(node_id).await.map_err(failed),
                    node_id,
                ));
            }
            RegistrationRequest::Hash(job, claim) => {
                let hashed = tokio::select! {
                    hashed = inner.pool.hash(job, claim, source, now) => hashed,
                    () = gone(&mut self.socket, &mut self.heard) =>
                        return Some(RegistrationAnswer::Gone),
                };
                return Some(RegistrationAnswer::Hashed(hashed.ok_or(Refusal::RateLimited).map(
                    |(hashed, attempt)| {
                        self.attempt = Some(Box::new(attempt));
                        hashed
                    },
                )));
            }
            RegistrationRequest::CountFailure => inner.pool.charge(source, now),
            RegistrationRequest::Refund => {
                if let Some(attempt) = self.attempt.take() {
                    attempt.give_back(now);
                }
            }
            RegistrationRequest::Remember(node_id, tag) => inner.proven.remember(node_id, tag),
            RegistrationRequest::Confirm(node_id, delivery) => {
                return Some(RegistrationAnswer::Confirmed(
                    self.gateway.token_used(node_id, delivery).await,
                ));
            }
            RegistrationRequest::Attach(node_id) => {
                let attached = inner.hub.attach(node_id, &self.mailbox);
                if let Ok(Some(older)) = attached {
                    let newer = self.peer.ip();
                    inner.event(&Event::Replaced { node_id, older, newer });
                }
                let refused = attached.err();
                self.attached = refused.is_none().then_some(node_id);
                let record = match inner.rests_on_doubt(node_id).await {
                    Ok(true) => Err(Refusal::ClockInDoubt),
                    Ok(false) => inner.store.load(node_id).await.map_err(failed),
                    Err(error) => Err(failed(error)),
                };
                // A node that would be refused anyway learns the reason even if there is no room.
                let would_enter = |s: &Stored| matches!(s.record.standing, Standing::Paired { .. });
                return Some(RegistrationAnswer::Attached(match (refused, record) {
                    (Some(refusal), Ok(Some(stored))) if would_enter(&stored) => Err(refusal),
                    (_, record) => record,
                }));
            }
            RegistrationRequest::Detach => self.detach(),
            RegistrationRequest::Observe(node_id, observation) => {
                inner.readings.tell(node_id, observation, now);
            }
            // A slow application delays its own frames, but neither a decision nor the shutdown.
            RegistrationRequest::ApplicationText(node_id, frame) => {
                inner.messages.tell(Peer::Node(node_id), None, frame.as_bytes());
                tokio::select! {
                    () = inner.application.text(node_id, &frame) => {}
                    () = interrupted(&self.mailbox, inner) => {}
                }
            }
            RegistrationRequest::ApplicationBinary(node_id, frame) => {
                inner.messages.tell(Peer::Node(node_id), None, &frame);
                tokio::select! {
                    () = inner.application.binary(node_id, &frame) => {}
                    () = interrupted(&self.mailbox, inner) => {}
                }
            }
        }
        None
    }

    async fn admit(&mut self, asking: PendingRequest, profile: String) -> Result<NodeId, Refusal> {
        let address = asking.record.address;
        let (name, room) = (asking.record.name.to_string(), asking.record.room.to_string());
        let admitted = match self.gateway.admit(asking, profile).await {
            Ok(admitted) => admitted,
            Err(error) => Err(failed(error)),
        };
        self.gateway.event(match &admitted {
            Ok(node_id) => Event::Asked { node_id: *node_id, name, room, address },
            Err(refusal) => Event::AskRefused { address, refusal: *refusal },
        });
        admitted
    }

    fn spoke(&self) {
        if let Some(seat) = &self.seat {
            seat.spoke();
        }
    }

    fn detach(&mut self) {
        if let Some(node_id) = self.attached.take()
            && self.gateway.inner.hub.detach(Peer::Node(node_id), &self.mailbox)
        {
            self.gateway.inner.readings.leave(node_id, self.gateway.inner.clock.now());
            self.gateway.event(Event::Unlinked(node_id));
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), ()> {
        match timeout(PATIENCE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }

    async fn close(&mut self, close: Option<Close>, inner: &Inner) {
        self.seat = None;
        close_within::<Message>(&mut self.socket, close, &inner.lingering).await;
    }
}

impl Drop for RegistrationTask {
    fn drop(&mut self) {
        self.detach();
        self.gateway.inner.sessions.send_modify(|open| *open -= 1);
    }
}

/// Returns `true` if the clock is in doubt and, by what it claims, the session that approved the
/// node of this link has ended. If the registry cannot be read, the answer is `true`, too.
async fn rests_on_doubt(connection: &RegistrationConnection, inner: &Inner) -> bool {
    match connection.linked() {
        Some(node_id) => inner.rests_on_doubt(node_id).await.unwrap_or(true),
        None => false,
    }
}

/// Completes when the peer is gone. One frame that the peer sends too early is kept, and nothing is
/// read after it.
async fn gone(socket: &mut WebSocket, heard: &mut Option<Box<Message>>) {
    while heard.is_none() {
        match socket.recv().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(frame @ (Message::Text(_) | Message::Binary(_)))) => {
                *heard = Some(Box::new(frame));
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        }
    }
    std::future::pending::<()>().await;
}

/// Runs one step of core. The scratch buffer is on this stack only, so an idle connection has none.
fn advance(
    connection: &mut RegistrationConnection,
    inner: &Inner,
    peer: PeerAddress,
    input: Input<'_>,
) -> Vec<RegistrationAction> {
    let mut scratch = [0; SCRATCH];
    let was_linked = connection.linked();
    let effects = connection.step(inner.clock.now(), input, &mut scratch);
    if was_linked.is_none()
        && let Some(node_id) = connection.linked()
    {
        inner.event(&Event::Linked(node_id));
    }
    effects.into_iter().map(|effect| own(effect, inner, peer)).collect()
}

fn feed(
    connection: &mut RegistrationConnection,
    inner: &Inner,
    peer: PeerAddress,
    answer: RegistrationAnswer,
) -> Vec<RegistrationAction> {
    match answer {
        RegistrationAnswer::Admitted(outcome) => {
            advance(connection, inner, peer, Input::Admitted(outcome))
        }
        RegistrationAnswer::Hashed(outcome) => {
            advance(connection, inner, peer, Input::Hashed(outcome))
        }
        RegistrationAnswer::Gone => advance(connection, inner, peer, Input::Closed),
        RegistrationAnswer::Confirmed(outcome) => {
            advance(connection, inner, peer, Input::Confirmed(outcome))
        }
        RegistrationAnswer::Loaded(stored, node_id) => {
            let record = stored
                .as_ref()
                .map(|stored| stored.as_ref().map(|s| &s.record))
                .map_err(|refusal| *refusal);
            let lookup = Lookup { record, kept: inner.proven.of(node_id), key: &inner.proven.key };
            advance(connection, inner, peer, Input::Loaded(lookup))
        }
        RegistrationAnswer::Attached(stored) => {
            let record = stored
                .as_ref()
                .map(|stored| stored.as_ref().map(|s| &s.record))
                .map_err(|refusal| *refusal);
            advance(connection, inner, peer, Input::Attached(record))
        }
    }
}

/// Turns a borrowing effect into an owned action before the first await.
fn own(effect: Effect<'_>, inner: &Inner, peer: PeerAddress) -> RegistrationAction {
    let request = match effect {
        Effect::Send(text) => return RegistrationAction::Send(Message::Text(text.into())),
        Effect::Ping => return RegistrationAction::Send(Message::Ping(axum::body::Bytes::new())),
        Effect::Close(close) => return RegistrationAction::Close(close),
        Effect::Admit(request) => {
            let number = entropy::number();
            let asking = PendingRequest::new(
                &request,
                peer.ip(),
                inner.clock.unix(),
                &inner.limits,
                &entropy::draw(),
            )
            .made_by(number);
            RegistrationRequest::Admit(Box::new(asking), request.profile.as_str().to_owned())
        }
        Effect::Load(node_id) => RegistrationRequest::Load(node_id),
        Effect::Hash(job, claim) => RegistrationRequest::Hash(job, claim),
        Effect::CountFailure => RegistrationRequest::CountFailure,
        Effect::Refund => RegistrationRequest::Refund,
        Effect::Remember(node_id, tag) => RegistrationRequest::Remember(node_id, tag),
        Effect::Confirm(node_id, delivery) => RegistrationRequest::Confirm(node_id, delivery),
        Effect::Attach(node_id) => RegistrationRequest::Attach(node_id),
        Effect::Detach(_) => RegistrationRequest::Detach,
        Effect::Observe(node_id, heartbeat) => {
            RegistrationRequest::Observe(node_id, observation(heartbeat, inner))
        }
        Effect::ApplicationText(node_id, frame) => {
            RegistrationRequest::ApplicationText(node_id, frame.to_owned())
        }
        Effect::ApplicationBinary(node_id, frame) => {
            RegistrationRequest::ApplicationBinary(node_id, frame.to_vec())
        }
    };
    RegistrationAction::Request(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_keeps_little_more_than_its_socket_and_its_state() {
        fn size<F: Future>(_: impl FnOnce(Box<RegistrationTask>) -> F) -> usize {
            size_of::<F>()
        }
        let (future, session) = (size(RegistrationTask::run), size_of::<RegistrationTask>());
        assert!(
            future + session <= 1750,
            "{future} bytes for the future and {session} for what it works on"
        );
    }
}
