//! Drives one connection on `/pair`: a companion's, or a node's, which registration takes over. The
//! first frame decides.

use std::collections::VecDeque;

use axum::extract::ws::{Message, WebSocket};
use handfast_core::flow::setup_code::gateway::{CompanionConnection, Input};
use handfast_core::limits::{COMPANION_FIRST_BYTES, COMPANION_SCRATCH};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::close::Close;
use handfast_core::wire::companion::is_companions;
use handfast_core::{Instant, Machine};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::context::CompanionContext;
use super::effects::{CompanionAction, CompanionAnswer, own};
use crate::connection::hub::Mail;
use crate::connection::message_rate::MessageRate;
use crate::connection::slots::SeatGuard;
use crate::connection::transport::{PATIENCE, close_within, rules_broken};
use crate::flows::registration::connection;
use crate::gateway::Gateway;
use crate::proxies::PeerAddress;

/// A WebSocket on `/pair` and its state.
pub(crate) struct CompanionTask {
    socket: WebSocket,
    connection: CompanionConnection,
    kept: CompanionContext,
    /// The time of accept, from which the deadline of the first message counts.
    since: Instant,
    /// `true` until the first frame has come.
    is_new: bool,
    /// The rate at which messages are read once the companion is linked.
    rate: MessageRate,
}

/// The event that ends one wait of the connection.
enum CompanionWake {
    Frame(Message),
    Letter(Mail),
    Deadline,
    Shutdown,
    Evicted,
    Gone,
    Broken(Close),
}

impl CompanionTask {
    /// Without a seat, it only says that there is none. `origin_allowed` says whether whoever
    /// opened it may be a companion ([`crate::policy::origin`]).
    pub(crate) fn new(
        gateway: Gateway,
        socket: WebSocket,
        peer: PeerAddress,
        since: Instant,
        seat: Option<SeatGuard>,
        origin_allowed: bool,
    ) -> Self {
        let connection = CompanionConnection::accepted(since, gateway.inner.limits);
        let kept = CompanionContext::new(gateway, peer, seat, origin_allowed);
        Self { socket, connection, kept, since, is_new: true, rate: MessageRate::default() }
    }

    /// Runs until the connection has ended or turns out to be a node's, which continues in a
    /// smaller task of its own. The receiver is boxed, because the future of an async function
    /// stores its arguments twice.
    pub(crate) async fn run(mut self: Box<Self>) {
        let mut shutdown = self.kept.gateway.inner.shutdown.subscribe();
        while !self.connection.is_closed() {
            let happening = self.next(&mut shutdown).await;
            if self.is_new
                && let CompanionWake::Frame(frame @ (Message::Text(_) | Message::Binary(_))) =
                    happening
            {
                if let Message::Text(text) = &frame
                    && !is_companions(text)
                {
                    return self.goes_on_as_a_node(frame);
                }
                let actions = self.first(&frame);
                Box::pin(self.carry_out(actions)).await;
                continue;
            }
            if let (CompanionWake::Frame(_), Some(_)) = (&happening, self.connection.linked()) {
                self.rate.read(self.kept.gateway.inner.clock.now());
            }
            let actions = self.react(happening);
            if !actions.is_empty() {
                // Boxed, so that the future of an idle connection does not hold the memory of a
                // busy one.
                Box::pin(self.carry_out(actions)).await;
            }
        }
    }

    /// Waits for the next event. No frame is read while an answer is due.
    async fn next(&mut self, shutdown: &mut watch::Receiver<bool>) -> CompanionWake {
        let Self { socket, connection, kept, rate, .. } = self;
        let pause = rate.pause(&kept.gateway.inner.clock);
        let deadline = connection.deadline().map(|(at, _)| kept.gateway.inner.clock.wake_at(at));
        let reads = !connection.awaits_answer();
        let needs_seat = connection.linked().is_none();
        let seat = kept.seat.as_ref();
        tokio::select! {
            biased;
            () = async { let _ = shutdown.wait_for(|down| *down).await; } =>
                CompanionWake::Shutdown,
            // The deadline comes before letters and frames, so that a flood of them does not delay
            // the end of a session.
            () = async { match deadline { Some(at) => sleep_until(at).await, None => std::future::pending().await } } =>
                CompanionWake::Deadline,
            letter = kept.mailbox.next() => CompanionWake::Letter(letter),
            () = async { if let Some(seat) = seat { seat.evicted().await } }, if needs_seat =>
                CompanionWake::Evicted,
            // A peer that exceeds its rate is read later, so the transport slows it down and no
            // frame is lost.
            frame = async {
                if let Some(pause) = pause {
                    pause.await;
                }
                socket.recv().await
            }, if reads => match frame {
                Some(Ok(frame)) => CompanionWake::Frame(frame),
                Some(Err(error)) =>
                    rules_broken(&error).map_or(CompanionWake::Gone, CompanionWake::Broken),
                None => CompanionWake::Gone,
            },
        }
    }

    /// Hands the socket and its slot to registration, with the first frame.
    fn goes_on_as_a_node(self: Box<Self>, first: Message) {
        let Self { socket, mut kept, since, .. } = *self;
        let (gateway, seat) = (kept.gateway.clone(), kept.seat.take());
        let session = connection::RegistrationTask::new(gateway, socket, kept.peer, since, seat)
            .that_heard(first);
        tokio::spawn(Box::new(session).run());
    }

    /// Handles the first frame, which is a companion's.
    fn first(&mut self, frame: &Message) -> Vec<CompanionAction> {
        self.is_new = false;
        if let Some(seat) = &self.kept.seat {
            seat.spoke();
        }
        // A page of a foreign origin must not use up the attempts of the person in whose browser it
        // runs.
        if !self.kept.origin_allowed {
            return self.advance(Input::WrongOrigin);
        }
        // A longer frame cannot be a setup code or a session token, so it counts as an unknown
        // code.
        let Message::Text(text) = frame else { return self.advance(Input::Binary) };
        let text = if text.len() <= COMPANION_FIRST_BYTES { text.as_str() } else { "" };
        let begun = std::time::Instant::now();
        let gateway = self.kept.gateway.clone();
        let now = self.kept.setup_moment(text);
        let keys = gateway.inner.setup.keys.now(now);
        let actions = self.advance(Input::Text { frame: text, keys: &keys, now });
        self.kept.judged = Some(begun.elapsed());
        actions
    }

    fn react(&mut self, happening: CompanionWake) -> Vec<CompanionAction> {
        let then = |mut actions: Vec<CompanionAction>, last| {
            actions.push(last);
            actions
        };
        match happening {
            CompanionWake::Frame(Message::Text(text)) => {
                let now = self.kept.gateway.inner.clock.unix();
                self.advance(Input::Text { frame: &text, keys: &[], now })
            }
            CompanionWake::Frame(Message::Binary(_)) => self.advance(Input::Binary),
            CompanionWake::Frame(Message::Pong(_)) => self.advance(Input::Pong),
            // The library answers pings.
            CompanionWake::Frame(Message::Ping(_)) => Vec::new(),
            CompanionWake::Gone => self.advance(Input::Closed),
            CompanionWake::Frame(Message::Close(_)) => {
                then(self.advance(Input::Closed), CompanionAction::FinishClose)
            }
            CompanionWake::Broken(why) => {
                then(self.advance(Input::Closed), CompanionAction::Close(why))
            }
            CompanionWake::Letter(Mail::Notice(Notice::Unpaired)) => self.advance(Input::Revoked),
            CompanionWake::Letter(Mail::Notice(Notice::Replaced)) => self.advance(Input::Replaced),
            CompanionWake::Letter(Mail::Cut) => self.advance(Input::LookAgain),
            CompanionWake::Letter(Mail::Frame(frame)) => {
                let linked = self.connection.linked();
                linked.map(|_| CompanionAction::Send(frame)).into_iter().collect()
            }
            // These are for nodes, and no task puts them into this mailbox.
            CompanionWake::Letter(
                Mail::Notice(
                    Notice::Muted
                    | Notice::Unmuted
                    | Notice::Decided
                    | Notice::Permissions
                    | Notice::PinEnded(_),
                )
                | Mail::App(_)
                | Mail::Ping(_)
                | Mail::Displaced,
            ) => Vec::new(),
            CompanionWake::Deadline => self.advance(Input::Tick),
            CompanionWake::Shutdown => self.advance(Input::Shutdown),
            CompanionWake::Evicted => self.advance(Input::Evict),
        }
    }

    /// Runs one step of core. The scratch buffer is on this stack only, so an idle connection has
    /// none.
    fn advance(&mut self, input: Input<'_>) -> Vec<CompanionAction> {
        let Self { connection, kept, .. } = self;
        let mut scratch = [0; COMPANION_SCRATCH];
        let was = connection.linked();
        let effects = connection.step(kept.gateway.inner.clock.now(), input, &mut scratch);
        let actions = effects.into_iter().map(own).collect();
        if let (None, Some(session)) = (was, connection.linked()) {
            kept.linked(session);
        }
        actions
    }

    /// Carries out the actions in order, and feeds back each answer at once, until none is left.
    async fn carry_out(&mut self, actions: Vec<CompanionAction>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                CompanionAction::Send(message) => {
                    if !matches!(timeout(PATIENCE, self.socket.send(message)).await, Ok(Ok(()))) {
                        queue.clear();
                        queue.extend(self.advance(Input::Closed));
                    }
                }
                CompanionAction::Close(close) => self.close(Some(close)).await,
                CompanionAction::FinishClose => self.close(None).await,
                CompanionAction::Break(close) => {
                    queue.extend(self.advance(Input::Closed));
                    queue.push_back(CompanionAction::Close(close));
                }
                CompanionAction::Request(request) => {
                    if let Some(answer) = self.kept.answer(request).await {
                        queue.extend(self.feed(answer));
                    }
                }
            }
        }
    }

    fn feed(&mut self, answer: CompanionAnswer) -> Vec<CompanionAction> {
        let now = self.kept.gateway.inner.clock.unix();
        match answer {
            CompanionAnswer::Redeemed(outcome) => self.advance(Input::Redeemed(outcome)),
            CompanionAnswer::Found(Ok(session)) => {
                self.advance(Input::Found(Ok(session.as_deref()), now))
            }
            CompanionAnswer::Found(Err(failed)) => self.advance(Input::Found(Err(failed), now)),
            CompanionAnswer::Charged(charged) => self.advance(Input::Charged(charged)),
            CompanionAnswer::Full => vec![CompanionAction::Break(Close::AT_CAPACITY)],
        }
    }

    async fn close(&mut self, close: Option<Close>) {
        self.kept.seat = None;
        close_within(&mut self.socket, close, &self.kept.gateway.inner.lingering).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_keeps_little_more_than_its_socket_and_its_state() {
        fn size<F: Future>(_: impl FnOnce(Box<CompanionTask>) -> F) -> usize {
            size_of::<F>()
        }
        let (future, session) = (size(CompanionTask::run), size_of::<CompanionTask>());
        assert!(
            future + session <= 1500,
            "{future} bytes for the future and {session} for what it works on"
        );
    }
}
